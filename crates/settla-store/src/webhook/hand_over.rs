//! New deliveries that the worker of this process takes over from the batch that makes them, while there is room for
//! them: they are written as already under way, and begun when the batch is committed. What finds no room is claimed.

use crate::outbox::Moment;
use settla_domain::event::{Event, EventData};
use settla_domain::tenant::TenantNo;
use settla_domain::time::Timestamp;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;
use uuid::Uuid;

/// How many deliveries a process may have under way.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// In all.
    pub all: usize,
    /// Of these taken over from batches. The rest is for claims, which look after whoever waits in turn.
    pub handed_over: usize,
    /// To one endpoint, to be taken over.
    pub per_endpoint: usize,
    /// To all endpoints of one tenant, to be taken over.
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
}

/// The place of one delivery, until it is dropped.
#[derive(Debug)]
pub struct Place {
    under_way: Arc<UnderWay>,
    tenant: TenantNo,
    endpoint: Uuid,
    handed_over: bool,
}

impl UnderWay {
    /// Nothing is under way.
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, counts: Mutex::default() })
    }

    /// How many more may be claimed.
    pub fn free(&self) -> usize {
        self.limits.all.saturating_sub(self.counts().all)
    }

    /// A place for one that was claimed: the claim has seen to the limits.
    pub fn enter(self: &Arc<Self>, tenant: TenantNo, endpoint: Uuid) -> Place {
        self.counts().enter(tenant, endpoint, false);
        Place { under_way: Arc::clone(self), tenant, endpoint, handed_over: false }
    }

    fn take_over(self: &Arc<Self>, tenant: TenantNo, endpoint: Uuid) -> Option<Place> {
        let mut counts = self.counts();
        let room = counts.all < self.limits.all
            && counts.handed_over < self.limits.handed_over
            && counts.endpoints.get(&endpoint).is_none_or(|n| *n < self.limits.per_endpoint)
            && counts.tenants.get(&tenant).is_none_or(|n| *n < self.limits.per_tenant);
        room.then(|| {
            counts.enter(tenant, endpoint, true);
            Place { under_way: Arc::clone(self), tenant, endpoint, handed_over: true }
        })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn enter(&mut self, tenant: TenantNo, endpoint: Uuid, handed_over: bool) {
        self.all += 1;
        self.handed_over += usize::from(handed_over);
        *self.endpoints.entry(endpoint).or_default() += 1;
        *self.tenants.entry(tenant).or_default() += 1;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.under_way.counts();
        counts.all -= 1;
        counts.handed_over -= usize::from(self.handed_over);
        leave(&mut counts.endpoints, &self.endpoint);
        leave(&mut counts.tenants, &self.tenant);
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

/// A delivery as a batch makes it.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// The delivery.
    pub id: Uuid,
    /// Whose.
    pub tenant: TenantNo,
    /// The endpoint.
    pub endpoint: Uuid,
    /// The event.
    pub event_id: Uuid,
    /// Its number within the tenant.
    pub sequence: i64,
    /// Its type.
    pub kind: &'static str,
    /// Its data.
    pub data: EventData,
    /// When it happened.
    pub at: Timestamp,
}

impl NewDelivery {
    /// The first delivery of an event to an endpoint.
    pub(crate) fn of(event: &Event, endpoint: Uuid, event_id: Uuid, sequence: i64) -> Self {
        Self {
            id: Uuid::now_v7(),
            tenant: event.tenant,
            endpoint,
            event_id,
            sequence,
            kind: event.kind,
            data: event.data.clone(),
            at: event.at,
        }
    }
}

/// A delivery that is the worker's, with its place.
#[derive(Debug)]
pub struct HandedOver {
    /// The delivery.
    pub delivery: NewDelivery,
    /// From before its lease began.
    pub begun: Moment,
    /// Its place.
    pub place: Place,
}

/// Where batches hand deliveries over.
#[derive(Debug, Clone)]
pub struct HandOver {
    under_way: Arc<UnderWay>,
    worker: mpsc::Sender<HandedOver>,
}

impl HandOver {
    /// To whoever receives. When all copies of the first part are gone, the second one ends.
    pub fn open(under_way: &Arc<UnderWay>) -> (Self, mpsc::Receiver<HandedOver>) {
        // Whatever waits there has a place, so there is always room.
        let (worker, queue) = mpsc::channel(under_way.limits.handed_over.max(1));
        (Self { under_way: Arc::clone(under_way), worker }, queue)
    }

    /// For how long what is handed over is this process's alone.
    pub(crate) fn lease_ms(&self) -> i64 {
        self.under_way.limits.lease_ms
    }

    pub(crate) fn place(&self, tenant: TenantNo, endpoint: Uuid) -> Option<Place> {
        if self.worker.is_closed() { None } else { self.under_way.take_over(tenant, endpoint) }
    }

    /// For a delivery that is durable now. One that nobody takes any more is claimed when its lease is over.
    pub(crate) fn hand_over(&self, handed: HandedOver) {
        drop(self.worker.try_send(handed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { all: 4, handed_over: 3, per_endpoint: 1, per_tenant: 2, lease_ms: 1_000 };
    const A: TenantNo = TenantNo(1);
    const B: TenantNo = TenantNo(2);

    #[test]
    fn nobody_takes_more_than_their_places() {
        let under_way = UnderWay::new(LIMITS);
        let take = |tenant, endpoint| under_way.take_over(tenant, Uuid::from_u128(endpoint));
        let first = take(A, 1).expect("room");
        assert!(take(A, 1).is_none(), "one to an endpoint");
        let _second = take(A, 2).expect("room");
        assert!(take(A, 3).is_none(), "two to a tenant");
        let _third = take(B, 4).expect("room");
        assert!(take(B, 5).is_none(), "three handed over");
        assert_eq!(under_way.free(), 1, "the last is for claims");
        let _claimed = under_way.enter(B, Uuid::from_u128(1));
        assert_eq!(under_way.free(), 0);
        drop(first);
        assert!(take(A, 1).is_none(), "the claimed one counts for the endpoint");
        assert!(take(A, 5).is_some(), "and has left the tenant its place");
    }

    #[test]
    fn what_has_ended_leaves_nothing_behind() {
        let under_way = UnderWay::new(LIMITS);
        drop(under_way.take_over(A, Uuid::from_u128(1)));
        drop(under_way.enter(B, Uuid::from_u128(2)));
        let counts = under_way.counts();
        assert_eq!((counts.all, counts.handed_over), (0, 0));
        assert!(counts.endpoints.is_empty() && counts.tenants.is_empty());
    }

    #[test]
    fn nothing_is_taken_over_when_the_worker_has_gone() {
        let under_way = UnderWay::new(LIMITS);
        let (hand_over, worker) = HandOver::open(&under_way);
        assert!(hand_over.place(A, Uuid::from_u128(1)).is_some());
        drop(worker);
        assert!(hand_over.place(A, Uuid::from_u128(1)).is_none());
        assert_eq!(under_way.free(), LIMITS.all);
    }
}
