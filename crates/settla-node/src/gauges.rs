//! Gauges for alerts: how much is open and how old the oldest is.

use crate::{Node, Stop, wait};
use settla_domain::effect::EffectKind;
use settla_domain::transfer::TransferState;
use settla_domain::withdrawal::WithdrawalState;
use settla_server::clock::now;
use settla_store::{StoreError, books, outbox, set_aside, webhook};
use std::sync::Arc;
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(5);

/// Keeps the gauges until told to stop.
pub(crate) async fn run(node: Arc<Node>, mut stop: Stop) {
    loop {
        match read(&node).await {
            // The others keep their last values when they cannot be read; this one tells how old those are.
            Ok(()) => metrics::gauge!("settla_gauges_read_timestamp_seconds").set(now().0 as f64 / 1e6),
            Err(error) => tracing::warn!(%error, "gauges cannot be read"),
        }
        if !wait(std::future::pending(), EVERY, &mut stop).await {
            return;
        }
    }
}

/// A state or kind that has emptied must be seen to be empty.
async fn read(node: &Node) -> Result<(), StoreError> {
    let transfers = books::open_transfers(&node.store.auditor).await?;
    for state in TransferState::ALL.into_iter().filter(|s| !s.is_terminal()).map(TransferState::name) {
        let (open, oldest_s) = row(&transfers, state);
        metrics::gauge!("settla_transfers_open", "state" => state).set(open);
        metrics::gauge!("settla_transfer_oldest_seconds", "state" => state).set(oldest_s);
    }
    let withdrawals = books::open_withdrawals(&node.store.auditor).await?;
    for state in [WithdrawalState::Pending, WithdrawalState::UnderReview].map(WithdrawalState::name) {
        let (open, oldest_s) = row(&withdrawals, state);
        metrics::gauge!("settla_withdrawals_open", "state" => state).set(open);
        metrics::gauge!("settla_withdrawal_oldest_seconds", "state" => state).set(oldest_s);
    }
    let aside = set_aside::count(&node.store.worker).await?;
    for kind in EffectKind::ALL.map(EffectKind::name) {
        let count = aside.iter().find(|(found, _)| found == kind).map_or(0, |(_, count)| *count);
        metrics::gauge!("settla_outbox_set_aside", "kind" => kind).set(count as f64);
    }
    let effects = outbox::backlog(&node.store.worker).await?;
    for kind in EffectKind::ALL.map(EffectKind::name) {
        let (open, oldest_s) = row(&effects, kind);
        metrics::gauge!("settla_outbox_open", "kind" => kind).set(open);
        metrics::gauge!("settla_outbox_oldest_seconds", "kind" => kind).set(oldest_s);
    }
    metrics::gauge!("settla_webhook_neglected_seconds").set(webhook::neglected_s(&node.store.worker).await?);
    crate::reconcile::measure(node).await
}

fn row(rows: &[(String, i64, f64)], name: &str) -> (f64, f64) {
    rows.iter().find(|(found, _, _)| found == name).map_or((0.0, 0.0), |(_, open, oldest_s)| (*open as f64, *oldest_s))
}
