//! New deliveries that the worker of this process takes over from the batch that makes them, while there is room for
//! them: they are written as already under way, and begun when the batch is committed. What finds no room is claimed.

use super::under_way::{Place, UnderWay};
use crate::outbox::Moment;
use settla_domain::event::{Event, EventData};
use settla_domain::tenant::TenantNo;
use settla_domain::time::Timestamp;
use std::sync::Arc;
use tokio::sync::mpsc;
use uuid::Uuid;

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
        let (worker, queue) = mpsc::channel(under_way.limits().handed_over.max(1));
        (Self { under_way: Arc::clone(under_way), worker }, queue)
    }

    /// For how long what is handed over is this process's alone.
    pub(crate) fn lease_ms(&self) -> i64 {
        self.under_way.limits().lease_ms
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
    use crate::webhook::under_way::Limits;

    const LIMITS: Limits = Limits {
        all: 4,
        handed_over: 3,
        per_endpoint: 2,
        per_endpoint_least: 2,
        per_endpoint_most: 2,
        per_tenant: 4,
        lease_ms: 1_000,
    };
    const A: TenantNo = TenantNo(1);

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
