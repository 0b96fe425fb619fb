//! When a start is answered, if at all: what the magic amounts do to the HTTP side of a start.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::oneshot;
use uuid::Uuid;

use super::{Connection, Problem, connection};
use crate::{magic::Behaviour, stop::Stop, webhook::Announcer};

/// A start that was sent is in the book, or never will be, after this time.
pub(crate) const ACCEPTANCE_DELAY_MS: u64 = 2_000;
/// Declared lifetime of idempotency keys. In truth ids and keys are kept for ever.
pub(crate) const IDEMPOTENCY_LIFETIME_S: u64 = 86_400;
/// Most ids in one query.
pub(crate) const QUERY_MAX: usize = 500;
/// Most lost ids remembered; after that all are forgotten, and may be lost once more.
const LOST_MAX: usize = 100_000;

/// The answer to one start.
pub(crate) struct Answer<'a> {
    connection: &'a Connection,
    stop: &'a Stop,
    behaviour: Behaviour,
    late_ms: u64,
    webhook: Option<oneshot::Receiver<()>>,
}

impl<'a> Answer<'a> {
    pub(crate) fn new(connection: &'a Connection, stop: &'a Stop, behaviour: Behaviour, late_ms: u64) -> Self {
        Self { connection, stop, behaviour, late_ms, webhook: None }
    }

    /// The request never arrived. What is returned reaches nobody.
    pub(crate) async fn lose(self) -> Problem {
        connection::close_unanswered(self.connection).await
    }

    /// Begins to watch for the final webhook, if the answer is to wait for it.
    pub(crate) fn watch(&mut self, announcer: &Arc<Announcer>, id: Uuid) {
        if self.behaviour == Behaviour::WebhookFirst {
            self.webhook = Some(announcer.sent(id));
        }
    }

    /// Returns when the answer is to be sent. Repeated starts wait for nothing, but those that are never answered.
    pub(crate) async fn wait(self, is_new: bool) -> Result<(), Problem> {
        match (self.behaviour, self.webhook) {
            (Behaviour::NeverAnswer, _) => {
                connection::hold(self.connection, self.stop, std::future::pending::<()>()).await
            }
            (Behaviour::AnswerLate, _) if is_new => {
                let late = tokio::time::sleep(Duration::from_millis(self.late_ms));
                connection::hold(self.connection, self.stop, late).await
            }
            (Behaviour::WebhookFirst, Some(webhook)) if is_new => {
                connection::hold(self.connection, self.stop, webhook).await.map(drop)
            }
            _ => Ok(()),
        }
    }
}

/// Remembers whose first request was lost. In memory only: nothing is recorded of a request that never arrived.
#[derive(Default)]
pub(crate) struct LostOnce(Mutex<HashSet<Uuid>>);

impl LostOnce {
    /// Whether this is the first time that the id is seen.
    pub(crate) fn is_first(&self, id: Uuid) -> bool {
        // One insertion under the lock: a panic cannot leave it half done.
        let mut lost = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lost.len() >= LOST_MAX {
            lost.clear();
        }
        lost.insert(id)
    }
}
