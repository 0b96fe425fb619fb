//! Gauges for alerts: how much is open and how old the oldest is.

use crate::{Node, Stop, wait};
use settla_domain::transfer::TransferState;
use settla_store::{books, outbox};
use std::sync::Arc;
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(5);

/// Keeps the gauges until told to stop.
pub(crate) async fn run(node: Arc<Node>, mut stop: Stop) {
    while wait(std::future::pending(), EVERY, &mut stop).await {
        match books::open_transfers(&node.store.auditor).await {
            Ok(rows) => {
                // A state that has emptied must be seen to be empty.
                for state in TransferState::ALL.into_iter().filter(|s| !s.is_terminal()) {
                    let row = rows.iter().find(|(name, _, _)| name == state.name());
                    metrics::gauge!("settla_transfers_open", "state" => state.name()).set(row.map_or(0.0, |r| r.1 as f64));
                    metrics::gauge!("settla_transfer_oldest_seconds", "state" => state.name()).set(row.map_or(0.0, |r| r.2));
                }
            }
            Err(error) => tracing::warn!(%error, "gauges cannot be read"),
        }
        if let Ok(rows) = outbox::backlog(&node.store.worker).await {
            for (kind, open, oldest_s) in rows {
                metrics::gauge!("settla_outbox_open", "kind" => kind.clone()).set(open as f64);
                metrics::gauge!("settla_outbox_oldest_seconds", "kind" => kind).set(oldest_s);
            }
        }
    }
}
