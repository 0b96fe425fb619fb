//! An answer that is kept for a short time, so that one request serves all that is asked meanwhile.

use crate::RailError;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// What was answered last, or that there was no answer, and since when.
type Last<T> = Option<(Instant, Result<Arc<T>, RailError>)>;

/// One kept answer.
pub(crate) struct Kept<T> {
    last: Mutex<Last<T>>,
    refresh_after: Duration,
}

impl<T> Kept<T> {
    /// Keeps an answer, or that there was none, for `refresh_after`.
    pub fn new(refresh_after: Duration) -> Self {
        Self { last: Mutex::new(None), refresh_after }
    }

    /// The kept answer, or what `load` brings if that is too old. When `load` fails, the last answer is used on: whatever
    /// is kept here says itself how old it is.
    pub async fn get(&self, load: impl Future<Output = Result<T, RailError>>) -> Result<Arc<T>, RailError> {
        // The lock is held over the request on purpose: concurrent callers wait for one answer.
        let mut last = self.last.lock().await;
        if let Some((at, answer)) = last.as_ref()
            && at.elapsed() < self.refresh_after
        {
            return answer.clone();
        }
        let answer = match (load.await.map(Arc::new), last.as_ref()) {
            (Err(error), Some((_, Ok(before)))) => {
                tracing::warn!(%error, "no new prices; the last ones are used");
                Ok(Arc::clone(before))
            }
            (answer, _) => answer,
        };
        *last = Some((Instant::now(), answer.clone()));
        answer
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
