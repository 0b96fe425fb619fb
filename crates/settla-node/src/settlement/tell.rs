//! Telling whose tokens they are: the off-ramp, then every member.

use super::{RoundError, SettlementDesk, manifest, tx_hash};
use futures_util::future::join_all;
use settla_domain::effect::EffectKind;
use settla_domain::finding::Finding;
use settla_domain::id::BatchId;
use settla_rails::on_ramp::TokenBatch;
use settla_store::settlement::{self, Settlement};

impl SettlementDesk {
    /// Each step may be repeated.
    pub(super) async fn tell(&mut self, batch: &Settlement) -> Result<(), RoundError> {
        let node = &self.node;
        let tx = tx_hash(batch)?;
        let members = settlement::members(&node.store.worker, batch.batch).await?;
        let ramp =
            node.off_ramps.get(&batch.lane.provider).ok_or(RoundError::Stored("no such off-ramp is configured"))?;
        let shares = manifest(batch.batch, &members).members.iter().map(|m| (m.id, m.amount)).collect();
        ramp.announce(&TokenBatch { id: batch.batch, tx, members: shares }).await?;
        // All at once, so that they share the runner's batches.
        let mut telling = Vec::with_capacity(members.len());
        for m in &members {
            let finding = Finding::Settled { batch: BatchId(batch.batch), tx: tx.to_string() };
            telling.push(node.report(m.tenant, m.subject, m.effect, finding));
        }
        let told = join_all(telling).await;
        if told.iter().all(Result::is_ok) {
            let times = i64::try_from(members.len()).unwrap_or(0);
            node.measures.succeeded(&batch.lane.chain, EffectKind::Settle, times, batch.age_ms);
            settlement::done(&node.store.worker, batch.batch).await?;
        }
        Ok(())
    }
}
