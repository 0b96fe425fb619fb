//! What need not be kept, and that nothing else goes.

use super::{id_at, number, run, superuser, text};
use crate::life::live;
use crate::support::{check::assert_books, open};
use settla_devkit::TestDatabase;
use settla_store::data::{self, Swept};
use settla_store::inbox;
use sqlx::PgConnection;

const MANY: i64 = 1_000;

async fn texts(superuser: &mut PgConnection, column: &str, table: &str) -> String {
    text(superuser, &format!("SELECT coalesce(string_agg({column}, ',' ORDER BY {column}), '') FROM {table}")).await
}

#[tokio::test]
async fn an_answer_is_kept_for_24_hours_and_swept_afterwards() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let tenant = live(&store, "acme").await.tenant.0;
    let mut superuser = superuser(&database).await;
    let all = number(&mut superuser, "SELECT count(*) FROM idempotency").await;
    assert!(all > 0);
    for (key, age) in [("a", "50 hours"), ("b", "40 hours"), ("c", "24 hours 1 minute"), ("d", "23 hours 59 minutes")] {
        let insert =
            format!("INSERT INTO idempotency VALUES ({tenant}, '{key}', '', NULL, NULL, now() - interval '{age}')");
        run(&mut superuser, &insert).await;
    }
    let left = async |superuser: &mut PgConnection| texts(superuser, "key", "idempotency WHERE length(key) = 1").await;
    // The oldest go first, no more at a time than is said.
    assert_eq!(data::sweep(&store.worker, Swept::Idempotency, 2).await.unwrap(), 2);
    assert_eq!(left(&mut superuser).await, "c,d");
    assert_eq!(data::sweep(&store.worker, Swept::Idempotency, 2).await.unwrap(), 1);
    assert_eq!(data::sweep(&store.worker, Swept::Idempotency, 2).await.unwrap(), 0);
    assert_eq!(left(&mut superuser).await, "d");
    // A worker that is told to delete everything can not.
    let everything = sqlx::query("DELETE FROM idempotency").execute(&store.worker).await.unwrap();
    assert_eq!(everything.rows_affected(), 0);
    assert_eq!(number(&mut superuser, "SELECT count(*) FROM idempotency").await, all + 1);
    assert_books(&store).await;
}

#[tokio::test]
async fn quotes_that_nobody_used_go_two_days_after_their_end_and_used_ones_stay() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    live(&store, "acme").await;
    let mut superuser = superuser(&database).await;
    let used = number(&mut superuser, "SELECT count(*) FROM quotes WHERE used").await;
    assert!(used > 0);
    run(&mut superuser, "UPDATE quotes SET expires_at = now() - interval '90 days'").await;
    for age in ["-1 minute", "47 hours", "49 hours"] {
        let copy = format!(
            "INSERT INTO quotes SELECT tenant, gen_random_uuid(), terms, created_at, now() - interval '{age}', false
             FROM quotes WHERE used LIMIT 1"
        );
        run(&mut superuser, &copy).await;
    }
    assert_eq!(data::sweep(&store.worker, Swept::Quotes, MANY).await.unwrap(), 1);
    assert_eq!(data::sweep(&store.worker, Swept::Quotes, MANY).await.unwrap(), 0);
    let everything = sqlx::query("DELETE FROM quotes").execute(&store.worker).await.unwrap();
    assert_eq!(everything.rows_affected(), 0);
    assert_eq!(number(&mut superuser, "SELECT count(*) FROM quotes").await, used + 2);
    assert_books(&store).await;
}

#[tokio::test]
async fn markers_of_commits_go_after_a_week() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    live(&store, "acme").await;
    let mut superuser = superuser(&database).await;
    let young = number(&mut superuser, "SELECT count(*) FROM commit_markers").await;
    for age in ["6 days 23 hours", "7 days 1 hour", "9 days"] {
        let instant = format!("now() - interval '{age}'");
        let id = id_at(&mut superuser, &instant).await;
        run(&mut superuser, &format!("INSERT INTO commit_markers VALUES ('{id}', true, {instant})")).await;
    }
    assert_eq!(data::sweep(&store.worker, Swept::CommitMarkers, MANY).await.unwrap(), 2);
    let everything = sqlx::query("DELETE FROM commit_markers").execute(&store.worker).await.unwrap();
    assert_eq!(everything.rows_affected(), 0);
    assert_eq!(number(&mut superuser, "SELECT count(*) FROM commit_markers").await, young + 1);
}

#[tokio::test]
async fn what_providers_sent_goes_when_it_is_dealt_with_and_30_days_old() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let mut superuser = superuser(&database).await;
    for (id, processed, age) in
        [("old", true, "31 days"), ("open", false, "31 days"), ("young", true, "29 days"), ("new", false, "0 days")]
    {
        let insert = format!(
            "INSERT INTO provider_events (provider, event_id, body, received_at, processed)
             VALUES ('harbour', '{id}', '{{}}', now() - interval '{age}', {processed})"
        );
        run(&mut superuser, &insert).await;
    }
    assert_eq!(data::sweep(&store.worker, Swept::ProviderEvents, MANY).await.unwrap(), 1);
    let everything = sqlx::query("DELETE FROM provider_events").execute(&store.worker).await.unwrap();
    assert_eq!(everything.rows_affected(), 0);
    assert_eq!(texts(&mut superuser, "event_id", "provider_events").await, "new,open,young");
    // Workers see and claim what is open as before.
    assert_eq!(inbox::claim(&store.worker, 10).await.unwrap().len(), 2);
}
