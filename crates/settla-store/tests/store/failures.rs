//! Failures are told apart by what a caller should do about them.

use crate::support::open;
use settla_devkit::TestDatabase;
use settla_store::StoreError;
use sqlx::{Connection, PgConnection, Row};

#[tokio::test]
async fn a_lock_that_does_not_come_free_is_worth_another_try() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let mut other = PgConnection::connect(database.url()).await.unwrap();
    let mut tx = other.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE settla.outbox").execute(&mut *tx).await.unwrap();
    let mut connection = store.worker.acquire().await.unwrap();
    sqlx::raw_sql("SET lock_timeout = 1").execute(&mut *connection).await.unwrap();
    let came = sqlx::query("SELECT FROM outbox").execute(&mut *connection).await.unwrap_err();
    assert!(matches!(StoreError::from(came), StoreError::Retry(_)));
}

#[tokio::test]
async fn a_connection_that_is_cut_leaves_the_outcome_unknown() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let mut other = PgConnection::connect(database.url()).await.unwrap();
    let mut connection = store.worker.acquire().await.unwrap();
    let pid: i32 = sqlx::query("SELECT pg_backend_pid()").fetch_one(&mut *connection).await.unwrap().get(0);
    sqlx::query("SELECT pg_terminate_backend($1)").bind(pid).execute(&mut other).await.unwrap();
    let cut = loop {
        // The signal takes a moment to arrive; until then the connection answers.
        if let Err(error) = sqlx::query("SELECT 1").execute(&mut *connection).await {
            break StoreError::from(error);
        }
    };
    assert!(matches!(cut, StoreError::Unreachable(_)), "{cut:?}");
    let nobody_listens = "postgres://nobody@127.0.0.1:1/nowhere";
    let refused = PgConnection::connect(nobody_listens).await.unwrap_err();
    assert!(matches!(StoreError::from(refused), StoreError::Unreachable(_)));
}

#[tokio::test]
async fn codes_are_sorted_by_what_to_do() {
    let database = TestDatabase::create().await.unwrap();
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    for (code, expected) in [
        ("40001", "retry"),       // serialization failure
        ("40P01", "retry"),       // deadlock
        ("53300", "unreachable"), // too many connections
        ("53100", "unreachable"), // disk full
        ("57P01", "unreachable"), // shutting down
        ("25P03", "unreachable"), // dropped for being silent
        ("08006", "unreachable"),
        ("23505", "constraint"),
        ("42501", "database"), // a privilege that a role lacks is a defect of ours
        ("42P01", "database"),
    ] {
        let raise = format!("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{code}'; END $$");
        let error = sqlx::raw_sql(&raise).execute(&mut connection).await.unwrap_err();
        let came = match StoreError::from(error) {
            StoreError::Retry(_) => "retry",
            StoreError::Unreachable(_) => "unreachable",
            StoreError::Constraint(_) => "constraint",
            _ => "database",
        };
        assert_eq!(came, expected, "{code}");
    }
}
