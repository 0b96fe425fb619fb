//! Work that falls due: each server keeps a set of due times in its ledger and works off what has come.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;

use crate::{
    book::{Book, Ledger},
    clock::now_ms,
    error::StoreError,
    stop::Stop,
};

/// Most items worked off in one go, which is one change of the book.
pub(crate) const DUE_MAX: usize = 1_000;
/// Wait after the book refused a change.
const REFUSED_WAIT: Duration = Duration::from_secs(1);

/// A server with work that falls due.
pub(crate) trait Scheduled: Send + Sync + 'static {
    /// Its ledger.
    type Ledger: Ledger;

    fn book(&self) -> &Book<Self::Ledger>;
    /// Rung when something new may be due earlier than what was known.
    fn bell(&self) -> &Notify;
    /// When the earliest item falls due.
    fn next_due_ms(ledger: &Self::Ledger) -> Option<u64>;
    /// Works off up to [`DUE_MAX`] items that are due.
    fn work(&self) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Works until it is time to stop. Stopping in the middle is like a crash there: the next start carries on.
pub(crate) async fn run<S: Scheduled>(server: Arc<S>, stop: Stop) {
    stop.or(async {
        loop {
            // A read waits for the disk, so nothing is acted on that a crash could undo.
            let result = match server.book().read(S::next_due_ms).await {
                Ok(None) => {
                    server.bell().notified().await;
                    Ok(())
                }
                Ok(Some(due_ms)) => match due_ms.checked_sub(now_ms()).filter(|wait_ms| *wait_ms > 0) {
                    Some(wait_ms) => {
                        // Whether the time is up or the bell rang makes no difference: look again.
                        let _ = tokio::time::timeout(Duration::from_millis(wait_ms), server.bell().notified()).await;
                        Ok(())
                    }
                    None => server.work().await,
                },
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                tracing::error!(%error, "due work stopped for a moment");
                tokio::time::sleep(REFUSED_WAIT).await;
            }
        }
    })
    .await;
}
