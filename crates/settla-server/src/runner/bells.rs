//! What wakes workers: a bell for each kind of work, rung when a batch was committed that left
//! some to be claimed.

use settla_domain::effect::EffectKind;
use settla_store::batch::Written;
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

    /// For what a batch leaves to be claimed, once it is committed.
    pub fn ring(&self, written: &Written) {
        written.to_claim.iter().for_each(|kind| self.effect(*kind));
        if written.deliveries_to_claim {
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

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::collections::BTreeSet;

    /// Which effects have rung, and whether deliveries have. Each is heard once.
    fn heard(bells: &Bells) -> (BTreeSet<EffectKind>, bool) {
        let rung = |kind: &EffectKind| bells.ordered(*kind).now_or_never().is_some();
        (EffectKind::ALL.into_iter().filter(rung).collect(), bells.deliveries().now_or_never().is_some())
    }

    #[test]
    fn what_is_left_to_be_claimed_rings_and_nothing_else_does() {
        let bells = Bells::new();
        bells.ring(&Written::default());
        assert_eq!(heard(&bells), (BTreeSet::new(), false));
        let kinds = BTreeSet::from([EffectKind::OffRamp, EffectKind::BankPayment]);
        bells.ring(&Written { to_claim: kinds.clone(), ..Written::default() });
        bells.ring(&Written { to_claim: kinds.clone(), ..Written::default() });
        assert_eq!(heard(&bells), (kinds, false), "while nobody listened");
        assert_eq!(heard(&bells), (BTreeSet::new(), false), "a second time");
        bells.ring(&Written { deliveries_to_claim: true, ..Written::default() });
        assert_eq!(heard(&bells), (BTreeSet::new(), true));
    }

    #[test]
    fn when_it_is_not_known_what_was_written_all_ring() {
        let bells = Bells::new();
        bells.ring_all();
        assert_eq!(heard(&bells), (EffectKind::ALL.into_iter().collect(), true));
    }
}
