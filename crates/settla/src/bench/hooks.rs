//! The tenants' webhook server: verifies each signature and keeps when which transfer ended, nothing else.

use crate::failure::Failure;
use crate::local::verified;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde::Deserialize;
use settla_domain::id::TransferId;
use settla_vault::WebhookSecret;
use settla_vault::webhook::HEADER_ID;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::watch;
use uuid::Uuid;

/// How a transfer ended, by the first webhook that said so.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub completed: bool,
    pub at: Instant,
    event: String,
}

/// What came.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub ended: HashMap<Uuid, Ended>,
    /// The same event again: at least once is what was promised.
    pub redelivered: u64,
    /// Another event that says that a transfer ended, after one that did: it must not.
    pub ended_again: u64,
    /// Not signed as it should be.
    pub refused: u64,
}

#[derive(Default)]
struct Shared {
    secrets: Mutex<Vec<WebhookSecret>>,
    seen: Mutex<Seen>,
    ended: watch::Sender<usize>,
    funded: watch::Sender<usize>,
}

/// The running server.
pub(super) struct Hooks {
    base: String,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

/// What is read of a webhook.
#[derive(Deserialize)]
struct Hook<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    data: Subject,
}

#[derive(Deserialize)]
struct Subject {
    transfer_id: Option<TransferId>,
}

impl Hooks {
    /// Starts it on a free port.
    pub async fn start() -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let base = format!("http://{}/hooks", listener.local_addr()?);
        let shared = Arc::new(Shared::default());
        let app = Router::new().route("/hooks/{tenant}", post(take)).with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                eprintln!("the webhook receiver has ended: {error}");
            }
        });
        Ok(Self { base, shared, task })
    }

    /// Where the webhooks of a tenant go.
    pub fn url(&self, tenant: usize) -> String {
        format!("{}/{tenant}", self.base)
    }

    /// Takes the secret of the next tenant's endpoint.
    pub fn trust(&self, secret: &str) -> Result<(), Failure> {
        lock(&self.shared.secrets).push(WebhookSecret::parse(secret)?);
        Ok(())
    }

    /// Waits until so many top-ups were credited. Returns whether they were.
    pub async fn funded(&self, count: usize, longest: Duration) -> bool {
        reaches(&self.shared.funded, count, longest).await
    }

    /// How many transfers have ended.
    pub fn ended(&self) -> usize {
        *self.shared.ended.borrow()
    }

    /// Waits until all of these have ended, at most so long.
    pub async fn all_ended(&self, transfers: impl Iterator<Item = Uuid>, longest: Duration) {
        let begun = Instant::now();
        let mut missing: Vec<Uuid> = transfers.collect();
        loop {
            let (count, left) = {
                let seen = lock(&self.shared.seen);
                missing.retain(|id| !seen.ended.contains_key(id));
                (seen.ended.len(), longest.saturating_sub(begun.elapsed()))
            };
            // Each webhook is about one transfer, so before this count there is nothing to look for.
            if missing.is_empty() || !reaches(&self.shared.ended, count + missing.len(), left).await {
                return;
            }
        }
    }

    /// What came until now.
    pub fn seen(&self) -> Seen {
        lock(&self.shared.seen).clone()
    }
}

impl Drop for Hooks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn reaches(counter: &watch::Sender<usize>, count: usize, longest: Duration) -> bool {
    let mut counter = counter.subscribe();
    matches!(tokio::time::timeout(longest, counter.wait_for(|n| *n >= count)).await, Ok(Ok(_)))
}

async fn take(
    State(shared): State<Arc<Shared>>,
    Path(tenant): Path<usize>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let at = Instant::now();
    let secret = lock(&shared.secrets).get(tenant).cloned();
    let genuine = secret.is_some_and(|secret| verified(std::slice::from_ref(&secret), &headers, &body));
    let id = headers.get(HEADER_ID).and_then(|id| id.to_str().ok());
    let (true, Some(id), Ok(hook)) = (genuine, id, serde_json::from_slice::<Hook>(&body)) else {
        lock(&shared.seen).refused += 1;
        return StatusCode::BAD_REQUEST;
    };
    match hook.data.transfer_id {
        Some(transfer) => {
            let mut seen = lock(&shared.seen);
            note(&mut seen, transfer.0, id, hook.kind == "transfer.completed", at);
            shared.ended.send_replace(seen.ended.len());
        }
        None => shared.funded.send_modify(|funded| *funded += 1),
    }
    StatusCode::NO_CONTENT
}

fn note(seen: &mut Seen, transfer: Uuid, event: &str, completed: bool, at: Instant) {
    match seen.ended.get(&transfer) {
        None => drop(seen.ended.insert(transfer, Ended { completed, at, event: event.to_owned() })),
        Some(first) if first.event == event => seen.redelivered += 1,
        Some(_) => seen.ended_again += 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_a_repeated_delivery_from_a_second_end() {
        let (mut seen, transfer, at) = (Seen::default(), Uuid::from_u128(1), Instant::now());
        note(&mut seen, transfer, "evt_1", true, at);
        note(&mut seen, transfer, "evt_1", true, at);
        note(&mut seen, transfer, "evt_2", true, at);
        assert_eq!((seen.ended.len(), seen.redelivered, seen.ended_again), (1, 1, 1));
    }
}
