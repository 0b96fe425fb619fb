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

async fn claim(store: &Store, lease_ms: i64) -> Vec<InboxEvent> {
    inbox::claim(&store.worker, 10, lease_ms).await.unwrap()
}

#[tokio::test]
async fn an_event_id_is_kept_once_per_provider() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let keep = async |events: &[InboxEvent]| inbox::keep(&store.worker, events).await.unwrap();
    assert_eq!(keep(&[]).await, 0);
    assert_eq!(keep(&[event("harbour", "1"), event("harbour", "1"), event("meridian", "1")]).await, 2);
    let mut repeat = event("harbour", "1");
    repeat.body = serde_json::json!("another");
    assert_eq!(keep(&[repeat, event("harbour", "2")]).await, 1);
    let kept = claim(&store, 60_000).await;
    assert_eq!(kept.len(), 3);
    assert!(kept.iter().all(|e| e.body == serde_json::json!({ "id": e.event_id }) && e.attempts == 1));
    // Dealt with or not, a repeat stays a repeat.
    inbox::processed(&store.worker, &kept.iter().collect::<Vec<_>>()).await.unwrap();
    assert_eq!(keep(&[event("harbour", "1")]).await, 0);
    assert!(claim(&store, 60_000).await.is_empty());
}

#[tokio::test]
async fn an_event_is_looked_at_until_it_is_dealt_with() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    inbox::keep(&store.worker, &[event("harbour", "1")]).await.unwrap();
    let first = claim(&store, 300).await;
    assert!(claim(&store, 0).await.is_empty(), "a lease does not keep others out");
    let due = "SELECT pg_sleep_until(next_at) FROM provider_events";
    sqlx::query(due).execute(&store.worker).await.unwrap();
    assert_eq!(claim(&store, 60_000).await[0].attempts, 2);
    inbox::postpone(&store.worker, &[&first[0]], 60_000).await.unwrap();
    assert!(claim(&store, 0).await.is_empty());
    inbox::postpone(&store.worker, &[&first[0]], 0).await.unwrap();
    assert_eq!(claim(&store, 0).await[0].attempts, 3);
    inbox::processed(&store.worker, &[&first[0]]).await.unwrap();
    assert!(claim(&store, 0).await.is_empty());
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
