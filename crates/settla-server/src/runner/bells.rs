//! What wakes workers: a bell for each kind of work, rung when a batch that has made some was committed.

use settla_domain::effect::EffectKind;
use settla_domain::world::Change;
use std::collections::BTreeMap;
use tokio::sync::Notify;

/// A bell for each kind of effect, and one for webhook deliveries. One that is rung while nobody listens is heard by
/// whoever listens next.
pub(super) struct Bells {
    effects: BTreeMap<EffectKind, Notify>,
    deliveries: Notify,
}

impl Bells {
    pub fn new() -> Self {
        let effects = EffectKind::ALL.map(|kind| (kind, Notify::new()));
        Self { effects: effects.into_iter().collect(), deliveries: Notify::new() }
    }

    /// For what a batch has changed, once it is committed.
    pub fn ring(&self, changes: &[Change], deliveries: usize) {
        for change in changes {
            if let Change::EffectOrdered(order) = change {
                self.effect(order.effect.kind());
            }
        }
        if deliveries > 0 {
            self.deliveries.notify_one();
        }
    }

    /// For whatever a batch may have changed.
    pub fn ring_all(&self) {
        EffectKind::ALL.into_iter().for_each(|kind| self.effect(kind));
        self.deliveries.notify_one();
    }

    fn effect(&self, kind: EffectKind) {
        if let Some(bell) = self.effects.get(&kind) {
            bell.notify_one();
        }
    }

    pub async fn ordered(&self, kind: EffectKind) {
        match self.effects.get(&kind) {
            Some(bell) => bell.notified().await,
            None => std::future::pending().await,
        }
    }

    pub async fn deliveries(&self) {
        self.deliveries.notified().await;
    }
}
