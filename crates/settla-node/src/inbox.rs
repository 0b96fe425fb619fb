//! Providers' events, turned into findings. Each is dealt with by itself; what all of them ask of the database they ask
//! together, and their findings share the runner's batches.

use crate::provider::Next;
use crate::{Node, Stop, off_ramp, on_ramp, stopped};
use settla_domain::decide::Answer;
use settla_domain::effect::{Effect, EffectKind};
use settla_domain::finding::Finding;
use settla_domain::id::EffectId;
use settla_rails::off_ramp::PayoutState;
use settla_rails::on_ramp::OrderState;
use settla_store::Store;
use settla_store::inbox::{self, EventName, InboxEvent};
use settla_store::outbox::{self, Place};
use settla_store::together::Together;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use uuid::Uuid;

const CLAIM_MAX: i64 = 500;
/// Events that are being dealt with at once.
const IN_WORK_MAX: usize = 4_096;
/// How often the table is looked through for what was not handed over, or not dealt with.
const IDLE: Duration = Duration::from_millis(250);
/// How often it is noted which have been dealt with: nobody waits for that.
const DONE_EVERY: Duration = Duration::from_millis(200);
/// Between two looks at the chain for what an event says is there.
const LOOK_AGAIN: Duration = Duration::from_millis(300);
/// For so long within its lease an event is looked at again and again.
const LOOK_FOR: Duration = Duration::from_millis(inbox::LEASE_MS as u64 * 6 / 10);
/// Then it goes back, so many times; after that it is left to the enquiry of its effect.
const LEASES_MAX: i32 = 4;
const BACK_FOR_MS: i64 = 400;

/// An event in terms of our effects.
enum Read {
    Order(EffectId, OrderState),
    Payout(EffectId, PayoutState),
    /// Our bank account has news.
    Statement,
    /// A withdrawal's payment has news: the effect to ask about.
    Payment(EffectId),
    /// Nothing that we understand.
    Other,
}

/// What is next for an event.
enum Dealt {
    /// Nothing more.
    Done,
    /// It is looked at again after a while.
    Again,
}

/// What the events in work ask of the database.
struct Desk {
    places: Together<EffectId, Option<Place>>,
    done: Together<EventName, ()>,
}

impl Desk {
    fn open(store: &Store) -> Self {
        let (reader, writer) = (store.clone(), store.clone());
        let places = Together::start(move |effects: Vec<EffectId>| {
            let store = reader.clone();
            async move {
                let found = outbox::find(&store.worker, &effects).await?;
                let found: std::collections::HashMap<_, _> = found.into_iter().map(|place| (place.id, place)).collect();
                Ok(effects.iter().map(|effect| found.get(effect).cloned()).collect())
            }
        });
        let done = Together::start_every(DONE_EVERY, move |events: Vec<EventName>| {
            let store = writer.clone();
            async move {
                inbox::processed(&store.worker, &events).await?;
                Ok(vec![(); events.len()])
            }
        });
        Self { places, done }
    }
}

/// Works on what arrives, and on what is found in the table, until told to stop.
pub(crate) async fn run(node: Arc<Node>, arrivals: Option<mpsc::Receiver<InboxEvent>>, mut stop: Stop) {
    let desk = Arc::new(Desk::open(&node.store));
    let in_work = Arc::new(Semaphore::new(IN_WORK_MAX));
    let (mut arrivals, told) = (arrivals, stop.clone());
    let mut look = tokio::time::interval(IDLE);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let Ok(place) = Arc::clone(&in_work).acquire_owned().await else { return };
        tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            _ = look.tick() => {
                drop(place);
                take_up(&node, &desk, &in_work, &told).await;
            }
            event = next(&mut arrivals) => begin(&node, &desk, event, place, &told),
        }
    }
    // What is in work ends soon: it hears of the stop as well.
    let _ = in_work.acquire_many(IN_WORK_MAX as u32).await;
}

/// The next event that is handed over; without a server in this process there are none.
async fn next(arrivals: &mut Option<mpsc::Receiver<InboxEvent>>) -> InboxEvent {
    if let Some(open) = arrivals
        && let Some(event) = open.recv().await
    {
        return event;
    }
    *arrivals = None;
    std::future::pending().await
}

/// Begins what is due in the table.
async fn take_up(node: &Arc<Node>, desk: &Arc<Desk>, in_work: &Arc<Semaphore>, stop: &Stop) {
    loop {
        let limit = CLAIM_MAX.min(in_work.available_permits() as i64);
        if limit == 0 || *stop.borrow() {
            return;
        }
        let events = match inbox::claim(&node.store.worker, limit).await {
            Ok(events) => events,
            Err(error) => return tracing::warn!(%error, "the inbox cannot be read"),
        };
        let is_all = (events.len() as i64) < limit;
        for event in events {
            let Ok(place) = Arc::clone(in_work).acquire_owned().await else { return };
            begin(node, desk, event, place, stop);
        }
        if is_all {
            return;
        }
    }
}

fn begin(node: &Arc<Node>, desk: &Arc<Desk>, event: InboxEvent, place: OwnedSemaphorePermit, stop: &Stop) {
    let (node, desk, mut stop) = (Arc::clone(node), Arc::clone(desk), stop.clone());
    tokio::spawn(async move {
        // If either cannot be written, the lease ends by itself.
        let saved = match deal(&node, &desk, &event, &mut stop).await {
            Dealt::Done => desk.done.ask_patiently(event.name()).await.map_err(|error| error.to_string()),
            Dealt::Again => {
                inbox::postpone(&node.store.worker, &event, BACK_FOR_MS).await.map_err(|error| error.to_string())
            }
        };
        if let Err(error) = saved {
            tracing::warn!(error, "the inbox cannot be marked; the event will be looked at again");
        }
        drop(place);
    });
}

fn read(node: &Node, event: &InboxEvent) -> Read {
    if let Some(ramp) = node.on_ramps.get(&event.provider) {
        return ramp.read_event(&event.body).map_or(Read::Other, |(id, state)| Read::Order(EffectId(id), state));
    }
    if let Some(ramp) = node.off_ramps.get(&event.provider) {
        return ramp.read_event(&event.body).map_or(Read::Other, |(id, state)| Read::Payout(EffectId(id), state));
    }
    let data = event.body.get("data").unwrap_or(&event.body);
    let reference = data.pointer("/payment/client_reference").and_then(|r| r.as_str());
    match reference.and_then(|r| r.strip_prefix("WD")).and_then(|hex| Uuid::try_parse(hex).ok()) {
        Some(subject) => Read::Payment(EffectKind::BankPayment.id_for(subject)),
        None if data.get("entry").is_some() => Read::Statement,
        None => Read::Other,
    }
}

/// Deals with an event.
async fn deal(node: &Node, desk: &Desk, event: &InboxEvent, stop: &mut Stop) -> Dealt {
    match read(node, event) {
        Read::Order(id, state) => find(node, desk, event, id, stop, Said::Order(state)).await,
        Read::Payout(id, state) => find(node, desk, event, id, stop, Said::Payout(state)).await,
        Read::Statement => {
            node.statement_bell.notify_one();
            Dealt::Done
        }
        Read::Payment(effect) => {
            if let Err(error) = outbox::hasten(&node.store.worker, &[effect]).await {
                tracing::warn!(%error, "an enquiry cannot be brought forward");
            }
            Dealt::Done
        }
        Read::Other => {
            tracing::warn!(provider = event.provider, event = event.event_id, "an event that we do not understand");
            Dealt::Done
        }
    }
}

/// What a provider says of an effect.
enum Said {
    Order(OrderState),
    Payout(PayoutState),
}

/// Finds out what an event means for its effect, and reports it.
async fn find(node: &Node, desk: &Desk, event: &InboxEvent, id: EffectId, stop: &mut Stop, said: Said) -> Dealt {
    let place = match desk.places.ask_patiently(id).await {
        Ok(Some(place)) => place,
        Ok(None) => return Dealt::Done,
        Err(error) => {
            tracing::warn!(%error, "an effect cannot be looked up");
            return Dealt::Again;
        }
    };
    let begun = Instant::now();
    let finding = loop {
        // An event about another provider's order is no evidence.
        let Some(next) = judge(node, event, &place, &said).await else { return Dealt::Done };
        match next {
            Next::Found(finding) => break finding,
            // It says no more than that the provider has it.
            Next::AcceptedThen(_) | Next::Later(_) if said.is_pending() => break Finding::Accepted,
            Next::AcceptedThen(_) | Next::Later(_) if begun.elapsed() < LOOK_FOR => {
                tokio::select! {
                    biased;
                    () = stopped(stop) => return Dealt::Again,
                    () = tokio::time::sleep(LOOK_AGAIN) => {}
                }
            }
            Next::AcceptedThen(_) | Next::Later(_) if event.attempts < LEASES_MAX => return Dealt::Again,
            Next::AcceptedThen(_) | Next::Later(_) => break Finding::Accepted,
        }
    };
    match node.report(place.tenant, place.subject, id, finding.clone()).await {
        Ok(Answer::Nothing | Answer::Contradicts) => Dealt::Done,
        Ok(_) => {
            node.measures.note(&event.provider, place.effect.kind(), &finding, place.first_attempt_at);
            Dealt::Done
        }
        Err(error) => {
            tracing::warn!(%error, effect = %id, "a finding was not taken");
            // What it says can be had by asking, and the enquiry is what people will look at.
            if event.attempts < LEASES_MAX { Dealt::Again } else { Dealt::Done }
        }
    }
}

impl Said {
    fn is_pending(&self) -> bool {
        matches!(self, Self::Order(OrderState::Pending) | Self::Payout(PayoutState::Pending))
    }
}

/// What it means, if it comes from the provider that the effect is for.
async fn judge(node: &Node, event: &InboxEvent, place: &Place, said: &Said) -> Option<Next> {
    let provider = place.effect.provider().filter(|provider| *provider == event.provider)?;
    match (said, &place.effect) {
        (Said::Order(state), Effect::OnRamp { .. }) => {
            let ramp = node.on_ramps.get(provider)?.as_ref();
            Some(on_ramp::judge(node, ramp, place.id.0, state.clone(), event.attempts).await)
        }
        (Said::Payout(state), Effect::OffRamp { .. } | Effect::SellBack { .. }) => {
            let ramp = node.off_ramps.get(provider)?.as_ref();
            Some(off_ramp::judge(node, ramp, place.id.0, &place.effect, state.clone(), event.attempts).await)
        }
        _ => None,
    }
}
