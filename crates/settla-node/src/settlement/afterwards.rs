//! Finished batches, watched until their block is so deep that it stays.
//!
//! A reorganisation deeper than our depth takes back what we have acted on. The payment is then still signed and still
//! owed: the same bytes are broadcast again, and people are told, because until it is in a block again the off-ramp has
//! paid out of its own pocket.

use super::{RoundError, SettlementDesk, parse_hash};
use settla_evm::Confirmation;
use settla_store::settlement::{self, Settlement};
use std::time::{Duration, Instant};

/// Between two looks.
const WATCH_EVERY: Duration = Duration::from_secs(2);
/// Most batches looked at.
const WATCHED_MAX: i64 = 500;

impl SettlementDesk {
    /// Looks at what was finished and at the gas that is left, every now and then.
    pub(super) async fn watch_finished(&mut self) -> Result<(), RoundError> {
        if self.watched_at.is_some_and(|at| at.elapsed() < WATCH_EVERY) {
            return Ok(());
        }
        self.watched_at = Some(Instant::now());
        self.gas_left(self.node.chain.rpc.fees().await?).await?;
        let batches = settlement::not_final(&self.node.store.worker, WATCHED_MAX).await?;
        let hashes = batches.iter().map(super::tx_hash).collect::<Result<Vec<_>, _>>()?;
        let chain = &self.node.chain;
        let height = chain.rpc.block_number().await?;
        let outcomes = chain.rpc.confirmed(&hashes, 1).await?;
        let (mut last, mut lost) = (Vec::new(), 0u32);
        for (batch, outcome) in batches.iter().zip(outcomes) {
            match outcome {
                Confirmation::Succeeded { receipt } => {
                    if receipt.block_number.saturating_add(self.node.config.settlement.final_depth) <= height {
                        last.push(batch.batch);
                    }
                }
                Confirmation::Reverted { .. } | Confirmation::NotFound | Confirmation::Pending => {
                    lost += 1;
                    self.bring_back(batch).await?;
                }
            }
        }
        metrics::gauge!(crate::counters::SETTLEMENTS_LOST).set(f64::from(lost));
        Ok(settlement::finalised(&self.node.store.worker, &last).await?)
    }

    /// Broadcasts every transaction of the batch again. If another one than before has got into a block, it has moved the
    /// same tokens for the same members, and is the one to be watched.
    async fn bring_back(&mut self, batch: &Settlement) -> Result<(), RoundError> {
        let transactions = settlement::transactions(&self.node.store.worker, batch.batch).await?;
        let hashes = transactions.iter().map(|tx| parse_hash(&tx.tx_hash)).collect::<Result<Vec<_>, _>>()?;
        let outcomes = self.node.chain.rpc.confirmed(&hashes, 1).await?;
        let is_back = |outcome: &Confirmation| matches!(outcome, Confirmation::Succeeded { .. });
        if let Some(back) = outcomes.iter().position(is_back) {
            let tx_hash = &transactions[back].tx_hash;
            return Ok(settlement::found_again(&self.node.store.worker, batch.batch, tx_hash).await?);
        }
        tracing::error!(batch = %batch.batch, "a settled batch is no longer on chain: broadcasting it again");
        for transaction in &transactions {
            self.broadcast(batch.batch, &transaction.raw).await;
        }
        self.sent.remove(&batch.batch);
        Ok(())
    }
}
