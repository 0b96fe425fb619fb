//! Payouts that an off-ramp has just taken. That it has taken one is worth knowing when nothing else comes of it soon; most
//! end before that, and their end says it too.

use settla_domain::id::EffectId;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How long a payout's end is waited for before it is reported that it was taken. No longer than until the first enquiry,
/// and much shorter than a lease.
const END_WITHIN: Duration = Duration::from_secs(2);

/// Who waits for the end of which payout.
#[derive(Default)]
pub(crate) struct Taken {
    waiting: Mutex<HashMap<EffectId, oneshot::Sender<()>>>,
}

impl Taken {
    /// From now on its end is noticed. Before the provider is asked: its event may be here before its answer.
    pub fn watch(&self, effect: EffectId) -> Watch<'_> {
        let (ends, ended) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(effect, ends);
        Watch { taken: self, effect, ended }
    }

    /// What came of a payout is durable.
    pub fn ended(&self, effect: EffectId) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&effect);
        // Who waited may have given up.
        waiting.map(|ends| ends.send(()));
    }
}

/// Waits for the end of one payout.
pub(crate) struct Watch<'a> {
    taken: &'a Taken,
    effect: EffectId,
    ended: oneshot::Receiver<()>,
}

impl Watch<'_> {
    /// Returns whether it has ended, once it has or has not for a while. Another watch on the same payout ends this one.
    pub async fn has_ended(&mut self) -> bool {
        matches!(timeout(END_WITHIN, &mut self.ended).await, Ok(Ok(())))
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.ended.close();
        let mut waiting = self.taken.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // It may be another watch's by now.
        if waiting.get(&self.effect).is_some_and(oneshot::Sender::is_closed) {
            waiting.remove(&self.effect);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn payout() -> EffectId {
        EffectId(Uuid::now_v7())
    }

    fn waiting(taken: &Taken) -> usize {
        taken.waiting.lock().unwrap().len()
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_is_noticed_also_before_it_is_waited_for() {
        let taken = Taken::default();
        let (early, late) = (payout(), payout());
        let (mut first, mut second) = (taken.watch(early), taken.watch(late));
        taken.ended(early);
        assert!(first.has_ended().await);
        let (has_ended, ()) = tokio::join!(second.has_ended(), async {
            tokio::time::sleep(END_WITHIN / 2).await;
            taken.ended(late);
        });
        assert!(has_ended);
        assert_eq!(waiting(&taken), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_does_not_end_is_waited_for_no_longer() {
        let taken = Taken::default();
        let mut watch = taken.watch(payout());
        taken.ended(payout());
        assert!(!watch.has_ended().await);
        drop(watch);
        assert_eq!(waiting(&taken), 0, "nothing is left of it");
    }

    #[tokio::test(start_paused = true)]
    async fn another_watch_ends_the_first_and_outlives_it() {
        let taken = Taken::default();
        let id = payout();
        let mut first = taken.watch(id);
        let mut second = taken.watch(id);
        assert!(!first.has_ended().await);
        drop(first);
        taken.ended(id);
        assert!(second.has_ended().await);
    }
}
