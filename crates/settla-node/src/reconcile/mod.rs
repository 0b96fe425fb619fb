//! Reconciliation: our books with themselves, with the bank's and the providers' own statements, and with the chain, all
//! the time.
//!
//! A round ([`round`]) compares what is new and some of what is old; its module says what it costs. What differs is kept
//! with the instant at which it was first seen. It is a break once it has been there for its book's grace
//! ([`Book::grace`]), because money on its way from one book to the other looks the same until it has arrived; and a
//! break ends by itself in the first round that does not find it any more.
//!
//! One process at a time carries a round out, by a lease in the database; what a round has found is written in one
//! transaction, which is refused when the lease was lost.

mod fold;
mod inside;
mod items;
mod kind;
mod ledger;
mod ours;
mod outside;
mod round;
mod state;

use crate::{Node, Stop, stopped, wait};
use settla_store::StoreError;
use settla_store::reconcile::{self as kept, Turn};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

pub use inside::effect_age_max_ms;
pub use kind::{Book, Flow, Kind};
pub use ledger::{Checked, Fault, FaultKind, check};
pub use outside::Outside;
pub use round::{Depth, Done, RoundError, round};
pub use state::{Break, Found, Grace, State};

/// How often books are compared, and how patiently.
#[derive(Debug, Clone)]
pub struct ReconcileConfig {
    /// From the end of one round to the beginning of the next, whichever process carries it out.
    pub every: Duration,
    /// No kind's grace is longer.
    pub grace_at_most: Duration,
}

impl Default for ReconcileConfig {
    fn default() -> Self {
        Self { every: Duration::from_secs(30), grace_at_most: Duration::from_secs(3_600) }
    }
}

/// A round takes no longer than this; nobody else begins one meanwhile.
const ROUND_MAX: Duration = Duration::from_secs(240);
/// With what it takes to write it down.
const LEASE: Duration = Duration::from_secs(300);
/// Between two looks at whether a round is due.
const TICK_MAX: Duration = Duration::from_secs(5);

/// Compares until told to stop.
pub(crate) async fn run(node: Arc<Node>, mut stop: Stop) {
    let every = node.config.reconcile.every;
    let outside = Outside {
        bank: Arc::clone(&node.bank),
        on_ramps: node.on_ramps.values().cloned().collect(),
        off_ramps: node.off_ramps.values().cloned().collect(),
        chain: Arc::clone(&node.chain),
        wallet: node.wallet,
    };
    while wait(std::future::pending(), TICK_MAX.min(every), &mut stop).await {
        match kept::claim(&node.store.reconciler, LEASE).await {
            Ok(Some(turn)) => {
                // A round writes nothing before its end, so it can be left at any time, to another process at once.
                let next = tokio::select! {
                    biased;
                    () = stopped(&mut stop) => Some(Duration::ZERO),
                    outcome = within_lease(take(&node, &outside, turn)) => outcome.err().map(|error| {
                        tracing::warn!(error, "a round of reconciliation did not come to its end");
                        every
                    }),
                };
                if let Some(next) = next
                    && let Err(error) = turn.give_up(&node.store.reconciler, next).await
                {
                    tracing::warn!(%error, "the turn ends with its lease");
                }
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "whose turn it is cannot be asked now"),
        }
    }
}

/// After its lease others may carry the round out, and a database that has fallen silent is not waited for any longer.
async fn within_lease(round: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    timeout(LEASE, round).await.unwrap_or_else(|_| Err(format!("it did not end within {LEASE:?}")))
}

/// Carries one round out and writes down what it came to.
async fn take(node: &Node, outside: &Outside, turn: Turn) -> Result<(), String> {
    let config = &node.config.reconcile;
    let grace = Grace { at_most: config.grace_at_most, unseen_at_most: (config.every + LEASE).max(LEASE) };
    let before = State::from(kept::load(&node.store.auditor).await.map_err(|e| e.to_string())?);
    let mut after = before.clone();
    let carried_out = timeout(ROUND_MAX, round(&node.store, outside, &mut after, Depth::Part, grace)).await;
    let done = carried_out.map_err(|_| format!("it took more than {ROUND_MAX:?}"))?.map_err(|e| e.to_string())?;
    tracing::debug!(?done, "books compared");
    for b in after.open().filter(|b| before.open().all(|known| known.found.key != b.found.key)) {
        let Found { kind, key, subject, .. } = &b.found;
        tracing::error!(kind = kind.name(), key, subject, size = ?b.found.size(), "books differ");
    }
    let update = state::difference(&before, &after);
    match turn.complete(&node.store.reconciler, &update, config.every).await {
        Ok(true) => Ok(()),
        Ok(false) => Err("another process has taken over".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// What alerts watch.
pub(crate) async fn measure(node: &Node) -> Result<(), StoreError> {
    let open = kept::open_by_kind(&node.store.auditor).await?;
    for kind in Kind::ALL {
        let (count, oldest_s) =
            open.iter().find(|(name, _, _)| name == kind.name()).map_or((0.0, 0.0), |(_, n, s)| (*n as f64, *s));
        let (name, book) = (kind.name(), kind.book().name());
        metrics::gauge!("settla_reconciliation_breaks_open", "kind" => name, "book" => book).set(count);
        metrics::gauge!("settla_reconciliation_break_oldest_seconds", "kind" => name, "book" => book).set(oldest_s);
    }
    let compared = kept::compared(&node.store.auditor).await?;
    for book in Book::COMPARED {
        // One that was never compared: not since this process began.
        let at = compared.iter().find(|(name, _)| name == book.name()).map_or(0, |(_, at)| at.0);
        let at = at.max(node.started_at.0);
        metrics::gauge!("settla_reconciliation_compared_timestamp_seconds", "book" => book.name()).set(at as f64 / 1e6);
    }
    Ok(())
}
