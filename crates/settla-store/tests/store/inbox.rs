//! What providers send is kept once and looked at until it is dealt with.

use crate::support::open;
use settla_devkit::TestDatabase;
use settla_store::Store;
use settla_store::inbox::{self, InboxEvent};
use sqlx::Row;

fn event(provider: &str, event_id: &str) -> InboxEvent {
    let body = serde_json::json!({ "id": event_id });
    InboxEvent { provider: provider.to_owned(), event_id: event_id.to_owned(), body, attempts: 0 }
}

async fn claim(store: &Store) -> Vec<InboxEvent> {
    inbox::claim(&store.worker, 10).await.unwrap()
}

/// Keeps events for whoever looks for them. Returns how many were new.
async fn keep(store: &Store, events: &[InboxEvent]) -> usize {
    let events: Vec<(&InboxEvent, bool)> = events.iter().map(|event| (event, false)).collect();
    inbox::keep(&store.worker, &events).await.unwrap().len()
}

/// As if the leases had ended.
async fn end_leases(store: &Store) {
    sqlx::query("UPDATE provider_events SET next_at = now()").execute(&store.worker).await.unwrap();
}

#[tokio::test]
async fn an_event_id_is_kept_once_per_provider() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    assert_eq!(keep(&store, &[]).await, 0);
    assert_eq!(keep(&store, &[event("harbour", "1"), event("harbour", "1"), event("meridian", "1")]).await, 2);
    let mut repeat = event("harbour", "1");
    repeat.body = serde_json::json!("another");
    assert_eq!(keep(&store, &[repeat, event("harbour", "2")]).await, 1);
    let kept = claim(&store).await;
    assert_eq!(kept.len(), 3);
    assert!(kept.iter().all(|e| e.body == serde_json::json!({ "id": e.event_id }) && e.attempts == 1));
    // Dealt with or not, a repeat stays a repeat.
    inbox::processed(&store.worker, &kept.iter().map(InboxEvent::name).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(keep(&store, &[event("harbour", "1")]).await, 0);
    end_leases(&store).await;
    assert!(claim(&store).await.is_empty());
}

#[tokio::test]
async fn an_event_is_looked_at_until_it_is_dealt_with() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    keep(&store, &[event("harbour", "1")]).await;
    let first = claim(&store).await.remove(0);
    assert!(claim(&store).await.is_empty(), "a lease does not keep others out");
    end_leases(&store).await;
    assert_eq!(claim(&store).await[0].attempts, 2);
    inbox::postpone(&store.worker, &first, 60_000).await.unwrap();
    assert!(claim(&store).await.is_empty());
    inbox::postpone(&store.worker, &first, 0).await.unwrap();
    assert_eq!(claim(&store).await[0].attempts, 3);
    inbox::processed(&store.worker, &[first.name()]).await.unwrap();
    end_leases(&store).await;
    assert!(claim(&store).await.is_empty());
}

#[tokio::test]
async fn an_event_that_is_handed_over_is_left_to_whoever_has_it_until_its_lease_ends() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let (ours, theirs) = (event("harbour", "1"), event("harbour", "2"));
    let new = inbox::keep(&store.worker, &[(&ours, true), (&theirs, false)]).await.unwrap();
    assert_eq!(new, [ours.name(), theirs.name()].into());
    let found = claim(&store).await;
    assert_eq!(found.iter().map(InboxEvent::name).collect::<Vec<_>>(), [theirs.name()]);
    let again = inbox::keep(&store.worker, &[(&ours, true)]).await.unwrap();
    assert!(again.is_empty(), "a repeat is in nobody's hands");
    // A process that died with it.
    end_leases(&store).await;
    let left = claim(&store).await;
    assert!(left.iter().any(|event| event.name() == ours.name() && event.attempts == 2), "{left:?}");
}

#[tokio::test]
async fn a_checkpoint_is_what_was_last_set() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    assert_eq!(inbox::checkpoint(&store.worker, "bank").await.unwrap(), None);
    for value in ["7", "8"] {
        inbox::set_checkpoint(&store.worker, "bank", value).await.unwrap();
        assert_eq!(inbox::checkpoint(&store.worker, "bank").await.unwrap().as_deref(), Some(value));
    }
    let row = sqlx::query("SELECT count(*) FROM checkpoints").fetch_one(&store.worker).await.unwrap();
    assert_eq!(row.get::<i64, _>(0), 1);
}
