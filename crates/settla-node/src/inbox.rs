//! Providers' events, turned into findings. Many are worked on together, so their findings share batches.

use crate::provider::Next;
use crate::{Node, Stop, off_ramp, on_ramp, wait};
use futures_util::future::join_all;
use settla_domain::decide::Answer;
use settla_domain::effect::{Effect, EffectKind};
use settla_domain::finding::Finding;
use settla_domain::id::EffectId;
use settla_store::inbox::{self, InboxEvent};
use settla_store::outbox::{self, Place};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const CLAIM_MAX: i64 = 500;
const LEASE_MS: i64 = 10_000;
const IDLE: Duration = Duration::from_millis(250);
/// After so many looks an event is left to the enquiry of its effect.
const LOOKS_MAX: i32 = 50;

/// An event in terms of our effects.
enum Read {
    Order(EffectId, settla_rails::on_ramp::OrderState),
    Payout(EffectId, settla_rails::off_ramp::PayoutState),
    /// Our bank account has news.
    Statement,
    /// A withdrawal's payment has news: the effect to ask about.
    Payment(EffectId),
    /// Nothing that we understand.
    Other,
}

/// Works on the inbox until told to stop.
pub(crate) async fn run(node: Arc<Node>, mut stop: Stop) {
    let bell = Arc::clone(&node.inbound_bell);
    while wait(bell.notified(), IDLE, &mut stop).await {
        loop {
            match inbox::claim(&node.store.worker, CLAIM_MAX, LEASE_MS).await {
                Ok(events) if events.is_empty() => break,
                Ok(events) => work(&node, &events).await,
                Err(error) => {
                    tracing::warn!(%error, "the inbox cannot be read");
                    break;
                }
            }
        }
    }
}

async fn work(node: &Node, events: &[InboxEvent]) {
    let read: Vec<(&InboxEvent, Read)> = events.iter().map(|e| (e, read(node, e))).collect();
    let ids: Vec<EffectId> = read
        .iter()
        .filter_map(|(_, r)| if let Read::Order(id, _) | Read::Payout(id, _) = r { Some(*id) } else { None })
        .collect();
    let places: HashMap<EffectId, Place> = match outbox::find(&node.store.worker, &ids).await {
        Ok(rows) => rows.into_iter().map(|place| (place.id, place)).collect(),
        Err(error) => {
            tracing::warn!(%error, "effects cannot be looked up");
            return; // the lease ends by itself
        }
    };
    // All at once, so that their findings share the runner's batches; a claim bounds how many there are.
    let mut working = Vec::with_capacity(read.len());
    for (event, read) in read {
        working.push(one(node, event, read, &places));
    }
    let delays = join_all(working).await;
    let outcomes: Vec<(&InboxEvent, Option<i64>)> = events.iter().zip(delays).collect();
    let done: Vec<&InboxEvent> =
        outcomes.iter().filter(|(_, delay)| delay.is_none()).map(|(event, _)| *event).collect();
    let later: Vec<&InboxEvent> =
        outcomes.iter().filter(|(_, delay)| delay.is_some()).map(|(event, _)| *event).collect();
    let saved =
        inbox::processed(&node.store.worker, &done).await.and(inbox::postpone(&node.store.worker, &later, 400).await);
    if let Err(error) = saved {
        tracing::warn!(%error, "the inbox cannot be marked; its events will be looked at again");
    }
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

/// Deals with an event. Returns a delay if it must be looked at again.
async fn one(node: &Node, event: &InboxEvent, read: Read, places: &HashMap<EffectId, Place>) -> Option<i64> {
    let (id, next) = match read {
        Read::Order(id, state) => {
            let Effect::OnRamp { provider, .. } = &places.get(&id)?.effect else { return None };
            // An event about another provider's order is no evidence.
            if provider != &event.provider {
                return None;
            }
            (id, on_ramp::judge(node, node.on_ramps.get(provider)?.as_ref(), id.0, state, event.attempts).await)
        }
        Read::Payout(id, state) => {
            let effect = &places.get(&id)?.effect;
            let (Effect::OffRamp { provider, .. } | Effect::SellBack { provider, .. }) = effect else { return None };
            if provider != &event.provider {
                return None;
            }
            let ramp = node.off_ramps.get(provider)?.as_ref();
            (id, off_ramp::judge(node, ramp, id.0, effect, state, event.attempts).await)
        }
        Read::Statement => {
            node.statement_bell.notify_one();
            return None;
        }
        Read::Payment(effect) => {
            if let Err(error) = outbox::hasten(&node.store.worker, &[effect]).await {
                tracing::warn!(%error, "an enquiry cannot be brought forward");
            }
            return None;
        }
        Read::Other => {
            tracing::warn!(provider = event.provider, event = event.event_id, "an event that we do not understand");
            return None;
        }
    };
    let place = places.get(&id)?;
    let finding = match next {
        Next::Found(finding) => finding,
        Next::AcceptedThen(_) | Next::Later(_) if event.attempts < LOOKS_MAX => return Some(400),
        Next::AcceptedThen(_) | Next::Later(_) => Finding::Accepted,
    };
    match node.report(place.tenant, place.subject, id, finding.clone()).await {
        Ok(Answer::Nothing | Answer::Contradicts) => None,
        Ok(_) => {
            node.measures.note(&event.provider, place.effect.kind(), &finding, place.first_attempt_at);
            None
        }
        Err(error) => {
            tracing::warn!(%error, effect = %id, "a finding was not taken");
            // What it says can be had by asking, and the enquiry is what people will look at.
            (event.attempts < LOOKS_MAX).then_some(400)
        }
    }
}
