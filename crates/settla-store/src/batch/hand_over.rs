//! What the workers of this process take over from a batch instead of looking for it in its table: it is written as already
//! theirs, and is given to them once the batch is committed. If that is never known, their lease ends by itself, and
//! whoever claims it then finds what a worker that died would have left.

use crate::outbox::{Claim, Moment};
use crate::webhook::hand_over as deliveries;
use settla_domain::effect::{EffectKind, EffectOrder};
use settla_domain::time::Timestamp;
use std::collections::BTreeMap;
use tokio::sync::mpsc;

/// Who takes over.
#[derive(Debug, Clone, Default)]
pub struct Takers {
    /// Effects by their kind.
    pub effects: BTreeMap<EffectKind, EffectTaker>,
    /// Webhook deliveries.
    pub deliveries: Option<deliveries::HandOver>,
}

/// A worker that takes effects over, as many at a time as its channel has room for.
#[derive(Debug, Clone)]
pub struct EffectTaker {
    /// Where it receives them.
    pub worker: mpsc::Sender<Claim>,
    /// For how long each is its own, in milliseconds.
    pub lease_ms: i64,
}

/// What a batch hands over when it is committed. Dropped, it hands nothing over.
#[derive(Debug, Default)]
#[must_use]
pub struct Handed {
    effects: Vec<(mpsc::OwnedPermit<Claim>, Claim)>,
    deliveries: Vec<(deliveries::HandOver, deliveries::HandedOver)>,
}

impl Handed {
    /// Hands it over. Only after the batch is committed.
    pub fn over(self) {
        for (place, claim) in self.effects {
            place.send(claim);
        }
        for (taker, delivery) in self.deliveries {
            taker.hand_over(delivery);
        }
    }

    /// Takes an effect over if there is room. Returns for how many milliseconds it is the worker's.
    pub(super) fn effect(&mut self, takers: &Takers, order: &EffectOrder, begun: Moment, at: Timestamp) -> Option<i64> {
        let taker = takers.effects.get(&order.effect.kind())?;
        let place = taker.worker.clone().try_reserve_owned().ok()?;
        let claim = Claim {
            id: order.id,
            tenant: order.tenant,
            subject: order.subject,
            effect: order.effect.clone(),
            accepted: false,
            attempt: 1,
            first_attempt_at: at,
            epoch: 1,
            claimed_at: begun,
        };
        self.effects.push((place, claim));
        Some(taker.lease_ms)
    }

    /// Takes a delivery over if there is room. Returns for how many milliseconds it is the worker's.
    pub(super) fn delivery(
        &mut self,
        takers: &Takers,
        delivery: &deliveries::NewDelivery,
        begun: Moment,
    ) -> Option<i64> {
        let taker = takers.deliveries.as_ref()?;
        let place = taker.place(delivery.tenant, delivery.endpoint)?;
        self.deliveries.push((taker.clone(), deliveries::HandedOver { delivery: delivery.clone(), begun, place }));
        Some(taker.lease_ms())
    }
}
