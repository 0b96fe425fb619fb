//! Requests a minute of a tenant, by class.
//!
//! A sliding window: in no sixty seconds does a tenant get more through than its limit. Counted in steps of a second,
//! so a place may come free up to a second late. Costs a lock and a few additions a request, and some 300 bytes a
//! tenant and class that was active in the last minute. Refused requests are not counted. Counts are this process's.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use settla_domain::tenant::TenantNo;
use settla_port::rate_limit::RateClass;
use settla_vault::Environment;

/// Length of the window.
const WINDOW_S: u64 = 60;
/// One step more than the window has seconds: the first and the last one count only in part.
const STEPS: usize = WINDOW_S as usize + 1;
/// With more windows than this, those that have emptied are dropped before another one is made.
const WINDOWS_MAX: usize = 10_000;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Whose requests, of which class.
type Counted = (Environment, TenantNo, RateClass);

/// Counts requests.
pub(crate) struct RateLimiter {
    started: Instant,
    windows: Mutex<HashMap<Counted, Window>>,
}

/// The last seconds of one tenant and class.
struct Window {
    counts: [u32; STEPS],
    /// The second that was counted last.
    newest_s: u64,
}

/// How a tenant stands with its limit after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) class: RateClass,
    pub(crate) admitted: bool,
    limit: u32,
    remaining: u32,
    /// Seconds until the oldest request that counts no longer does.
    pub(crate) frees_in_s: u64,
}

impl RateLimiter {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), windows: Mutex::new(HashMap::new()) }
    }

    /// Counts a request, if there is room for it.
    pub(crate) fn take(&self, environment: Environment, tenant: TenantNo, class: RateClass, limit: u32) -> Standing {
        self.take_at((environment, tenant, class), limit, self.started.elapsed().as_secs())
    }

    fn take_at(&self, counted: Counted, limit: u32, now_s: u64) -> Standing {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= WINDOWS_MAX && !windows.contains_key(&counted) {
            windows.retain(|_, window| now_s.saturating_sub(window.newest_s) < STEPS as u64);
        }
        let window = windows.entry(counted).or_insert(Window { counts: [0; STEPS], newest_s: now_s });
        let (admitted, used) = window.take(limit, now_s);
        Standing {
            class: counted.2,
            admitted,
            limit,
            remaining: limit.saturating_sub(used),
            frees_in_s: window.frees_in_s(),
        }
    }
}

impl Window {
    /// Returns whether there was room, and how many count now.
    fn take(&mut self, limit: u32, now_s: u64) -> (bool, u32) {
        if now_s.saturating_sub(self.newest_s) >= STEPS as u64 {
            self.counts = [0; STEPS];
        } else {
            (self.newest_s + 1..=now_s).for_each(|second| self.counts[step(second)] = 0);
        }
        // The clock is read before the lock is taken: another request may have been here with a later second.
        self.newest_s = self.newest_s.max(now_s);
        let used = self.counts.iter().fold(0u32, |sum, count| sum.saturating_add(*count));
        if used >= limit {
            return (false, used);
        }
        self.counts[step(self.newest_s)] += 1;
        (true, used + 1)
    }

    fn frees_in_s(&self) -> u64 {
        let oldest_s = self.newest_s.saturating_sub(WINDOW_S);
        let oldest = (oldest_s..=self.newest_s).find(|second| self.counts[step(*second)] > 0);
        oldest.map_or(0, |second| second + STEPS as u64 - self.newest_s)
    }
}

/// The place of a second.
fn step(second: u64) -> usize {
    (second % STEPS as u64) as usize
}

impl Standing {
    /// The `RateLimit` and `RateLimit-Policy` fields (draft-ietf-httpapi-ratelimit-headers-11).
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        let name = self.class.name();
        let fields = [
            (RATE_LIMIT_POLICY, format!("\"{name}\";q={};w={WINDOW_S}", self.limit)),
            (RATE_LIMIT, format!("\"{name}\";r={};t={}", self.remaining, self.frees_in_s)),
        ];
        for (field, value) in fields {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(field, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Counted = (Environment::Test, TenantNo(1), RateClass::Transfers);

    #[test]
    fn the_limit_is_exact_and_each_counts_for_itself() {
        let limiter = RateLimiter::new();
        for n in 1..=5 {
            let standing = limiter.take_at(ONE, 5, 100);
            assert_eq!((standing.admitted, standing.remaining), (true, 5 - n));
        }
        let refused = limiter.take_at(ONE, 5, 100);
        assert_eq!((refused.admitted, refused.remaining, refused.frees_in_s), (false, 0, 61));
        for other in [
            (Environment::Live, TenantNo(1), RateClass::Transfers),
            (Environment::Test, TenantNo(2), RateClass::Transfers),
            (Environment::Test, TenantNo(1), RateClass::Quotes),
        ] {
            assert!(limiter.take_at(other, 5, 100).admitted);
        }
        assert!(limiter.take_at(ONE, 6, 100).admitted, "a raised limit counts at once");
    }

    #[test]
    fn places_come_free_one_by_one_as_time_passes() {
        let limiter = RateLimiter::new();
        for second in [0, 10, 20] {
            assert!(limiter.take_at(ONE, 3, second).admitted);
        }
        for second in [20, 59, 60] {
            let refused = limiter.take_at(ONE, 3, second);
            assert_eq!((refused.admitted, refused.frees_in_s), (false, 61 - second));
        }
        assert!(limiter.take_at(ONE, 3, 61).admitted);
        assert!(!limiter.take_at(ONE, 3, 61).admitted);
        assert!(limiter.take_at(ONE, 3, 71).admitted);
        // After a long pause all are free, whatever step the pause ends in.
        for second in [300, 361, 10_000] {
            for _ in 0..3 {
                assert!(limiter.take_at(ONE, 3, second).admitted, "{second}");
            }
            assert!(!limiter.take_at(ONE, 3, second).admitted, "{second}");
        }
    }

    /// Compared with the definition: in no sixty seconds more than the limit.
    #[test]
    fn no_sixty_seconds_hold_more_than_the_limit() {
        const LIMIT: u32 = 40;
        let limiter = RateLimiter::new();
        let mut admitted = Vec::new();
        for tenth in 0u64..3_000 {
            // Bursts and lulls of odd lengths.
            let tries = if tenth % 137 < 29 { 3 } else { u64::from(tenth % 7 == 0) };
            for _ in 0..tries {
                if limiter.take_at(ONE, LIMIT, tenth / 10).admitted {
                    admitted.push(tenth);
                }
            }
        }
        assert!(admitted.len() > 4 * LIMIT as usize, "{}", admitted.len());
        for (index, first) in admitted.iter().enumerate() {
            let within = admitted[index..].iter().take_while(|at| **at < first + 600).count();
            assert!(within <= LIMIT as usize, "{within} from {first}");
        }
    }

    #[test]
    fn windows_of_the_idle_are_dropped() {
        let limiter = RateLimiter::new();
        let tenant = |n: usize| (Environment::Test, TenantNo(u32::try_from(n).unwrap()), RateClass::Other);
        for n in 0..WINDOWS_MAX {
            limiter.take_at(tenant(n), 1, 0);
        }
        limiter.take_at(tenant(WINDOWS_MAX), 1, 61);
        assert_eq!(limiter.windows.lock().unwrap().len(), 1);
    }
}
