//! Deliveries: each endpoint for itself, until one is taken or given up.

mod again;
mod secret;

use crate::apply::{apply, transfer};
use crate::life::{asked, endpoint, first};
use crate::support::{funding, now, open, tenant};
use settla_devkit::TestDatabase;
use settla_domain::tenant::TenantNo;
use settla_store::read::{Changed, DeliveryFilter};
use settla_store::webhook::{self, Attempted, DueDelivery, DueEvent, Next, Places};
use settla_store::{Store, read};
use sqlx::{Connection, PgConnection};
use std::collections::HashMap;
use uuid::Uuid;

const LONG_MS: i64 = 60_000;

/// A tenant with an endpoint and so many events (one for the top-up) waiting for it.
async fn waiting(store: &Store, slug: &str, events: usize) -> (TenantNo, Uuid) {
    let tenant = tenant(store, slug).await;
    let endpoint = endpoint(store, tenant).await;
    apply(store, tenant, &funding(tenant, 10_000_000)).await;
    for _ in 1..events {
        transfer(store, tenant, 10_000).await;
    }
    (tenant, endpoint)
}

async fn claim(store: &Store, free: i64, per_endpoint: i64) -> Vec<DueDelivery> {
    webhook::claim(&store.worker, &Places { free, per_endpoint, learnt: HashMap::new(), per_tenant: 100 }, LONG_MS)
        .await
        .unwrap()
}

/// Number and type of the event.
fn told(due: &DueDelivery) -> (i64, &str) {
    match &due.event {
        DueEvent::Of { sequence, kind, .. } => (*sequence, kind),
        DueEvent::Test { .. } => panic!("a test"),
    }
}

/// Of whom, in no order.
fn owners(due: &[DueDelivery]) -> Vec<TenantNo> {
    let mut owners: Vec<TenantNo> = due.iter().map(|d| d.tenant).collect();
    owners.sort();
    owners
}

fn attempted(delivery: &DueDelivery, next: Next) -> Attempted {
    Attempted {
        delivery: delivery.id,
        tenant: delivery.tenant,
        attempt: delivery.attempt,
        at: now(),
        status: Some(if next == Next::Delivered { 204 } else { 500 }),
        error: None,
        latency_ms: 3,
        next,
    }
}

/// Statuses with the number of attempts, oldest first, as the tenant sees them.
async fn seen(store: &Store, tenant: TenantNo) -> Vec<(String, usize)> {
    let mut rows = read::deliveries(&store.app, tenant, DeliveryFilter::default(), None, 100).await.unwrap();
    rows.reverse();
    rows.into_iter().map(|row| (row.status, row.attempts.len())).collect()
}

/// Claims all and gives them this outcome.
async fn conclude(store: &Store, next: Next) -> Vec<DueDelivery> {
    let due = claim(store, 100, 100).await;
    let attempts: Vec<Attempted> = due.iter().map(|d| attempted(d, next)).collect();
    webhook::attempted(&store.worker, &attempts).await.unwrap();
    due
}

#[tokio::test]
async fn an_event_is_delivered_once_taken_and_tried_again_until_then() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let (tenant, endpoint) = waiting(&store, "acme", 3).await;
    let due = claim(&store, 10, 10).await;
    assert_eq!(due.len(), 3);
    assert!(claim(&store, 10, 10).await.is_empty());
    let of: Vec<(i64, &str)> = due.iter().map(told).collect();
    assert_eq!(of, [(1, "topup.credited"), (2, "transfer.funded"), (3, "transfer.funded")]);
    assert!(due.iter().all(|d| (d.tenant, d.endpoint, d.attempt) == (tenant, endpoint, 1)));
    assert!(due.iter().all(|d| d.target.url == "https://tenant.example/hook" && d.target.secret_sealed == b"sealed"));
    let outcomes = [Next::Delivered, Next::RetryInMs(0), Next::GiveUp];
    let attempts: Vec<Attempted> = due.iter().zip(outcomes).map(|(d, next)| attempted(d, next)).collect();
    // The second time is a repeat of the same record.
    for _ in 0..2 {
        webhook::attempted(&store.worker, &attempts).await.unwrap();
    }
    let state = |status: &str, attempts| (status.to_owned(), attempts);
    assert_eq!(seen(&store, tenant).await, [state("delivered", 1), state("pending", 1), state("failed", 1)]);
    let again = claim(&store, 10, 10).await;
    assert_eq!(again.iter().map(|d| (d.event_id, d.attempt)).collect::<Vec<_>>(), [(due[1].event_id, 2)]);
    webhook::attempted(&store.worker, &[attempted(&again[0], Next::Delivered)]).await.unwrap();
    assert_eq!(seen(&store, tenant).await[1], state("delivered", 2));
    assert!(claim(&store, 10, 10).await.is_empty());
}

#[tokio::test]
async fn a_dead_endpoint_takes_its_places_and_no_others() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let (dead, _) = waiting(&store, "dead", 40).await;
    let (well, _) = waiting(&store, "well", 1).await;
    // What waits for the dead one is older and more than is looked at in one go.
    let due = claim(&store, 5, 2).await;
    assert_eq!(owners(&due), [dead, dead, well]);
    assert!(claim(&store, 5, 2).await.is_empty(), "two are under way to it");
    let failed = due.iter().find(|d| d.tenant == dead).unwrap();
    webhook::attempted(&store.worker, &[attempted(failed, Next::RetryInMs(LONG_MS))]).await.unwrap();
    assert_eq!(claim(&store, 5, 2).await.len(), 1);
}

#[tokio::test]
async fn a_tenant_with_many_dead_endpoints_takes_its_places_and_no_others() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let dead = tenant(&store, "dead").await;
    for _ in 0..4 {
        endpoint(&store, dead).await;
    }
    apply(&store, dead, &funding(dead, 10_000_000)).await;
    for _ in 0..3 {
        transfer(&store, dead, 10_000).await;
    }
    // Sixteen older deliveries wait for the dead ones, each within the bound of its endpoint.
    let (well, _) = waiting(&store, "well", 2).await;
    let claim = async |free| {
        let places = Places { free, per_endpoint: 4, learnt: HashMap::new(), per_tenant: 6 };
        webhook::claim(&store.worker, &places, LONG_MS).await.unwrap()
    };
    assert_eq!(owners(&claim(3).await).last(), Some(&well), "in turn, however much older the others' are");
    let rest = claim(100).await;
    assert_eq!(owners(&rest).iter().filter(|owner| **owner == dead).count(), 4, "six in all");
    assert!(claim(100).await.is_empty());
    let failed = rest.iter().find(|d| d.tenant == dead).unwrap();
    webhook::attempted(&store.worker, &[attempted(failed, Next::RetryInMs(LONG_MS))]).await.unwrap();
    assert_eq!(owners(&claim(100).await), [dead]);
}

#[tokio::test]
async fn endpoints_have_as_many_places_as_is_known_of_them() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let (dead, dead_endpoint) = waiting(&store, "dead", 9).await;
    let (quick, quick_endpoint) = waiting(&store, "quick", 9).await;
    // It has another one, of which nothing is known, and what waits there is younger.
    endpoint(&store, quick).await;
    for _ in 0..5 {
        transfer(&store, quick, 10_000).await;
    }
    let (other, _) = waiting(&store, "other", 9).await;
    let learnt = HashMap::from([(dead_endpoint, 1), (quick_endpoint, 7)]);
    let places = Places { free: 100, per_endpoint: 3, learnt, per_tenant: 4 };
    let owners = owners(&webhook::claim(&store.worker, &places, LONG_MS).await.unwrap());
    let of = |tenant| owners.iter().filter(|owner| **owner == tenant).count();
    assert_eq!(
        (of(dead), of(quick), of(other)),
        (1, 7 + 3, 3),
        "a busy one leaves the others of its tenant their places"
    );
    assert!(webhook::claim(&store.worker, &places, LONG_MS).await.unwrap().is_empty());
}

#[tokio::test]
async fn nothing_is_sent_to_an_endpoint_that_is_gone() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let (gone, gone_endpoint) = waiting(&store, "gone", 2).await;
    let (deleted, deleted_endpoint) = waiting(&store, "deleted", 2).await;
    webhook::disable(&store.worker, gone, gone_endpoint).await.unwrap();
    let key = first(deleted, "delete", deleted_endpoint);
    let done = read::delete_endpoint(&store.app, &asked(&key), deleted_endpoint).await.unwrap();
    assert!(matches!(done, Changed::Made(())));
    let failed = vec![("failed".to_owned(), 0); 2];
    assert_eq!((seen(&store, gone).await, seen(&store, deleted).await), (failed.clone(), failed));
    let delivery = read::deliveries(&store.app, deleted, DeliveryFilter::default(), None, 1).await.unwrap()[0].id;
    let again = first(deleted, "again", Uuid::now_v7());
    assert!(matches!(read::redeliver(&store.app, &asked(&again), delivery).await.unwrap(), Changed::Disabled));

    // A delivery may be made just after its endpoint went.
    let mut superuser = PgConnection::connect(database.url()).await.unwrap();
    sqlx::raw_sql("UPDATE settla.webhook_deliveries SET status = 'pending'").execute(&mut superuser).await.unwrap();
    assert!(claim(&store, 10, 10).await.is_empty());
    for tenant in [gone, deleted] {
        assert!(seen(&store, tenant).await.iter().all(|(status, _)| status == "failed"));
    }
}

#[tokio::test]
async fn an_endpoint_hears_only_what_it_asked_for() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let tenant = tenant(&store, "acme").await;
    let id = endpoint(&store, tenant).await;
    let mut superuser = PgConnection::connect(database.url()).await.unwrap();
    let narrow = "UPDATE settla.webhook_endpoints SET events = '{transfer.funded}'";
    sqlx::raw_sql(narrow).execute(&mut superuser).await.unwrap();
    apply(&store, tenant, &funding(tenant, 1_000_000)).await;
    transfer(&store, tenant, 10_000).await;
    let due = claim(&store, 10, 10).await;
    assert_eq!(due.iter().map(|d| (d.endpoint, told(d))).collect::<Vec<_>>(), [(id, (2, "transfer.funded"))]);
}

#[tokio::test]
async fn deliveries_are_found_by_endpoint_and_state() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let (tenant, one) = waiting(&store, "acme", 2).await;
    conclude(&store, Next::GiveUp).await;
    let two = endpoint(&store, tenant).await;
    transfer(&store, tenant, 10_000).await;
    let found = async |endpoint, status| {
        let filter = DeliveryFilter { endpoint, status };
        read::deliveries(&store.app, tenant, filter, None, 10).await.unwrap().len()
    };
    assert_eq!((found(None, None).await, found(Some(one), None).await, found(Some(two), None).await), (4, 3, 1));
    assert_eq!((found(None, Some("failed")).await, found(None, Some("pending")).await), (2, 2));
    assert_eq!((found(Some(two), Some("failed")).await, found(Some(one), Some("pending")).await), (0, 1));
    assert_eq!(found(Some(Uuid::now_v7()), None).await, 0);
}

#[tokio::test]
async fn what_is_due_and_nobody_is_at_is_neglected() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    assert_eq!(webhook::neglected_s(&store.worker).await.unwrap(), 0.0);
    waiting(&store, "acme", 3).await;
    waiting(&store, "other", 1).await;
    let mut superuser = PgConnection::connect(database.url()).await.unwrap();
    let old = "UPDATE settla.webhook_deliveries SET next_at = now() - interval '10 minutes'";
    sqlx::raw_sql(old).execute(&mut superuser).await.unwrap();
    let age = async || webhook::neglected_s(&store.worker).await.unwrap();
    assert!((600.0..700.0).contains(&age().await));
    // One of each tenant is under way: what waits behind it is not forgotten.
    assert_eq!(claim(&store, 2, 1).await.len(), 2);
    assert_eq!(age().await, 0.0);
    let ended = "UPDATE settla.webhook_deliveries SET lease_until = now(), next_at = now() + interval '1 hour' WHERE lease_until IS NOT NULL";
    sqlx::raw_sql(ended).execute(&mut superuser).await.unwrap();
    assert!((600.0..700.0).contains(&age().await), "the worker is gone, and two are still due");
}
