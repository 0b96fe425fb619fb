//! Holds that came to nothing: a funded transfer whose on-ramp order nobody has touched for too long is called off, and
//! the tenant has its money back.

use crate::{Node, Stop, wait};
use futures_util::future::join_all;
use settla_domain::decide::Command;
use settla_domain::id::TransferId;
use settla_server::runner::{Envelope, RunnerError};
use settla_store::outbox;
use std::sync::Arc;
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(5);
/// Most holds ended in one round.
const ROUND_MAX: i64 = 500;

/// Looks until told to stop.
pub(crate) async fn run(node: Arc<Node>, mut stop: Stop) {
    while wait(std::future::pending(), EVERY, &mut stop).await {
        if let Err(error) = round(&node).await {
            tracing::warn!(%error, "holds cannot be looked at now");
        }
    }
}

async fn round(node: &Node) -> Result<(), settla_store::StoreError> {
    let idle = outbox::untouched_orders(&node.store.worker, node.config.hold_lifetime, ROUND_MAX).await?;
    let mut ending = Vec::with_capacity(idle.len());
    for (tenant, subject) in idle {
        let command = Command::ExpireHold { tenant, transfer: TransferId(subject) };
        let envelope = Envelope { tenant, command, idempotency: None, sealed: None, audit: None };
        ending.push(node.runner.submit_patiently(envelope));
    }
    for outcome in join_all(ending).await {
        match outcome {
            // A worker has touched it in the meantime, or the tenant has cancelled it.
            Ok(_) | Err(RunnerError::Refused(_)) => {}
            Err(error) => tracing::warn!(%error, "a hold could not be ended"),
        }
    }
    Ok(())
}
