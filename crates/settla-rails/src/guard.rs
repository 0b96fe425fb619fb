//! What keeps one provider's trouble from becoming ours: a bulkhead and a circuit breaker around all calls to it.
//!
//! The bulkhead bounds the calls under way; one more waits for a place no longer than a call may take. The breaker opens
//! when so many calls in a row had no usable answer: for a while nothing is sent, then one call tries whether the
//! provider is back. A call that was not sent has an unknown outcome like one that was not answered; whoever made it asks
//! before it tries again.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};

/// Calls under way to one provider.
const CALLS_MAX: usize = 256;
/// Calls in a row without a usable answer that open the circuit.
const FAILURES_MAX: u32 = 10;
/// How long it stays open at first; doubles each time that the trial fails.
const OPEN_FOR: Duration = Duration::from_secs(1);
const OPEN_FOR_MAX: Duration = Duration::from_secs(30);

/// 1 while nothing is sent to a provider, by `provider`.
pub const CIRCUIT_OPEN_METRIC: &str = "settla_circuit_open";

/// Around the calls to one provider.
pub(crate) struct Guard {
    name: String,
    patience: Duration,
    places: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// So many calls in a row had no answer.
    Closed { failures: u32 },
    /// Nothing is sent until then.
    Open { until: Instant, length: Duration },
    /// One call tries whether it is back.
    Trial { length: Duration },
}

/// Permission for one call, held for its time.
pub(crate) struct Pass<'a> {
    guard: &'a Guard,
    /// Nothing while it waits for one.
    place: Option<SemaphorePermit<'a>>,
    is_judged: bool,
}

impl Pass<'_> {
    /// What came of the call.
    pub fn heard(mut self, answered: bool) {
        self.is_judged = true;
        self.guard.heard_at(answered, Instant::now());
    }
}

impl Drop for Pass<'_> {
    /// Whoever made the call has gone away. That says nothing about the provider, but a trial must not stay one for ever.
    fn drop(&mut self) {
        if !self.is_judged {
            self.guard.given_up_at(Instant::now());
        }
    }
}

impl Guard {
    pub fn new(name: &str, patience: Duration) -> Self {
        metrics::gauge!(CIRCUIT_OPEN_METRIC, "provider" => name.to_owned()).set(0.0);
        let state = Mutex::new(State::Closed { failures: 0 });
        Self { name: name.to_owned(), patience, places: Semaphore::new(CALLS_MAX), state }
    }

    /// Lets a call through, or not.
    pub async fn enter(&self) -> Option<Pass<'_>> {
        if !self.admits(Instant::now()) {
            return None;
        }
        // Before the wait: whoever waits may go away.
        let mut pass = Pass { guard: self, place: None, is_judged: false };
        pass.place = tokio::time::timeout(self.patience, self.places.acquire()).await.ok().and_then(Result::ok);
        if pass.place.is_none() {
            pass.heard(false);
            return None;
        }
        Some(pass)
    }

    fn admits(&self, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match *state {
            State::Closed { .. } => true,
            State::Open { until, length } if now >= until => {
                *state = State::Trial { length };
                true
            }
            State::Open { .. } | State::Trial { .. } => false,
        }
    }

    fn given_up_at(&self, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Trial { length } = *state {
            *state = State::Open { until: now + length, length };
        }
    }

    fn heard_at(&self, answered: bool, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *state;
        *state = match before {
            // Any answer shows that it is there, one to a call from before it opened too.
            _ if answered => State::Closed { failures: 0 },
            State::Closed { failures } if failures + 1 < FAILURES_MAX => State::Closed { failures: failures + 1 },
            State::Closed { .. } => State::Open { until: now + OPEN_FOR, length: OPEN_FOR },
            State::Trial { length } => {
                let length = (length * 2).min(OPEN_FOR_MAX);
                State::Open { until: now + length, length }
            }
            open @ State::Open { .. } => open,
        };
        let is_closed = |state: State| matches!(state, State::Closed { .. });
        if is_closed(before) != is_closed(*state) {
            tracing::warn!(provider = self.name, open = !is_closed(*state), "the circuit to a provider has changed");
            let open = if is_closed(*state) { 0.0 } else { 1.0 };
            metrics::gauge!(CIRCUIT_OPEN_METRIC, "provider" => self.name.clone()).set(open);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> Guard {
        Guard::new("x", Duration::from_millis(20))
    }

    fn fail(guard: &Guard, times: u32, now: Instant) {
        (0..times).for_each(|_| guard.heard_at(false, now));
    }

    #[test]
    fn it_opens_after_so_many_failures_in_a_row_and_not_before() {
        let (guard, now) = (guard(), Instant::now());
        fail(&guard, FAILURES_MAX - 1, now);
        guard.heard_at(true, now);
        fail(&guard, FAILURES_MAX - 1, now);
        assert!(guard.admits(now));
        fail(&guard, 1, now);
        assert!(!guard.admits(now));
        assert!(!guard.admits(now + OPEN_FOR - Duration::from_millis(1)));
    }

    #[test]
    fn one_call_tries_and_its_outcome_decides() {
        let (guard, mut now) = (guard(), Instant::now());
        fail(&guard, FAILURES_MAX, now);
        let mut length = OPEN_FOR;
        for _ in 0..8 {
            now += length;
            assert!(guard.admits(now), "a trial after {length:?}");
            assert!(!guard.admits(now), "and only one");
            guard.heard_at(false, now);
            length = (length * 2).min(OPEN_FOR_MAX);
            assert!(!guard.admits(now + length - Duration::from_millis(1)));
        }
        assert_eq!(length, OPEN_FOR_MAX);
        now += length;
        assert!(guard.admits(now));
        guard.heard_at(true, now);
        assert!(guard.admits(now) && guard.admits(now));
        // Closed as before: it takes as many failures again.
        fail(&guard, FAILURES_MAX - 1, now);
        assert!(guard.admits(now));
    }

    #[test]
    fn late_failures_of_earlier_calls_do_not_keep_it_open() {
        let (guard, now) = (guard(), Instant::now());
        fail(&guard, FAILURES_MAX + 50, now);
        assert!(guard.admits(now + OPEN_FOR));
    }

    #[tokio::test]
    async fn a_trial_whose_caller_goes_away_is_followed_by_another() {
        let guard = guard();
        let past = Instant::now() - OPEN_FOR;
        fail(&guard, FAILURES_MAX, past);
        let pass = guard.enter().await.expect("a trial");
        assert!(guard.enter().await.is_none());
        drop(pass);
        assert!(guard.admits(Instant::now() + OPEN_FOR));
    }

    #[tokio::test]
    async fn nor_is_one_for_ever_whose_caller_went_away_before_it_had_a_place() {
        let guard = guard();
        fail(&guard, FAILURES_MAX, Instant::now() - OPEN_FOR);
        let _all = guard.places.try_acquire_many(CALLS_MAX as u32).expect("all places");
        let gone = tokio::time::timeout(Duration::from_millis(1), guard.enter()).await;
        assert!(gone.is_err());
        assert!(guard.admits(Instant::now() + OPEN_FOR));
    }

    #[tokio::test]
    async fn a_full_bulkhead_is_not_waited_for_without_end() {
        let guard = guard();
        let mut passes = Vec::new();
        for _ in 0..CALLS_MAX {
            passes.push(guard.enter().await.expect("a place"));
        }
        assert!(guard.enter().await.is_none());
        passes.pop();
        assert!(guard.enter().await.is_some());
    }
}
