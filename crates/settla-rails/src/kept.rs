//! An answer that is kept for a short time, so that one request serves all that is asked meanwhile. In the last fifth of that
//! time whoever comes first asks for the next one, while all others use what there is and do not wait.

use crate::RailError;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What was answered last, or that there was no answer, and since when.
type Last<T> = Option<(Instant, Result<Arc<T>, RailError>)>;

/// One kept answer.
pub(crate) struct Kept<T> {
    last: Mutex<Last<T>>,
    loading: tokio::sync::Mutex<()>,
    refresh_after: Duration,
}

impl<T> Kept<T> {
    /// Keeps an answer, or that there was none, for `refresh_after`.
    pub fn new(refresh_after: Duration) -> Self {
        Self { last: Mutex::new(None), loading: tokio::sync::Mutex::new(()), refresh_after }
    }

    /// The kept answer, or what `load` brings if that is too old. When `load` fails, the last answer is used on: whatever
    /// is kept here says itself how old it is.
    pub async fn get(&self, load: impl Future<Output = Result<T, RailError>>) -> Result<Arc<T>, RailError> {
        let early = self.refresh_after * 4 / 5;
        // Held over the request on purpose: who has nothing that may be used waits for the one answer.
        let _loading = match (self.younger_than(self.refresh_after), self.loading.try_lock()) {
            (Some(answer), Err(_)) => return answer,
            (_, Ok(first)) => first,
            (None, Err(_)) => self.loading.lock().await,
        };
        if let Some(answer) = self.younger_than(early) {
            return answer;
        }
        let loaded = load.await.map(Arc::new);
        let mut last = self.last();
        let answer = match (loaded, last.as_ref()) {
            (Err(error), Some((_, Ok(before)))) => {
                tracing::warn!(%error, "no new prices; the last ones are used");
                Ok(Arc::clone(before))
            }
            (answer, _) => answer,
        };
        *last = Some((Instant::now(), answer.clone()));
        answer
    }

    fn younger_than(&self, age: Duration) -> Option<Result<Arc<T>, RailError>> {
        self.last().as_ref().filter(|(at, _)| at.elapsed() < age).map(|(_, answer)| answer.clone())
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Last<T>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn away() -> RailError {
        RailError::Unavailable("x".to_owned())
    }

    #[tokio::test]
    async fn one_request_serves_all_that_is_asked_meanwhile() {
        let (kept, requests) = (Kept::new(Duration::from_secs(3_600)), AtomicU32::new(0));
        let load = || async {
            // The others ask while this one is under way.
            tokio::task::yield_now().await;
            Ok(requests.fetch_add(1, Ordering::SeqCst))
        };
        let (a, b) = tokio::join!(kept.get(load()), kept.get(load()));
        assert_eq!((*a.unwrap(), *b.unwrap(), *kept.get(load()).await.unwrap()), (0, 0, 0));
        assert_eq!(requests.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn before_it_is_too_old_one_asks_for_the_next_and_nobody_else_waits() {
        const KEPT_FOR: Duration = Duration::from_secs(3_600);
        let kept = Kept::new(KEPT_FOR);
        let aged = |by: Duration| {
            let (at, _) = kept.last().take().unwrap();
            *kept.last() = Some((at.checked_sub(by).unwrap(), Ok(Arc::new(1))));
        };
        assert_eq!(*kept.get(async { Ok(1) }).await.unwrap(), 1);
        aged(KEPT_FOR * 9 / 10);
        let (next, later) = tokio::sync::oneshot::channel();
        let first = kept.get(async { Ok(later.await.unwrap()) });
        let others = async {
            assert_eq!(*kept.get(async { panic!("one request is enough") }).await.unwrap(), 1);
            next.send(2).unwrap();
        };
        let (first, ()) = tokio::join!(first, others);
        assert_eq!((*first.unwrap(), *kept.get(async { Ok(3) }).await.unwrap()), (2, 2));
    }

    #[tokio::test]
    async fn an_old_answer_is_replaced_and_is_used_on_when_no_newer_one_comes() {
        let kept = Kept::new(Duration::ZERO);
        assert_eq!(kept.get(async { Err(away()) }).await, Err(away()));
        assert_eq!(*kept.get(async { Ok(1) }).await.unwrap(), 1);
        assert_eq!(*kept.get(async { Ok(2) }).await.unwrap(), 2);
        for _ in 0..2 {
            assert_eq!(*kept.get(async { Err(away()) }).await.unwrap(), 2);
        }
        assert_eq!(*kept.get(async { Ok(3) }).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn that_there_was_no_answer_is_kept_too() {
        let kept = Kept::new(Duration::from_secs(3_600));
        assert_eq!(kept.get(async { Err(away()) }).await, Err(away()));
        assert_eq!(kept.get(async { Ok(1) }).await, Err(away()));
    }
}
