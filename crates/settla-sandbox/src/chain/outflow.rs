//! The part of a provider's ledger that says which tokens are to go, are going and have gone.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde::{Deserialize, Serialize};
use settla_evm::{Address, TxHash};
use uuid::Uuid;

use crate::{book::Ledger, money::Amount, webhook::Announcement};

/// One order's or payout's share of a batch.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) id: Uuid,
    pub(crate) amount: Amount,
}

/// A line about a batch in a provider's journal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub(crate) enum OutflowRecord {
    /// Members were taken off the queue. Written before anything is signed.
    Made { batch: Uuid, to: Address, members: Vec<Member> },
    /// The transaction exists. Written before it is broadcast.
    Signed { batch: Uuid, tx_hash: TxHash },
    /// It is in a block at depth and moved the tokens.
    Done { batch: Uuid, at_ms: u64 },
    /// It is in a block at depth and moved nothing: the members queue again.
    Failed { batch: Uuid },
}

/// A batch. It is never changed once made; a failed one stays as it was.
#[derive(Clone)]
pub(crate) struct Batch {
    pub(crate) to: Address,
    pub(crate) members: Vec<Member>,
    pub(crate) tx_hash: Option<TxHash>,
}

impl Batch {
    pub(crate) fn total(&self) -> u128 {
        // Two thousand members of at most 10^18.
        self.members.iter().map(|member| member.amount.0).sum()
    }
}

/// Members that wait by destination, and all batches.
#[derive(Default)]
pub(crate) struct Outflow {
    waiting: BTreeMap<Address, VecDeque<Member>>,
    batches: HashMap<Uuid, Batch>,
    /// Batches without an end, in the order in which they were made.
    open: Vec<Uuid>,
}

impl Outflow {
    /// Queues a member.
    pub(crate) fn queue(&mut self, to: Address, id: Uuid, amount: u128) {
        self.waiting.entry(to).or_default().push_back(Member { id, amount: Amount(amount) });
    }

    /// Applies a record and returns the members that it concerns. A record about an unknown batch concerns nobody.
    pub(crate) fn apply(&mut self, record: &OutflowRecord) -> Vec<Member> {
        match record {
            OutflowRecord::Made { batch, to, members } => {
                if let Some(waiting) = self.waiting.get_mut(to) {
                    // A batch takes from the front, so this is all of the work but after a failure.
                    let taken = members.len().min(waiting.len());
                    let in_front = waiting.iter().zip(members).all(|(waits, member)| waits.id == member.id);
                    if in_front {
                        waiting.drain(..taken);
                    } else {
                        waiting.retain(|waits| members.iter().all(|member| member.id != waits.id));
                    }
                    if waiting.is_empty() {
                        self.waiting.remove(to);
                    }
                }
                self.open.push(*batch);
                self.batches.insert(*batch, Batch { to: *to, members: members.clone(), tx_hash: None });
                members.clone()
            }
            OutflowRecord::Signed { batch, tx_hash } => {
                if let Some(batch) = self.batches.get_mut(batch) {
                    batch.tx_hash = Some(*tx_hash);
                }
                Vec::new()
            }
            OutflowRecord::Done { batch, .. } => {
                self.open.retain(|open| open != batch);
                self.batches.get(batch).map(|batch| batch.members.clone()).unwrap_or_default()
            }
            OutflowRecord::Failed { batch } => {
                self.open.retain(|open| open != batch);
                let Some(batch) = self.batches.get(batch) else { return Vec::new() };
                self.waiting.entry(batch.to).or_default().extend(batch.members.iter().copied());
                batch.members.clone()
            }
        }
    }

    pub(crate) fn batch(&self, id: Uuid) -> Option<&Batch> {
        self.batches.get(&id)
    }

    /// Batches without an end, oldest first.
    pub(crate) fn open(&self) -> impl Iterator<Item = (Uuid, &Batch)> {
        self.open.iter().filter_map(|id| Some((*id, self.batches.get(id)?)))
    }

    /// Whether members wait for a batch.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The next batches that so many tokens can pay for: at most `batches_max` of at most `members_max` each.
    pub(crate) fn plan(&self, mut tokens: u128, batches_max: usize, members_max: usize) -> Vec<(Address, Vec<Member>)> {
        let mut plans = Vec::new();
        for (to, waiting) in self.waiting.iter().take(batches_max) {
            let mut members = Vec::new();
            for member in waiting.iter().take(members_max) {
                let Some(left) = tokens.checked_sub(member.amount.0) else { break };
                tokens = left;
                members.push(*member);
            }
            if !members.is_empty() {
                plans.push((*to, members));
            }
        }
        plans
    }
}

/// A provider's ledger with an outflow in it.
pub(crate) trait Outflowing: Ledger {
    fn outflow(&self) -> &Outflow;
    fn record(record: OutflowRecord) -> Self::Record;
    /// What to announce about an order or payout whose tokens have gone.
    fn announcement(&self, id: Uuid) -> Option<Announcement>;
}

#[cfg(test)]
mod tests {
    use super::{Address, Outflow, OutflowRecord, TxHash, Uuid};

    const TO: Address = Address([7; 20]);

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn three() -> Outflow {
        let mut outflow = Outflow::default();
        for number in 1..=3 {
            outflow.queue(TO, id(number), 10);
        }
        outflow
    }

    fn make(outflow: &mut Outflow, batch: u128, tokens: u128) -> Vec<Uuid> {
        let Some((to, members)) = outflow.plan(tokens, 4, 10).pop() else { return Vec::new() };
        outflow.apply(&OutflowRecord::Made { batch: id(batch), to, members }).iter().map(|member| member.id).collect()
    }

    #[test]
    fn a_member_is_in_one_batch_only_and_tokens_bound_it() {
        let mut outflow = three();
        assert_eq!(make(&mut outflow, 100, 25), [id(1), id(2)]);
        assert!(make(&mut outflow, 101, 9).is_empty());
        assert_eq!(make(&mut outflow, 102, 99), [id(3)]);
        assert!(!outflow.has_waiting());
        outflow.apply(&OutflowRecord::Signed { batch: id(100), tx_hash: TxHash([1; 32]) });
        assert_eq!(outflow.apply(&OutflowRecord::Done { batch: id(100), at_ms: 0 }).len(), 2);
        assert_eq!(outflow.open().map(|(id, _)| id).collect::<Vec<_>>(), [id(102)]);
    }

    #[test]
    fn members_of_a_failed_batch_queue_again() {
        let mut outflow = three();
        make(&mut outflow, 100, 25);
        outflow.apply(&OutflowRecord::Failed { batch: id(100) });
        assert_eq!(make(&mut outflow, 101, 99), [id(3), id(1), id(2)]);
        assert_eq!(outflow.open().count(), 1);
    }
}
