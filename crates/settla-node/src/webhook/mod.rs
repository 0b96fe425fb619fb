//! Webhooks to tenants: Standard Webhooks 1.0, at least once, each endpoint for itself.

mod dialler;

use crate::counters::{DELIVERED, NOT_DELIVERED, WEBHOOK_ATTEMPTS};
use crate::{Node, Stop, wait};
use dialler::{Dialler, Reach};
use settla_domain::event::TEST_EVENT_TYPE;
use settla_domain::id::{EndpointId, EventId};
use settla_server::clock::now;
use settla_server::webhook_secret_label;
use settla_store::pace::Pace;
use settla_store::webhook::{self, Attempted, DueDelivery, DueEvent, Next, Places};
use settla_vault::WebhookSecret;
use settla_vault::webhook::{HEADER_ID, HEADER_SIGNATURE, HEADER_TIMESTAMP, sign};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore, mpsc};

/// Deliveries at the same time.
const CONCURRENCY: usize = 128;
/// Of these to one endpoint.
const PER_ENDPOINT: i64 = 32;
/// Of these to all endpoints of one tenant.
const PER_TENANT: i64 = 64;
/// Longer than a delivery may take.
const LEASE_MS: i64 = 40_000;
const IDLE: Duration = Duration::from_millis(250);
/// From one look for what is due to the next, at least: it costs much, however little it finds.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often secrets that sign no more are looked for, to be erased.
const ERASE_EVERY: Duration = Duration::from_secs(5);
/// Waits between attempts, in seconds; 75 hours in all.
const WAITS_S: [i64; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];

/// Delivers until told to stop.
pub(crate) async fn run(node: Arc<Node>, mut stop: Stop) {
    let reach = if node.config.webhook_any_address { Reach::Anywhere } else { Reach::PublicHttps };
    let dialler = match Dialler::new(reach) {
        Ok(dialler) => Arc::new(dialler),
        Err(error) => {
            tracing::error!(%error, "webhooks cannot be sent");
            return;
        }
    };
    let places = Arc::new(Semaphore::new(CONCURRENCY));
    let (results, queue) = mpsc::channel(CONCURRENCY * 2);
    let recorded = Arc::new(Notify::new());
    let recorder = tokio::spawn(record(Arc::clone(&node), queue, Arc::clone(&places), Arc::clone(&recorded)));
    let mut erased_at: Option<Instant> = None;
    let mut pace = Pace::new(LOOK_EVERY);
    // What its tenant or endpoint had no place for may have one when others are done.
    let bell = async || {
        tokio::select! {
            () = node.runner.deliveries() => {}
            () = recorded.notified() => {}
        }
    };
    while wait(bell(), IDLE, &mut stop).await {
        if erased_at.is_none_or(|at| at.elapsed() >= ERASE_EVERY) {
            erase(&node).await;
            erased_at = Some(Instant::now());
        }
        while places.available_permits() > 0 && !*stop.borrow() {
            pace.turn().await;
            let free = places.available_permits() as i64;
            let places_now = Places { free, per_endpoint: PER_ENDPOINT, per_tenant: PER_TENANT };
            let due = match webhook::claim(&node.store.worker, places_now, LEASE_MS).await {
                Ok(due) => due,
                Err(error) => {
                    tracing::warn!(%error, "deliveries cannot be claimed");
                    break;
                }
            };
            // So few are all that may be begun now: no endpoint can be at its limit.
            let is_all = due.is_empty() || (due.len() as i64) < free.min(PER_ENDPOINT);
            for delivery in due {
                let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
                let (node, dialler, results) = (Arc::clone(&node), Arc::clone(&dialler), results.clone());
                tokio::spawn(async move {
                    let attempted = attempt(&node, &dialler, &delivery).await;
                    // The recorder ends after all attempts; if it is gone, the lease ends by itself.
                    let _ = results.send(attempted).await;
                    drop(place);
                });
            }
            if is_all {
                break;
            }
        }
    }
    drop(results);
    let _ = recorder.await;
}

/// Records attempts, many at once, and rings if there were so many that others may have had to wait for them.
async fn record(node: Arc<Node>, mut queue: mpsc::Receiver<Attempted>, places: Arc<Semaphore>, recorded: Arc<Notify>) {
    let mut attempts = Vec::with_capacity(CONCURRENCY);
    while queue.recv_many(&mut attempts, CONCURRENCY).await > 0 {
        if let Err(error) = webhook::attempted(&node.store.worker, &attempts).await {
            tracing::warn!(%error, "attempts cannot be recorded; they will be made again");
        }
        let under_way = CONCURRENCY - places.available_permits();
        if under_way + attempts.len() >= PER_ENDPOINT as usize {
            recorded.notify_one();
        }
        attempts.clear();
    }
}

/// Erases secrets whose overlap is over. They do not sign any more whether this succeeds or not.
async fn erase(node: &Node) {
    match webhook::erase_old_secrets(&node.store.worker).await {
        Ok(0) => {}
        Ok(erased) => tracing::info!(erased, "secrets of webhook endpoints that sign no more are erased"),
        Err(error) => tracing::warn!(%error, "secrets that sign no more cannot be erased now"),
    }
}

/// The signed body of a delivery, the same at every attempt and every redelivery. A test is outside of the tenant's
/// sequence, which begins with 1.
fn body(delivery: &DueDelivery) -> Vec<u8> {
    let body = match &delivery.event {
        DueEvent::Of { sequence, kind, data, at } => {
            serde_json::json!({ "type": kind, "timestamp": at.to_rfc3339(), "sequence": sequence, "data": data })
        }
        DueEvent::Test { at } => serde_json::json!({
            "type": TEST_EVENT_TYPE,
            "timestamp": at.to_rfc3339(),
            "sequence": 0,
            "data": { "endpoint_id": EndpointId(delivery.endpoint) },
        }),
    };
    body.to_string().into_bytes()
}

async fn attempt(node: &Node, dialler: &Dialler, delivery: &DueDelivery) -> Attempted {
    let (at, begun) = (now(), Instant::now());
    let outcome = send(node, dialler, delivery).await;
    let latency_ms = i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX);
    let (status, error) = match outcome {
        Ok(status) => (Some(status), None),
        Err(error) => (None, Some(error.to_owned())),
    };
    let next = match status {
        Some(200..=299) => Next::Delivered,
        Some(410) => Next::GiveUp,
        // A test shows how things are now.
        _ if matches!(delivery.event, DueEvent::Test { .. }) => Next::GiveUp,
        _ => retry(delivery.attempt),
    };
    if status == Some(410)
        && let Err(error) = webhook::disable(&node.store.worker, delivery.tenant, delivery.endpoint).await
    {
        tracing::warn!(%error, "an endpoint that is gone cannot be disabled now");
    }
    let result = if next == Next::Delivered { DELIVERED } else { NOT_DELIVERED };
    metrics::counter!(WEBHOOK_ATTEMPTS, "result" => result).increment(1);
    Attempted {
        delivery: delivery.id,
        tenant: delivery.tenant,
        attempt: delivery.attempt,
        at,
        status,
        error,
        latency_ms,
        next,
    }
}

async fn send(node: &Node, dialler: &Dialler, delivery: &DueDelivery) -> Result<u16, &'static str> {
    let (id, body) = (EventId(delivery.event_id).to_string(), body(delivery));
    let timestamp = now().0 / 1_000_000;
    let signature = signature(node, delivery, &id, timestamp, &body)?;
    let headers = [(HEADER_ID, id), (HEADER_TIMESTAMP, timestamp.to_string()), (HEADER_SIGNATURE, signature)];
    dialler.post(&delivery.url, &headers, body).await
}

/// One by the present secret and, while it is being replaced, one by the secret before it.
fn signature(
    node: &Node,
    delivery: &DueDelivery,
    id: &str,
    timestamp: i64,
    body: &[u8],
) -> Result<String, &'static str> {
    let label = webhook_secret_label(delivery.tenant, delivery.endpoint);
    let mut signatures = Vec::with_capacity(2);
    for sealed in [Some(&delivery.secret_sealed), delivery.old_secret_sealed.as_ref()].into_iter().flatten() {
        let secret = node.keyring.master().open(&label, sealed).map_err(|_| "secret_unreadable")?;
        let secret = WebhookSecret::from_bytes(secret.expose()).map_err(|_| "secret_unreadable")?;
        signatures.push(sign(&secret, id, timestamp, body));
    }
    Ok(signatures.join(" "))
}

/// The next attempt with up to a fifth of jitter, so that endpoints that came back are not met all at once.
fn retry(attempt: i32) -> Next {
    let index = usize::try_from(attempt - 1).unwrap_or(usize::MAX);
    let Some(wait_s) = WAITS_S.get(index) else { return Next::GiveUp };
    let mut byte = [0u8; 1];
    // Without randomness there is no jitter, which is no reason not to deliver.
    let _ = getrandom::fill(&mut byte);
    let wait_ms = wait_s * 1_000;
    Next::RetryInMs(wait_ms + wait_ms * i64::from(byte[0]) / 1_280)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_stretch_over_three_days_and_end() {
        let waits: i64 = (1..=9)
            .map(|n| match retry(n) {
                Next::RetryInMs(ms) => ms / 1_000,
                _ => 0,
            })
            .sum();
        let plain: i64 = WAITS_S.iter().sum();
        assert!(waits >= plain && waits <= plain + plain / 5, "{waits}");
        assert_eq!(retry(10), Next::GiveUp);
    }
}
