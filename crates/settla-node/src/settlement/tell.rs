//! Telling whose tokens they are: the off-ramp, then every member.

use super::{RoundError, manifest, tx_hash};
use crate::Node;
use futures_util::future::join_all;
use settla_domain::effect::EffectKind;
use settla_domain::finding::Finding;
use settla_domain::id::BatchId;
use settla_rails::on_ramp::TokenBatch;
use settla_store::settlement::{self, Settlement};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use uuid::Uuid;

/// A batch of which not everybody could be told is taken up again after this.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// The batches of which others are being told, each in a task of its own: neither an off-ramp that takes its time nor a
/// long line in front of the runner holds up the next batch's signature.
#[derive(Default)]
pub(super) struct Telling {
    under_way: BTreeSet<Uuid>,
    /// Ends with its owner; each step may be repeated.
    tasks: JoinSet<Uuid>,
}

impl Telling {
    /// Forgets those that have ended. Before what is open is read: what ends after that is not to begin anew.
    pub(super) fn reap(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            self.ended(ended);
        }
    }

    /// Begins, unless it is under way.
    pub(super) fn begin(&mut self, node: &Arc<Node>, batch: &Settlement) {
        if self.under_way.insert(batch.batch) {
            let (node, batch) = (Arc::clone(node), batch.clone());
            self.tasks.spawn(async move {
                if let Err(error) = tell(&node, &batch).await {
                    tracing::warn!(%error, batch = %batch.batch, "not everybody could be told of a batch");
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
                batch.batch
            });
        }
    }

    fn ended(&mut self, ended: Result<Uuid, tokio::task::JoinError>) {
        match ended {
            Ok(batch) => drop(self.under_way.remove(&batch)),
            Err(error) => {
                // Whose it was is not known; what is under way besides is told twice at most.
                tracing::error!(%error, "telling of a batch has panicked");
                self.under_way.clear();
            }
        }
    }

    /// Waits until nothing is under way.
    #[cfg(test)]
    pub(super) async fn finish(&mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            self.ended(ended);
        }
    }
}

/// Each step may be repeated.
async fn tell(node: &Node, batch: &Settlement) -> Result<(), RoundError> {
    let tx = tx_hash(batch)?;
    let members = settlement::members(&node.store.worker, batch.batch).await?;
    let ramp = node.off_ramps.get(&batch.lane.provider).ok_or(RoundError::Stored("no such off-ramp is configured"))?;
    let shares = manifest(batch.batch, &members).members.iter().map(|m| (m.id, m.amount)).collect();
    ramp.announce(&TokenBatch { id: batch.batch, tx, members: shares }).await?;
    // All at once, so that they share the runner's batches.
    let mut telling = Vec::with_capacity(members.len());
    for m in &members {
        let finding = Finding::Settled { batch: BatchId(batch.batch), tx: tx.to_string() };
        telling.push(node.report(m.tenant, m.subject, m.effect, finding));
    }
    if join_all(telling).await.iter().any(Result::is_err) {
        return Err(RoundError::Stored("a member was not told"));
    }
    let times = i64::try_from(members.len()).unwrap_or(0);
    node.measures.succeeded(&batch.lane.chain, EffectKind::Settle, times, batch.age_ms);
    Ok(settlement::done(&node.store.worker, batch.batch).await?)
}
