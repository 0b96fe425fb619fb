//! What workers take over from a batch: theirs once it is committed, nobody else's until their lease is over, and never
//! lost.

use crate::apply::{apply, apply_for};
use crate::life::endpoint;
use crate::support::{check::assert_books, create, funding, open, quote, tenant};
use settla_devkit::TestDatabase;
use settla_domain::decide::Command;
use settla_domain::effect::EffectKind;
use settla_domain::tenant::TenantNo;
use settla_store::Store;
use settla_store::batch::{EffectTaker, Takers};
use settla_store::outbox::{self, Claim};
use settla_store::webhook::hand_over::{HandOver, HandedOver};
use settla_store::webhook::under_way::{Limits, UnderWay};
use settla_store::webhook::{self, DueDelivery, Places};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::mpsc;
use uuid::Uuid;

const LEASE_MS: i64 = 600_000;

/// Workers with room for so many.
struct Workers {
    takers: Takers,
    under_way: Arc<UnderWay>,
    orders: mpsc::Receiver<Claim>,
    deliveries: mpsc::Receiver<HandedOver>,
}

impl Workers {
    fn with_room_for(orders: usize, deliveries: usize, lease_ms: i64) -> Self {
        let limits = Limits {
            all: 100,
            handed_over: deliveries,
            per_endpoint: 200,
            per_endpoint_least: 1,
            per_endpoint_most: 200,
            per_tenant: 200,
            lease_ms,
        };
        let under_way = UnderWay::new(limits);
        let (hand_over, handed) = HandOver::open(&under_way);
        let (worker, taken) = mpsc::channel(orders);
        let effects = [(EffectKind::OnRamp, EffectTaker { worker, lease_ms })].into();
        let takers = Takers { effects, deliveries: Some(hand_over) };
        Self { takers, under_way, orders: taken, deliveries: handed }
    }
}

/// A funded tenant with an endpoint.
async fn payer(store: &Store) -> TenantNo {
    let tenant = tenant(store, "acme").await;
    apply(store, tenant, &funding(tenant, 10_000_000)).await;
    endpoint(store, tenant).await;
    tenant
}

/// So many transfers, each of which orders one thing from an on-ramp and tells the endpoint of one event.
fn transfers(tenant: TenantNo, count: usize) -> Vec<Command> {
    let one = |_| {
        let quote = quote(tenant, 10_000);
        let create = create(&quote);
        [Command::CreateQuote(quote), Command::CreateTransfer(create)]
    };
    (0..count).flat_map(one).collect()
}

async fn orders(store: &Store) -> Vec<Claim> {
    outbox::claim(&store.worker, EffectKind::OnRamp, 100, LEASE_MS).await.unwrap()
}

async fn deliveries(store: &Store) -> Vec<DueDelivery> {
    let places = Places { free: 100, per_endpoint: 100, learnt: HashMap::new(), per_tenant: 100 };
    webhook::claim(&store.worker, &places, LEASE_MS).await.unwrap()
}

#[tokio::test]
async fn what_workers_have_room_for_is_theirs_once_it_is_committed_and_the_rest_is_claimed() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let tenant = payer(&store).await;
    let mut workers = Workers::with_room_for(2, 1, LEASE_MS);
    let written = apply_for(&store, tenant, &transfers(tenant, 3), &workers.takers, true).await;
    assert_eq!(written.to_claim, [EffectKind::OnRamp].into(), "the third order");
    assert!(written.deliveries_to_claim);
    assert!(workers.orders.try_recv().is_err() && workers.deliveries.try_recv().is_err(), "before the commit is known");
    written.handed.over();

    let taken: Vec<Claim> = std::iter::from_fn(|| workers.orders.try_recv().ok()).collect();
    let claimed = orders(&store).await;
    assert_eq!((taken.len(), claimed.len()), (2, 1));
    assert!(taken.iter().chain(&claimed).all(|c| (c.attempt, c.accepted, c.tenant) == (1, false, tenant)));
    assert!(taken.iter().all(|taken| claimed.iter().all(|claimed| claimed.id != taken.id)));
    // It is known that they may have been started: nobody calls them off any more.
    let places = outbox::find(&store.worker, &taken.iter().map(|c| c.id).collect::<Vec<_>>()).await.unwrap();
    for place in &places {
        let of = taken.iter().find(|c| c.id == place.id).unwrap();
        assert_eq!((place.subject, &place.effect), (of.subject, &of.effect));
        assert!(place.first_attempt_at.is_some());
    }
    // The fence is theirs as well.
    let back: Vec<(&Claim, i64)> = taken.iter().map(|c| (c, 0)).collect();
    outbox::postpone(&store.worker, &back).await.unwrap();
    assert_eq!(orders(&store).await.iter().map(|c| c.attempt).collect::<Vec<_>>(), [2, 2]);

    let HandedOver { delivery, place, .. } = workers.deliveries.try_recv().unwrap();
    assert!(workers.deliveries.try_recv().is_err());
    let claimed = deliveries(&store).await;
    assert_eq!(claimed.len(), 2);
    assert!(claimed.iter().all(|c| c.id != delivery.id && c.attempt == 1 && c.endpoint == delivery.endpoint));
    let targets = webhook::targets(&store.worker, &[(tenant, delivery.endpoint)].into()).await.unwrap();
    assert_eq!(targets[&delivery.endpoint].url, claimed[0].target.url);
    assert_eq!(targets[&delivery.endpoint].secret_sealed, claimed[0].target.secret_sealed);
    assert_eq!(workers.under_way.free(), 99);
    drop(place);
    assert_eq!(workers.under_way.free(), 100);
    assert_books(&store).await;
}

#[tokio::test]
async fn what_was_handed_to_a_worker_that_died_is_claimed_when_its_lease_is_over() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let tenant = payer(&store).await;
    // Their leases are over when they begin.
    let mut workers = Workers::with_room_for(9, 9, 0);
    apply_for(&store, tenant, &transfers(tenant, 2), &workers.takers, true).await.handed.over();
    let lost = workers.deliveries.try_recv().unwrap().delivery;
    assert!(workers.orders.try_recv().is_ok());
    drop(workers);
    // The second attempt asks before it starts anything.
    assert_eq!(orders(&store).await.iter().map(|c| c.attempt).collect::<Vec<_>>(), [2, 2]);
    let again = deliveries(&store).await;
    assert_eq!(again.iter().map(|d| d.attempt).collect::<Vec<_>>(), [2, 2]);
    let same = again.iter().find(|d| d.id == lost.id).expect("it is claimed");
    let webhook::DueEvent::Of { sequence, kind, data, at } = &same.event else { panic!("a test") };
    assert_eq!((*sequence, kind.as_str(), *at), (lost.sequence, lost.kind, lost.at));
    assert_eq!(*data, serde_json::to_value(&lost.data).unwrap(), "the body is the same at every attempt");
    assert_books(&store).await;
}

#[tokio::test]
async fn what_was_not_committed_is_given_to_nobody_and_its_room_is_free_again() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let tenant = payer(&store).await;
    let mut workers = Workers::with_room_for(2, 2, LEASE_MS);
    let written = apply_for(&store, tenant, &transfers(tenant, 2), &workers.takers, false).await;
    assert!(written.to_claim.is_empty() && !written.deliveries_to_claim);
    drop(written);
    assert!(workers.orders.try_recv().is_err() && workers.deliveries.try_recv().is_err());
    assert!(orders(&store).await.is_empty() && deliveries(&store).await.is_empty());
    assert_eq!(workers.under_way.free(), 100);
    let written = apply_for(&store, tenant, &transfers(tenant, 2), &workers.takers, true).await;
    assert!(written.to_claim.is_empty() && !written.deliveries_to_claim);
    assert_books(&store).await;
}

#[tokio::test]
async fn an_endpoint_that_is_not_enabled_has_no_target() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let tenant = payer(&store).await;
    let mut workers = Workers::with_room_for(1, 1, LEASE_MS);
    apply_for(&store, tenant, &transfers(tenant, 1), &workers.takers, true).await.handed.over();
    let endpoint = workers.deliveries.try_recv().unwrap().delivery.endpoint;
    let keys = [(tenant, endpoint), (tenant, Uuid::now_v7())].into();
    assert_eq!(webhook::targets(&store.worker, &keys).await.unwrap().len(), 1);
    assert!(webhook::targets(&store.worker, &[(TenantNo(tenant.0 + 1), endpoint)].into()).await.unwrap().is_empty());
    webhook::disable(&store.worker, tenant, endpoint).await.unwrap();
    assert!(webhook::targets(&store.worker, &keys).await.unwrap().is_empty());
}
