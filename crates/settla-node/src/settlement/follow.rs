//! What the chain made of a batch.

use super::{RoundError, SettlementDesk, parse_hash};
use settla_evm::{Confirmation, TxHash};
use settla_store::settlement::{self, Settlement};
use uuid::Uuid;

/// A failed batch's members wait so long before they join another.
const AFTER_FAILURE_MS: i64 = 5_000;

impl SettlementDesk {
    /// Looks for an outcome at depth of any of the batch's transactions; without one, sees to it that it goes on.
    /// `first`: whether it has the lowest nonce of those under way.
    pub(super) async fn follow(&mut self, batch: &Settlement, first: bool) -> Result<(), RoundError> {
        let transactions = settlement::transactions(&self.node.store.worker, batch.batch).await?;
        let last = transactions.last().ok_or(RoundError::Stored("a signed batch without bytes"))?;
        let rpc = &self.node.chain.rpc;
        let hashes = transactions.iter().map(|tx| parse_hash(&tx.tx_hash)).collect::<Result<Vec<_>, _>>()?;
        let outcomes = rpc.confirmed(&hashes, self.node.chain.depth).await?;
        for (tx, outcome) in transactions.iter().zip(&outcomes) {
            match outcome {
                Confirmation::Succeeded { .. } => {
                    settlement::confirmed(&self.node.store.worker, batch.batch, &tx.tx_hash).await?;
                    self.forget(batch.batch);
                    let confirmed = Settlement { tx_hash: Some(tx.tx_hash.clone()), ..batch.clone() };
                    self.telling.begin(&self.node, &confirmed);
                    return Ok(());
                }
                Confirmation::Reverted { .. } => return self.fail_if_final(batch, parse_hash(&tx.tx_hash)?).await,
                Confirmation::Pending | Confirmation::NotFound => {}
            }
        }
        if outcomes.iter().all(|outcome| *outcome == Confirmation::NotFound) {
            match self.is_taken(batch, &hashes).await {
                // It may be one of its own that the database has lost.
                Ok(true) if self.learn(batch.batch, &transactions).await? => return Ok(()),
                Ok(true) => return self.fail(batch, "nonce_taken").await,
                Ok(false) => {}
                // That is no reason not to send it again.
                Err(error) => tracing::warn!(%error, batch = %batch.batch, "no node can tell who used a nonce"),
            }
        }
        let sent = self.sent.get(&batch.batch).copied();
        let is_stale = sent.is_none_or(|sent| sent.at.elapsed() > self.node.config.settlement.rebroadcast_after);
        if !is_stale && !first {
            return Ok(());
        }
        // In a block, however shallow, it needs neither to be sent nor to be paid more for.
        let in_a_block = self.node.chain.rpc.confirmed(&hashes, 1).await?;
        if in_a_block.iter().any(|o| matches!(o, Confirmation::Succeeded { .. } | Confirmation::Reverted { .. })) {
            return Ok(());
        }
        if is_stale {
            self.broadcast(batch.batch, &last.raw).await;
        }
        if first { self.bump(batch, &transactions).await } else { Ok(()) }
    }

    /// A revert frees the members only when its block is final: in a block that is taken back it could still succeed,
    /// and its members would be paid for twice.
    async fn fail_if_final(&mut self, batch: &Settlement, hash: TxHash) -> Result<(), RoundError> {
        let depth = self.node.config.settlement.final_depth;
        match self.node.chain.rpc.confirmed(&[hash], depth).await?.first() {
            Some(Confirmation::Reverted { .. }) => self.fail(batch, "reverted").await,
            _ => Ok(()),
        }
    }

    /// Whether the batch's nonce was used up, finally, by a transaction that is none of its own. That no node knows its
    /// own is no proof of anything; the other transaction, in its block, is.
    async fn is_taken(&self, batch: &Settlement, own: &[TxHash]) -> Result<bool, RoundError> {
        let nonce = batch.nonce.and_then(|nonce| u64::try_from(nonce).ok()).ok_or(RoundError::Stored("nonce"))?;
        let (rpc, depth) = (&self.node.chain.rpc, self.node.config.settlement.final_depth);
        let by = rpc.transaction_of_nonce(self.node.wallet, nonce, depth).await?;
        Ok(by.is_some_and(|by| !own.contains(&by)))
    }

    /// The nonce is used up and no tokens have moved: the members are free for another batch.
    async fn fail(&mut self, batch: &Settlement, failure: &'static str) -> Result<(), RoundError> {
        tracing::error!(batch = %batch.batch, failure, "a settlement has failed; its members join another batch");
        metrics::counter!(crate::counters::SETTLEMENTS_FAILED, "failure" => failure).increment(1);
        self.forget(batch.batch);
        Ok(settlement::failed(&self.node.store.worker, batch.batch, failure, AFTER_FAILURE_MS).await?)
    }

    fn forget(&mut self, batch: Uuid) {
        self.sent.remove(&batch);
    }
}
