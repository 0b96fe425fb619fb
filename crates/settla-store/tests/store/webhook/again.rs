//! What a tenant asks to be delivered: an event again, a range of them, a test.

use super::{LONG_MS, attempted, claim, conclude, seen, told, waiting};
use crate::apply::transfer;
use crate::life::{asked, endpoint, first};
use crate::support::open;
use futures_util::future::join_all;
use settla_devkit::TestDatabase;
use settla_domain::tenant::TenantNo;
use settla_store::Store;
use settla_store::read::{self, Changed, DeliveryFilter, EndpointChange, NewRedelivery, RedeliveryRow, Which};
use settla_store::webhook::{self, Attempted, DueEvent, Next};
use uuid::Uuid;

/// What a tenant asks for about an endpoint or a delivery, with a new key.
async fn again(store: &Store, tenant: TenantNo, delivery: Uuid) -> (Uuid, Changed<()>) {
    let id = Uuid::now_v7();
    let key = first(tenant, &format!("again-{id}"), id);
    (id, read::redeliver(&store.app, &asked(&key), delivery).await.unwrap())
}

async fn range(
    store: &Store,
    tenant: TenantNo,
    endpoint: Uuid,
    numbers: [i64; 2],
    which: Which,
) -> Changed<RedeliveryRow> {
    let id = Uuid::now_v7();
    let key = first(tenant, &format!("range-{id}"), id);
    let [from_sequence, to_sequence] = numbers;
    let ids = (from_sequence..=to_sequence).map(|_| Uuid::now_v7()).collect();
    let new = NewRedelivery { endpoint, from_sequence, to_sequence, which, ids };
    read::redeliver_range(&store.app, &asked(&key), &new).await.unwrap()
}

async fn change(store: &Store, tenant: TenantNo, endpoint: Uuid, change: EndpointChange<'_>) -> Changed<()> {
    let key = first(tenant, &Uuid::now_v7().to_string(), endpoint);
    read::change_endpoint(&store.app, &asked(&key), endpoint, change).await.unwrap()
}

fn made(changed: Changed<RedeliveryRow>) -> i64 {
    match changed {
        Changed::Made(row) => row.deliveries,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_event_is_delivered_again_as_another_delivery_of_the_same_event() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let (tenant, _) = waiting(&store, "acme", 1).await;
    let (other, _) = waiting(&store, "other", 1).await;
    let pending = read::deliveries(&store.app, tenant, DeliveryFilter::default(), None, 1).await.unwrap()[0].id;
    assert!(matches!(again(&store, tenant, pending).await.1, Changed::Pending), "it is on its way");
    let sent = conclude(&store, Next::Delivered).await;
    let first_time = sent.iter().find(|d| d.tenant == tenant).unwrap();
    // Taken or not: what counts is the delivery, not that the event was delivered before.
    for round in 1..=2 {
        let (id, outcome) = again(&store, tenant, first_time.id).await;
        assert!(matches!(outcome, Changed::Made(())));
        assert!(matches!(again(&store, tenant, first_time.id).await.1, Changed::Pending), "once at a time");
        let due = conclude(&store, if round == 1 { Next::GiveUp } else { Next::Delivered }).await;
        assert_eq!(
            due.iter().map(|d| (d.id, d.event_id, d.attempt)).collect::<Vec<_>>(),
            [(id, first_time.event_id, 1)]
        );
        assert_eq!(told(&due[0]), told(first_time));
        assert_eq!(read::delivery(&store.app, tenant, id).await.unwrap().unwrap().round, round);
    }
    let state = |status: &str| (status.to_owned(), 1);
    assert_eq!(seen(&store, tenant).await, [state("delivered"), state("failed"), state("delivered")]);
    assert!(matches!(again(&store, other, first_time.id).await.1, Changed::Absent), "another tenant's");
    assert!(matches!(again(&store, tenant, Uuid::now_v7()).await.1, Changed::Absent));
    // At once: one of them makes it.
    join_all((0..12).map(|_| read::delivery(&store.app, tenant, first_time.id))).await; // connections for all of them
    let raced = join_all((0..12).map(|_| again(&store, tenant, first_time.id))).await;
    assert_eq!(raced.iter().filter(|(_, outcome)| matches!(outcome, Changed::Made(()))).count(), 1);
}

#[tokio::test]
async fn a_range_brings_what_the_endpoint_wants_and_has_missed() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let (tenant, endpoint) = waiting(&store, "acme", 3).await;
    assert_eq!(made(range(&store, tenant, endpoint, [1, 3], Which::All).await), 0, "all are pending");
    let due = claim(&store, 3, 3).await;
    let outcomes = [Next::Delivered, Next::GiveUp, Next::RetryInMs(LONG_MS)];
    let attempts: Vec<Attempted> = due.iter().zip(outcomes).map(|(d, next)| attempted(d, next)).collect();
    webhook::attempted(&store.worker, &attempts).await.unwrap();
    // Number 4 happens while the endpoint is disabled, which makes number 3 fail; and it is of no interest to it later.
    let status = |status| EndpointChange { status: Some(status), ..EndpointChange::default() };
    assert!(matches!(change(&store, tenant, endpoint, status("disabled")).await, Changed::Made(())));
    transfer(&store, tenant, 10_000).await;
    assert!(matches!(range(&store, tenant, endpoint, [1, 9], Which::All).await, Changed::Disabled));
    assert!(matches!(again(&store, tenant, due[0].id).await.1, Changed::Disabled));
    assert!(matches!(change(&store, tenant, endpoint, status("enabled")).await, Changed::Made(())));
    assert!(claim(&store, 10, 10).await.is_empty());

    assert_eq!(made(range(&store, tenant, endpoint, [1, 9], Which::Undelivered).await), 3);
    assert_eq!(made(range(&store, tenant, endpoint, [1, 9], Which::Undelivered).await), 0, "they are pending");
    let due = conclude(&store, Next::Delivered).await;
    let mut numbers: Vec<i64> = due.iter().map(|d| told(d).0).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [2, 3, 4]);
    assert_eq!(made(range(&store, tenant, endpoint, [1, 9], Which::Undelivered).await), 0, "all are taken");
    let narrow = ["transfer.funded".to_owned()];
    let events = EndpointChange { events: Some(&narrow), ..EndpointChange::default() };
    assert!(matches!(change(&store, tenant, endpoint, events).await, Changed::Made(())));
    assert_eq!(made(range(&store, tenant, endpoint, [1, 3], Which::All).await), 2);
    let due = conclude(&store, Next::Delivered).await;
    assert!(due.iter().all(|d| told(d).1 == "transfer.funded"));

    // Of another tenant nothing is delivered, whoever asks.
    let (other, theirs) = waiting(&store, "other", 1).await;
    assert!(matches!(range(&store, tenant, theirs, [1, 1], Which::All).await, Changed::Absent));
    assert!(matches!(range(&store, other, endpoint, [1, 1], Which::All).await, Changed::Absent));
    assert!(matches!(change(&store, other, endpoint, status("disabled")).await, Changed::Absent));
}

#[tokio::test]
async fn a_repeated_request_makes_nothing_again() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let (tenant, endpoint) = waiting(&store, "acme", 2).await;
    let sent = conclude(&store, Next::Delivered).await;
    let (one, two, three) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    let keys = [first(tenant, "one", one), first(tenant, "two", two), first(tenant, "three", three)];
    let new = NewRedelivery {
        endpoint,
        from_sequence: 1,
        to_sequence: 2,
        which: Which::All,
        ids: vec![Uuid::now_v7(), Uuid::now_v7()],
    };
    for turn in 0..2 {
        let outcomes = [
            read::redeliver(&store.app, &asked(&keys[0]), sent[0].id).await.unwrap(),
            read::send_test(&store.app, &asked(&keys[1]), endpoint).await.unwrap(),
        ];
        let ranged = read::redeliver_range(&store.app, &asked(&keys[2]), &new).await.unwrap();
        if turn == 0 {
            assert!(outcomes.iter().all(|outcome| matches!(outcome, Changed::Made(()))));
            assert_eq!(made(ranged), 1, "the other one is pending");
        } else {
            let subject = |used: &read::Used| used.recorded.subject.unwrap();
            assert!(matches!(&outcomes[0], Changed::Before(used) if subject(used) == one));
            assert!(matches!(&outcomes[1], Changed::Before(used) if subject(used) == two));
            assert!(matches!(&ranged, Changed::Before(used) if subject(used) == three));
        }
    }
    assert_eq!(read::redelivery(&store.app, tenant, three).await.unwrap().unwrap().deliveries, 1);
    assert_eq!(claim(&store, 100, 100).await.len(), 3);
}

#[tokio::test]
async fn a_test_is_for_one_endpoint_and_takes_no_number() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let (tenant, tested) = waiting(&store, "acme", 1).await;
    endpoint(&store, tenant).await;
    conclude(&store, Next::Delivered).await;
    let id = Uuid::now_v7();
    read::send_test(&store.app, &asked(&first(tenant, "test", id)), tested).await.unwrap();
    let due = conclude(&store, Next::GiveUp).await;
    assert_eq!(due.iter().map(|d| (d.id, d.endpoint)).collect::<Vec<_>>(), [(id, tested)]);
    let DueEvent::Test { at } = due[0].event else { panic!("{:?}", due[0].event) };
    let row = read::delivery(&store.app, tenant, id).await.unwrap().unwrap();
    assert_eq!((row.kind.as_str(), row.sequence, row.status.as_str()), ("webhook.test", None, "failed"));
    // The same test again is the same event.
    assert!(matches!(again(&store, tenant, id).await.1, Changed::Made(())));
    let due_again = conclude(&store, Next::Delivered).await;
    let DueEvent::Test { at: at_again } = due_again[0].event else { panic!("{:?}", due_again[0].event) };
    assert_eq!((due_again[0].event_id, at_again), (due[0].event_id, at));
    transfer(&store, tenant, 10_000).await;
    assert!(claim(&store, 10, 10).await.iter().all(|d| told(d).0 == 2), "numbers go on without a gap");
}
