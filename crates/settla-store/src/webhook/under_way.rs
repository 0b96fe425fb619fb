//! What a process has under way, and how much of it may go to whom.
//!
//! An endpoint that answers quickly keeps a place for milliseconds, so it may have many at once and still nobody waits for
//! it: as many as it makes use of, up to half of all. One that does not answer keeps each place until its time is over, so
//! it soon has next to none.

use settla_domain::tenant::TenantNo;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use uuid::Uuid;

/// What keeps its place no longer than this is quick.
const QUICK: Duration = Duration::from_secs(1);
/// Most endpoints of which it is remembered that they may have more or less than others; beyond that all begin anew.
const REMEMBERED_MAX: usize = 1_000;

/// How many deliveries a process may have under way.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// In all.
    pub all: usize,
    /// Of these taken over from batches. The rest is for claims, which look after whoever waits in turn.
    pub handed_over: usize,
    /// To one endpoint of which nothing is known. Half of an endpoint's, and of a tenant's, may be taken over.
    pub per_endpoint: usize,
    /// To one that does not answer, at least.
    pub per_endpoint_least: usize,
    /// To one that answers quickly, at most.
    pub per_endpoint_most: usize,
    /// To all endpoints of one tenant but those that may have more than [`Self::per_endpoint`]: what these have is theirs
    /// alone, so that a busy one leaves the others of its tenant their places.
    pub per_tenant: usize,
    /// For how long each is this process's alone, in milliseconds.
    pub lease_ms: i64,
}

/// What a process has under way.
#[derive(Debug)]
pub struct UnderWay {
    limits: Limits,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    handed_over: usize,
    endpoints: HashMap<Uuid, usize>,
    tenants: HashMap<TenantNo, usize>,
    /// Endpoints that may have more or less at once than those of which nothing is known.
    learnt: HashMap<Uuid, usize>,
}

/// The place of one delivery, until it is dropped.
#[derive(Debug)]
pub struct Place {
    under_way: Arc<UnderWay>,
    tenant: TenantNo,
    endpoint: Uuid,
    handed_over: bool,
    /// Whether it counts among its tenant's.
    of_tenant: bool,
}

impl UnderWay {
    /// Nothing is under way.
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, counts: Mutex::default() })
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How many more may be claimed.
    pub fn free(&self) -> usize {
        self.limits.all.saturating_sub(self.counts().all)
    }

    /// How many may be under way to endpoints that are not as others.
    pub fn learnt(&self) -> HashMap<Uuid, usize> {
        self.counts().learnt.clone()
    }

    /// A place for one that was claimed: the claim has seen to the limits.
    pub fn enter(self: &Arc<Self>, tenant: TenantNo, endpoint: Uuid) -> Place {
        self.place(&mut self.counts(), tenant, endpoint, false)
    }

    fn place(self: &Arc<Self>, counts: &mut Counts, tenant: TenantNo, endpoint: Uuid, handed_over: bool) -> Place {
        let of_tenant = counts.limit(endpoint, &self.limits) <= self.limits.per_endpoint;
        counts.all += 1;
        counts.handed_over += usize::from(handed_over);
        *counts.endpoints.entry(endpoint).or_default() += 1;
        if of_tenant {
            *counts.tenants.entry(tenant).or_default() += 1;
        }
        Place { under_way: Arc::clone(self), tenant, endpoint, handed_over, of_tenant }
    }

    pub(super) fn take_over(self: &Arc<Self>, tenant: TenantNo, endpoint: Uuid) -> Option<Place> {
        let mut counts = self.counts();
        let to_endpoint = counts.limit(endpoint, &self.limits);
        let is_apart = to_endpoint > self.limits.per_endpoint;
        let room = counts.all < self.limits.all
            && counts.handed_over < self.limits.handed_over
            && counts.endpoints.get(&endpoint).is_none_or(|n| *n < to_endpoint.div_ceil(2))
            && (is_apart || counts.tenants.get(&tenant).is_none_or(|n| *n < self.limits.per_tenant.div_ceil(2)));
        room.then(|| self.place(&mut counts, tenant, endpoint, true))
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn limit(&self, endpoint: Uuid, limits: &Limits) -> usize {
        self.learnt.get(&endpoint).copied().unwrap_or(limits.per_endpoint)
    }

    fn learn(&mut self, endpoint: Uuid, limit: usize, limits: &Limits) {
        if limit == limits.per_endpoint {
            self.learnt.remove(&endpoint);
            return;
        }
        if self.learnt.len() >= REMEMBERED_MAX && !self.learnt.contains_key(&endpoint) {
            self.learnt.clear();
        }
        self.learnt.insert(endpoint, limit);
    }
}

impl Place {
    /// Gives the place back, and takes from how long it was kept how many the endpoint may have from now on.
    pub fn leave(self, kept: Duration, delivered: bool) {
        let limits = self.under_way.limits;
        let mut counts = self.under_way.counts();
        let limit = counts.limit(self.endpoint, &limits);
        let makes_use = counts.endpoints.get(&self.endpoint).is_some_and(|n| n * 2 >= limit);
        let next = match (kept <= QUICK, delivered) {
            (true, true) if makes_use => (limit + 1).min(limits.per_endpoint_most.max(limit)),
            (true, _) => limit,
            // Slow, but it takes them: as any other.
            (false, true) if limit < limits.per_endpoint => limit + 1,
            (false, true) => (limit / 2).max(limits.per_endpoint),
            (false, false) => limit.min((limit / 2).max(limits.per_endpoint_least)),
        };
        counts.learn(self.endpoint, next, &limits);
        // Dropped after the guard: it takes the lock itself.
        drop(counts);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.under_way.counts();
        counts.all -= 1;
        counts.handed_over -= usize::from(self.handed_over);
        leave(&mut counts.endpoints, &self.endpoint);
        if self.of_tenant {
            leave(&mut counts.tenants, &self.tenant);
        }
    }
}

/// Only those are kept that have something under way, so the maps are no larger than the limit.
fn leave<K: Eq + Hash>(map: &mut HashMap<K, usize>, key: &K) {
    if let Some(n) = map.get_mut(key) {
        *n -= 1;
        if *n == 0 {
            map.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        all: 4,
        handed_over: 3,
        per_endpoint: 2,
        per_endpoint_least: 1,
        per_endpoint_most: 6,
        per_tenant: 4,
        lease_ms: 1_000,
    };
    const A: TenantNo = TenantNo(1);
    const B: TenantNo = TenantNo(2);
    const SLOW: Duration = Duration::from_millis(1_001);

    fn endpoint(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    #[test]
    fn nobody_takes_more_than_their_places() {
        let under_way = UnderWay::new(LIMITS);
        let take = |tenant, n| under_way.take_over(tenant, endpoint(n));
        let first = take(A, 1).expect("room");
        assert!(take(A, 1).is_none(), "half of two to an endpoint");
        let _second = take(A, 2).expect("room");
        assert!(take(A, 3).is_none(), "half of four to a tenant");
        let _third = take(B, 4).expect("room");
        assert!(take(B, 5).is_none(), "three handed over");
        assert_eq!(under_way.free(), 1, "the last is for claims");
        let _claimed = under_way.enter(B, endpoint(1));
        assert_eq!(under_way.free(), 0);
        drop(first);
        assert!(take(A, 1).is_none(), "the claimed one counts for the endpoint");
        assert!(take(A, 5).is_some(), "and has left the tenant its place");
    }

    #[test]
    fn what_has_ended_leaves_nothing_behind() {
        let under_way = UnderWay::new(LIMITS);
        drop(under_way.take_over(A, endpoint(1)));
        under_way.enter(B, endpoint(2)).leave(QUICK, false);
        let counts = under_way.counts();
        assert_eq!((counts.all, counts.handed_over), (0, 0));
        assert!(counts.endpoints.is_empty() && counts.tenants.is_empty() && counts.learnt.is_empty());
    }

    /// Lets so many be under way to an endpoint at once, all with this outcome. Says how many it may have afterwards.
    fn round(under_way: &Arc<UnderWay>, n: u128, at_once: usize, kept: Duration, delivered: bool) -> usize {
        let places: Vec<Place> = (0..at_once).map(|_| under_way.enter(A, endpoint(n))).collect();
        places.into_iter().for_each(|place| place.leave(kept, delivered));
        under_way.learnt().get(&endpoint(n)).copied().unwrap_or(LIMITS.per_endpoint)
    }

    #[test]
    fn who_answers_quickly_has_what_it_makes_use_of() {
        let under_way = UnderWay::new(LIMITS);
        // Of two, the first leaves when both are there, the second when half of three is not.
        assert_eq!(round(&under_way, 1, 2, QUICK, true), 3);
        assert_eq!(round(&under_way, 1, 20, QUICK, true), 6, "there is a bound");
        assert_eq!(round(&under_way, 1, 2, QUICK, true), 6, "few say nothing");
        assert_eq!(round(&under_way, 2, 20, QUICK, false), 2, "what is refused quickly keeps no place and earns none");
        // Half of what it may have, which is not taken from the others of its tenant.
        let taken: Vec<Place> = (0..2).filter_map(|_| under_way.take_over(A, endpoint(1))).collect();
        assert_eq!(taken.len(), 2);
        let _other = under_way.take_over(A, endpoint(3)).expect("room");
        assert_eq!(under_way.counts().tenants[&A], 1);
    }

    #[test]
    fn who_keeps_places_has_fewer_and_gets_them_back() {
        let under_way = UnderWay::new(LIMITS);
        assert_eq!(round(&under_way, 1, 20, QUICK, true), 6);
        assert_eq!(round(&under_way, 1, 1, SLOW, true), 3);
        assert_eq!(round(&under_way, 1, 1, SLOW, true), 2, "slow, but it takes them");
        assert_eq!(round(&under_way, 1, 5, SLOW, true), 2);
        assert_eq!(round(&under_way, 1, 1, SLOW, false), 1);
        assert_eq!(round(&under_way, 1, 5, SLOW, false), 1, "one is tried");
        assert_eq!(round(&under_way, 1, 1, QUICK, true), 2);
        assert_eq!(round(&under_way, 1, 1, SLOW, false), 1);
        assert_eq!(round(&under_way, 1, 1, SLOW, true), 2, "one that is slow and takes them is as any other");
        assert!(under_way.learnt().is_empty(), "as any other");
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let under_way = UnderWay::new(LIMITS);
        for n in 0..REMEMBERED_MAX as u128 + 3 {
            round(&under_way, n, 1, SLOW, false);
        }
        assert_eq!(under_way.learnt().len(), 3);
    }
}
