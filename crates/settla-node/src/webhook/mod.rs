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
use settla_store::webhook::hand_over::{HandOver, HandedOver, NewDelivery};
use settla_store::webhook::under_way::{Limits, Place, UnderWay};
use settla_store::webhook::{self, Attempted, DueDelivery, DueEvent, Next, Places, Target};
use settla_vault::WebhookSecret;
use settla_vault::webhook::{HEADER_ID, HEADER_SIGNATURE, HEADER_TIMESTAMP, sign};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc};
use uuid::Uuid;

/// Deliveries at the same time.
const CONCURRENCY: usize = 256;
/// Longer than a delivery may take.
const LEASE_MS: i64 = 40_000;
/// Half of everything may be taken over from batches, so that what has waited always has the other half.
const LIMITS: Limits = Limits {
    all: CONCURRENCY,
    handed_over: CONCURRENCY / 2,
    per_endpoint: 32,
    per_endpoint_least: 2,
    per_endpoint_most: CONCURRENCY / 2,
    per_tenant: 64,
    lease_ms: LEASE_MS,
};
const IDLE: Duration = Duration::from_millis(250);
/// From one look for what is due to the next, at least: it costs much, however little it finds.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// From one question for the endpoints of what is taken over to the next, at least.
const TAKE_OVER_EVERY: Duration = Duration::from_millis(20);
/// A delivery that is taken over is begun within this of the batch's beginning, or left to be claimed: then there is time for
/// it within its lease.
const TAKE_OVER_WITHIN: Duration = Duration::from_millis(LEASE_MS as u64 / 4);
/// From one record of attempts to the next, at least.
const RECORD_EVERY: Duration = Duration::from_millis(50);
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
    let under_way = UnderWay::new(LIMITS);
    let (results, queue) = mpsc::channel(CONCURRENCY * 2);
    let recorded = Arc::<Recorded>::default();
    let recorder = tokio::spawn(record(Arc::clone(&node), queue, Arc::clone(&recorded)));
    let courier = Courier { node: Arc::clone(&node), dialler, results };
    let (hand_over, handed) = HandOver::open(&under_way);
    let taking_over = tokio::spawn(take_over(courier.clone(), handed));
    node.runner.set_takers(|takers| takers.deliveries = Some(hand_over));
    claim(&courier, &under_way, &recorded, &mut stop).await;
    // What batches have handed over until now is still sent.
    node.runner.set_takers(|takers| takers.deliveries = None);
    drop(courier);
    let _ = taking_over.await;
    let _ = recorder.await;
}

/// Sends deliveries, each in a task of its own.
#[derive(Clone)]
struct Courier {
    node: Arc<Node>,
    dialler: Arc<Dialler>,
    results: mpsc::Sender<Attempted>,
}

impl Courier {
    fn send(&self, delivery: DueDelivery, place: Place) {
        let Self { node, dialler, results } = self.clone();
        tokio::spawn(async move {
            let begun = Instant::now();
            let attempted = attempt(&node, &dialler, &delivery).await;
            let (kept, delivered) = (begun.elapsed(), attempted.next == Next::Delivered);
            // The recorder ends after all attempts; if it is gone, the lease ends by itself.
            let _ = results.send(attempted).await;
            place.leave(kept, delivered);
        });
    }
}

/// Tells the claimer that places have become free, while its last claim has found something: then more may wait.
#[derive(Default)]
struct Recorded {
    bell: Notify,
    wanted: AtomicBool,
}

/// Sends what is due in the table, until told to stop.
async fn claim(courier: &Courier, under_way: &Arc<UnderWay>, recorded: &Recorded, stop: &mut Stop) {
    let node = &courier.node;
    let mut erased_at: Option<Instant> = None;
    let mut pace = Pace::new(LOOK_EVERY);
    // What its tenant or endpoint had no place for may have one when others are done.
    let bell = async || {
        tokio::select! {
            () = node.runner.deliveries() => {}
            () = recorded.bell.notified() => {}
        }
    };
    while wait(bell(), IDLE, stop).await {
        if erased_at.is_none_or(|at| at.elapsed() >= ERASE_EVERY) {
            erase(node).await;
            erased_at = Some(Instant::now());
        }
        while under_way.free() > 0 && !*stop.borrow() {
            pace.turn().await;
            let free = under_way.free() as i64;
            let (per_endpoint, per_tenant) = (LIMITS.per_endpoint as i64, LIMITS.per_tenant as i64);
            let places = Places { free, per_endpoint, learnt: under_way.learnt(), per_tenant };
            let due = match webhook::claim(&node.store.worker, &places, LEASE_MS).await {
                Ok(due) => due,
                Err(error) => {
                    tracing::warn!(%error, "deliveries cannot be claimed");
                    break;
                }
            };
            // So few are all that may be begun now: no endpoint can be at its limit.
            let is_all = due.is_empty() || (due.len() as i64) < free.min(per_endpoint);
            recorded.wanted.store(!due.is_empty(), Ordering::Relaxed);
            for delivery in due {
                let place = under_way.enter(delivery.tenant, delivery.endpoint);
                courier.send(delivery, place);
            }
            if is_all {
                break;
            }
        }
    }
}

/// Sends what batches hand over, until none can any more.
async fn take_over(courier: Courier, mut handed: mpsc::Receiver<HandedOver>) {
    let mut taken = Vec::with_capacity(LIMITS.handed_over);
    let mut pace = Pace::new(TAKE_OVER_EVERY);
    loop {
        if taken.is_empty() {
            let Some(first) = handed.recv().await else { return };
            taken.push(first);
        }
        pace.turn().await;
        while taken.len() < LIMITS.handed_over
            && let Ok(next) = handed.try_recv()
        {
            taken.push(next);
        }
        // One that came too late is claimed when its lease is over: it must not be sent by two at a time.
        taken.retain(|taken| taken.begun.elapsed() < TAKE_OVER_WITHIN);
        let endpoints = taken.iter().map(|taken| (taken.delivery.tenant, taken.delivery.endpoint)).collect();
        match webhook::targets(&courier.node.store.worker, &endpoints).await {
            Ok(targets) => taken.drain(..).for_each(|taken| begin(&courier, taken, &targets)),
            Err(error) => {
                tracing::warn!(%error, "deliveries cannot be begun; they wait");
                tokio::time::sleep(IDLE).await;
            }
        }
    }
}

/// Begins the first attempt. Nothing goes to an endpoint that is not enabled any more: its deliveries fail where that is
/// done, and this one at the latest when its lease is over.
fn begin(courier: &Courier, HandedOver { delivery, place, .. }: HandedOver, targets: &HashMap<Uuid, Target>) {
    let Some(target) = targets.get(&delivery.endpoint).cloned() else { return };
    let NewDelivery { id, tenant, endpoint, event_id, sequence, kind, data, at } = delivery;
    match serde_json::to_value(data) {
        Ok(data) => {
            let event = DueEvent::Of { sequence, kind: kind.to_owned(), data, at };
            courier.send(DueDelivery { id, tenant, endpoint, target, event_id, event, attempt: 1 }, place);
        }
        Err(error) => tracing::error!(%error, "an event cannot be written as JSON"),
    }
}

/// Records attempts, many at once.
async fn record(node: Arc<Node>, mut queue: mpsc::Receiver<Attempted>, recorded: Arc<Recorded>) {
    let mut attempts = Vec::with_capacity(CONCURRENCY);
    let mut pace = Pace::new(RECORD_EVERY);
    while queue.recv_many(&mut attempts, 1).await > 0 {
        pace.turn().await;
        while attempts.len() < CONCURRENCY
            && let Ok(next) = queue.try_recv()
        {
            attempts.push(next);
        }
        if let Err(error) = webhook::attempted(&node.store.worker, &attempts).await {
            tracing::warn!(%error, "attempts cannot be recorded; they will be made again");
        }
        if recorded.wanted.load(Ordering::Relaxed) {
            recorded.bell.notify_one();
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
    dialler.post(&delivery.target.url, &headers, body).await
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
    for sealed in
        [Some(&delivery.target.secret_sealed), delivery.target.old_secret_sealed.as_ref()].into_iter().flatten()
    {
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
