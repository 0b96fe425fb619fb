//! Makes batches, signs them, broadcasts them and waits for their receipts: one worker a wallet.
//!
//! Each step is in the journal before the next one begins, and each step gives the same result when it is repeated
//! (the signer returns the same bytes for a batch for ever). So a crash anywhere is a pause.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use settla_evm::{Confirmation, RpcError, SendError, SignerError, TxHash};
use tokio::sync::Notify;
use uuid::Uuid;

use super::{
    outflow::{Batch, OutflowRecord, Outflowing},
    wallet::Wallet,
};
use crate::{book::Book, clock::now_ms, error::StoreError, stop::Stop, webhook::Announcer};

/// Time between two batches, so that many members share a transaction.
const BATCH_EVERY: Duration = Duration::from_millis(400);
/// A node tells of receipts only when it is asked.
const LOOK_EVERY: Duration = Duration::from_millis(150);
/// Wait after a step failed: the node is away, or the wallet is empty.
const FAILED_WAIT: Duration = Duration::from_secs(1);
/// Wait after a transaction was reverted: the token is paused, say.
const REVERTED_WAIT: Duration = Duration::from_secs(5);
/// Batches without a receipt at once.
const OPEN_MAX: usize = 16;
/// Members of a batch: half of what a manifest may have, so that either side can grow alone.
const MEMBERS_MAX: usize = settla_evm::manifest::MEMBERS_MAX / 2;

/// The worker of one wallet.
pub(crate) struct Courier<L> {
    pub(crate) name: Arc<str>,
    pub(crate) book: Arc<Book<L>>,
    pub(crate) wallet: Wallet,
    pub(crate) announcer: Arc<Announcer>,
    /// Rung when a member was queued.
    pub(crate) bell: Arc<Notify>,
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Rpc(#[from] RpcError),
    #[error("broadcast: {0}")]
    Send(#[from] SendError),
    #[error(transparent)]
    Signer(#[from] SignerError),
    #[error("the wallet's tokens do not cover the next member")]
    NoTokens,
    #[error("the signer does not know a batch that it signed: its folder was put back")]
    Forgotten,
    #[error("a transaction was reverted; its members queue again")]
    Reverted,
}

/// What is to be done now.
struct Work {
    waiting: bool,
    /// Batches to be signed, oldest first.
    unsigned: Vec<(Uuid, Batch)>,
    /// Signed batches without a receipt, oldest first.
    signed: Vec<(Uuid, TxHash)>,
    /// Tokens that open batches take out of the wallet.
    promised: u128,
}

impl<L: Outflowing> Courier<L> {
    /// Works until it is time to stop.
    pub(crate) async fn run(self, stop: Stop) {
        stop.or(self.work()).await;
    }

    async fn work(&self) {
        let mut batched_at: Option<Instant> = None;
        // Broadcast by this process. The others are broadcast again, as a new process knows of none.
        let mut sent = HashSet::new();
        loop {
            let wait = match self.step(&mut batched_at, &mut sent).await {
                Ok(true) => LOOK_EVERY,
                Ok(false) => {
                    self.bell.notified().await;
                    continue;
                }
                Err(trouble) => {
                    tracing::warn!(wallet = %self.name, %trouble, "no delivery for a moment");
                    if matches!(trouble, Trouble::Reverted) { REVERTED_WAIT } else { FAILED_WAIT }
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// One round; says whether another one is needed soon.
    async fn step(&self, batched_at: &mut Option<Instant>, sent: &mut HashSet<Uuid>) -> Result<bool, Trouble> {
        let mut work = self.look().await?;
        let open = work.unsigned.len() + work.signed.len();
        if work.waiting && open < OPEN_MAX && batched_at.is_none_or(|at| at.elapsed() >= BATCH_EVERY) {
            *batched_at = Some(Instant::now());
            let tokens = self.wallet.tokens().await?.saturating_sub(work.promised);
            let made = self.make(tokens, OPEN_MAX - open).await?;
            if made == 0 && open == 0 {
                return Err(Trouble::NoTokens);
            }
            work = self.look().await?;
        }
        if work.unsigned.is_empty() && work.signed.is_empty() {
            return Ok(work.waiting);
        }
        // A broadcast that fails does not keep the batches before it from their receipts.
        let signed = self.sign(&mut work, sent).await;
        self.settle(&work, sent).await?;
        signed?;
        Ok(true)
    }

    async fn look(&self) -> Result<Work, StoreError> {
        self.book
            .read(|ledger| {
                let outflow = ledger.outflow();
                let mut work = Work { waiting: outflow.has_waiting(), unsigned: vec![], signed: vec![], promised: 0 };
                for (id, batch) in outflow.open() {
                    work.promised += batch.total();
                    match batch.tx_hash {
                        Some(tx_hash) => work.signed.push((id, tx_hash)),
                        None => work.unsigned.push((id, batch.clone())),
                    }
                }
                work
            })
            .await
    }

    async fn make(&self, tokens: u128, batches_max: usize) -> Result<usize, StoreError> {
        self.book
            .commit(|change| {
                let plans = change.ledger().outflow().plan(tokens, batches_max, MEMBERS_MAX);
                let count = plans.len();
                for (to, members) in plans {
                    let batch = Uuid::now_v7();
                    change.write(L::record(OutflowRecord::Made { batch, to, members }));
                }
                count
            })
            .await
    }

    /// Signs what is not signed and broadcasts what this process has not broadcast, in the order of nonces.
    async fn sign(&self, work: &mut Work, sent: &mut HashSet<Uuid>) -> Result<(), Trouble> {
        if !work.unsigned.is_empty() {
            let fees = self.wallet.chain.rpc.fees().await?;
            for (id, batch) in work.unsigned.drain(..) {
                let signed = self.wallet.sign(id, &batch, fees).await?;
                let tx_hash = signed.tx_hash;
                self.book
                    .commit(|change| change.write(L::record(OutflowRecord::Signed { batch: id, tx_hash })))
                    .await?;
                work.signed.push((id, tx_hash));
            }
        }
        for (id, _) in &work.signed {
            if !sent.contains(id) {
                self.broadcast(*id).await?;
                sent.insert(*id);
            }
        }
        Ok(())
    }

    async fn broadcast(&self, id: Uuid) -> Result<(), Trouble> {
        let Some(signed) = self.wallet.signed(id).await? else { return Err(Trouble::Forgotten) };
        match self.wallet.chain.rpc.send_raw(&signed.raw).await {
            // Nonce too low: it is in a block already, which the receipt tells.
            Ok(_) | Err(SendError::NonceTooLow) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads receipts, ends the batches that have one at depth and announces their members.
    async fn settle(&self, work: &Work, sent: &mut HashSet<Uuid>) -> Result<(), Trouble> {
        let hashes: Vec<TxHash> = work.signed.iter().map(|(_, tx_hash)| *tx_hash).collect();
        let found = self.wallet.chain.rpc.confirmed(&hashes, self.wallet.chain.depth).await?;
        let mut ended = Vec::new();
        let mut reverted = false;
        for ((batch, tx_hash), confirmation) in work.signed.iter().zip(found) {
            match confirmation {
                Confirmation::Pending => {}
                // Dropped by the node, or refused by it: the same bytes again.
                Confirmation::NotFound => {
                    sent.remove(batch);
                }
                Confirmation::Succeeded { .. } => {
                    sent.remove(batch);
                    ended.push(OutflowRecord::Done { batch: *batch, at_ms: now_ms() });
                }
                Confirmation::Reverted { .. } => {
                    tracing::warn!(wallet = %self.name, %tx_hash, "reverted");
                    sent.remove(batch);
                    reverted = true;
                    ended.push(OutflowRecord::Failed { batch: *batch });
                }
            }
        }
        if !ended.is_empty() {
            let news = self.book.commit(|change| {
                let mut news = Vec::new();
                for record in ended {
                    let done = match &record {
                        OutflowRecord::Done { batch, .. } => Some(*batch),
                        _ => None,
                    };
                    change.write(L::record(record));
                    let ledger = change.ledger();
                    let batch = done.and_then(|batch| ledger.outflow().batch(batch));
                    let members = batch.iter().flat_map(|batch| &batch.members);
                    news.extend(members.filter_map(|member| ledger.announcement(member.id)));
                }
                news
            });
            self.announcer.announce(news.await?);
        }
        if reverted { Err(Trouble::Reverted) } else { Ok(()) }
    }
}
