//! An off-ramp's book.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use settla_evm::TxHash;
use uuid::Uuid;

use super::{
    payout::{Payout, PayoutRequest, PayoutStatus},
    settlement::{Settlement, SettlementRequest, SettlementStatus},
};
use crate::{
    book::Ledger,
    chain::{Outflow, OutflowRecord, Outflowing},
    clock,
    control::Control,
    magic::Behaviour,
    money::{self, Amount, Currency, Money, Totals},
    webhook::{Announcement, StoredEndpoint},
};

/// Why an entry was booked.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EntryKind {
    TokensReceived,
    Paid,
    TokensReturned,
}

/// A line of the statement: tokens in are positive, tokens back and fiat out negative.
#[derive(Serialize)]
pub(crate) struct Entry {
    seq: u64,
    /// The batch of a settlement, else the payout.
    id: Uuid,
    #[serde(rename = "booked_at", serialize_with = "clock::as_rfc3339")]
    booked_at_ms: u64,
    /// When the settlement or the payout that it is about was accepted.
    #[serde(rename = "accepted_at", serialize_with = "clock::as_rfc3339")]
    accepted_at_ms: u64,
    kind: EntryKind,
    currency: Currency,
    #[serde(serialize_with = "money::as_string")]
    amount: i128,
    tx_hash: Option<TxHash>,
    reference: Option<String>,
}

/// One line of an off-ramp's journal.
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Record {
    Endpoint { endpoint: StoredEndpoint },
    SettlementAccepted { request: SettlementRequest, at_ms: u64 },
    SettlementVerified { settlement: Uuid, at_ms: u64 },
    SettlementRefused { settlement: Uuid, reason: String },
    Accepted { key: String, request: Box<PayoutRequest>, behaviour: Behaviour, at_ms: u64, due_ms: u64 },
    Key { key: String, payout: Uuid },
    Paid { payout: Uuid, amount: Amount, reference: String, at_ms: u64 },
    Returning { payout: Uuid, amount: Amount, reason: String },
    Rejected { payout: Uuid, reason: String },
    Control { control: Control },
    Outflow { batch: OutflowRecord },
}

/// The state.
#[derive(Default)]
pub(crate) struct OfframpLedger {
    pub(crate) endpoint: Option<StoredEndpoint>,
    pub(crate) control: Control,
    pub(crate) settlements: HashMap<Uuid, Settlement>,
    /// Settlements that the chain has not answered for, oldest first.
    pub(crate) unverified: BTreeSet<(u64, Uuid)>,
    /// Transactions whose members are known and whose tokens are here.
    verified: HashSet<TxHash>,
    /// Tokens that came for a payout in a transaction.
    credits: HashMap<(TxHash, Uuid), u128>,
    pub(crate) payouts: HashMap<Uuid, Payout>,
    pub(crate) keys: HashMap<String, Uuid>,
    /// Payouts that wait for their transaction to be verified.
    waiting: HashMap<TxHash, Vec<Uuid>>,
    /// Payouts whose transaction is verified, by the time at which they are decided.
    pub(crate) due: BTreeSet<(u64, Uuid)>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) tokens_received: Totals,
    pub(crate) tokens_returned: Totals,
    pub(crate) paid: Totals,
    /// Fiat of all payouts that wait.
    pub(crate) promised: Totals,
    pub(crate) counts: BTreeMap<&'static str, u64>,
    outflow: Outflow,
}

impl Ledger for OfframpLedger {
    type Record = Record;

    fn apply(&mut self, record: Record) {
        match record {
            Record::Endpoint { endpoint } => self.endpoint = Some(endpoint),
            Record::Control { control } => self.control = control,
            Record::SettlementAccepted { request, at_ms } => {
                let id = request.batch_id;
                self.unverified.insert((at_ms, id));
                let settlement = Settlement { request, accepted_ms: at_ms, status: SettlementStatus::Pending };
                self.settlements.insert(id, settlement);
            }
            Record::SettlementVerified { settlement, at_ms } => self.verify(settlement, at_ms),
            Record::SettlementRefused { settlement: id, reason } => {
                if let Some(settlement) = self.settlements.get_mut(&id) {
                    self.unverified.remove(&(settlement.accepted_ms, id));
                    settlement.status = SettlementStatus::Refused(reason);
                }
            }
            Record::Accepted { key, request, behaviour, at_ms, due_ms } => {
                let id = request.client_payout_id;
                self.keys.insert(key, id);
                if self.verified.contains(&request.settlement_tx_hash) {
                    self.due.insert((due_ms, id));
                } else {
                    self.waiting.entry(request.settlement_tx_hash).or_default().push(id);
                }
                let status = PayoutStatus::Pending;
                let payout = Payout { request: *request, behaviour, accepted_ms: at_ms, due_ms, status };
                self.count(payout.status.name(), 1);
                self.promised.add(payout.request.destination);
                self.payouts.insert(id, payout);
            }
            Record::Key { key, payout } => {
                self.keys.insert(key, payout);
            }
            Record::Paid { payout: id, amount, reference, at_ms } => {
                let Some(payout) = self.payouts.get(&id) else { return };
                let amount = Money { currency: payout.request.destination.currency, amount };
                self.move_to(id, PayoutStatus::Paid { amount, reference: reference.clone() });
                self.paid.add(amount);
                self.book(EntryKind::Paid, id, at_ms, amount, None, Some(reference));
            }
            Record::Returning { payout: id, amount, reason } => {
                let Some(payout) = self.payouts.get(&id) else { return };
                self.outflow.queue(payout.request.return_address, id, amount.0);
                self.move_to(id, PayoutStatus::Returning { reason, amount: amount.0 });
            }
            Record::Rejected { payout, reason } => {
                self.move_to(payout, PayoutStatus::Rejected { reason, returned: None });
            }
            Record::Outflow { batch } => self.apply_outflow(&batch),
        }
    }
}

impl OfframpLedger {
    /// Tokens that came for the payout in the transaction that it names.
    pub(crate) fn credit(&self, payout: &PayoutRequest) -> Option<u128> {
        self.credits.get(&(payout.settlement_tx_hash, payout.client_payout_id)).copied()
    }

    fn verify(&mut self, id: Uuid, at_ms: u64) {
        let Some(settlement) = self.settlements.get_mut(&id) else { return };
        self.unverified.remove(&(settlement.accepted_ms, id));
        settlement.status = SettlementStatus::Verified;
        let tx_hash = settlement.request.tx_hash;
        self.verified.insert(tx_hash);
        let mut total = 0;
        for member in &settlement.request.members {
            total += member.amount.0;
            self.credits.insert((tx_hash, member.client_payout_id), member.amount.0);
        }
        let received = Money::new(Currency::Usdc, total);
        self.tokens_received.add(received);
        self.book(EntryKind::TokensReceived, id, at_ms, received, Some(tx_hash), None);
        for payout in self.waiting.remove(&tx_hash).unwrap_or_default() {
            if let Some(waits) = self.payouts.get(&payout) {
                self.due.insert((waits.due_ms, payout));
            }
        }
    }

    fn count(&mut self, status: &'static str, change: i64) {
        let count = self.counts.entry(status).or_default();
        *count = count.saturating_add_signed(change);
    }

    fn move_to(&mut self, id: Uuid, status: PayoutStatus) {
        let Some(payout) = self.payouts.get_mut(&id) else { return };
        self.due.remove(&(payout.due_ms, id));
        if payout.status == PayoutStatus::Pending {
            self.promised.remove(payout.request.destination);
        }
        let (from, to) = (payout.status.name(), status.name());
        payout.status = status;
        self.count(from, -1);
        self.count(to, 1);
    }

    fn book(
        &mut self,
        kind: EntryKind,
        id: Uuid,
        booked_at_ms: u64,
        money: Money,
        tx_hash: Option<TxHash>,
        reference: Option<String>,
    ) {
        // A sum of at most 2,000 amounts of 10^18.
        let size = i128::try_from(money.amount.0).unwrap_or(i128::MAX);
        let amount = if matches!(kind, EntryKind::TokensReceived) { size } else { -size };
        let seq = self.entries.len() as u64 + 1;
        let currency = money.currency;
        let accepted = match kind {
            EntryKind::TokensReceived => self.settlements.get(&id).map(|settlement| settlement.accepted_ms),
            EntryKind::Paid | EntryKind::TokensReturned => self.payouts.get(&id).map(|payout| payout.accepted_ms),
        };
        let accepted_at_ms = accepted.unwrap_or(booked_at_ms);
        self.entries.push(Entry { seq, id, booked_at_ms, accepted_at_ms, kind, currency, amount, tx_hash, reference });
    }

    fn apply_outflow(&mut self, record: &OutflowRecord) {
        let members = self.outflow.apply(record);
        let OutflowRecord::Done { batch, at_ms } = record else { return };
        let Some(tx_hash) = self.outflow.batch(*batch).and_then(|batch| batch.tx_hash) else { return };
        for member in members {
            let Some(PayoutStatus::Returning { reason, .. }) = self.payouts.get(&member.id).map(|p| &p.status) else {
                continue;
            };
            let returned = Some((*batch, tx_hash, member.amount.0));
            self.move_to(member.id, PayoutStatus::Rejected { reason: reason.clone(), returned });
            let tokens = Money { currency: Currency::Usdc, amount: member.amount };
            self.tokens_returned.add(tokens);
            self.book(EntryKind::TokensReturned, member.id, *at_ms, tokens, Some(tx_hash), None);
        }
    }
}

impl Outflowing for OfframpLedger {
    fn outflow(&self) -> &Outflow {
        &self.outflow
    }

    fn record(batch: OutflowRecord) -> Record {
        Record::Outflow { batch }
    }

    fn announcement(&self, id: Uuid) -> Option<Announcement> {
        let payout = self.payouts.get(&id)?;
        let data = payout.to_json();
        Some(Announcement { subject: id, kind: "payout.updated", data, behaviour: payout.behaviour })
    }
}
