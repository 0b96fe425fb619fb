//! What there may be only once, in tables whose months are apart.

use super::{id_at, number, run, superuser};
use crate::life::live;
use crate::support::{check::assert_books, open};
use settla_devkit::TestDatabase;
use sqlx::PgConnection;
use uuid::Uuid;

/// What refused the statement.
async fn refused_by(superuser: &mut PgConnection, statement: &str) -> String {
    let error = sqlx::raw_sql(statement).execute(superuser).await.expect_err(statement);
    let error = error.into_database_error().unwrap();
    assert!(error.code().is_some_and(|code| code.starts_with("23")), "{statement}: {error}");
    error.constraint().unwrap_or_default().to_owned()
}

/// The instants beside the id do not matter: a repeat comes to the partition of the first, whenever it comes.
#[tokio::test]
async fn postings_effects_events_and_audit_entries_are_there_once_over_all_months() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    live(&store, "acme").await;
    let mut superuser = superuser(&database).await;
    for (table, instant) in [("postings", "at"), ("outbox", "created_at"), ("audit_log", "at"), ("events", "at")] {
        // A posting's id may have no time in it, and what comes by a wrong clock is in no month.
        let timeless = Uuid::from_u128(0xffee_ddcc_bbaa_8998_8776_6554_4332_2110);
        let late = id_at(&mut superuser, "now() + interval '5 years'").await;
        for id in [timeless, late] {
            let first = again(table, instant, &format!("'{id}'"));
            if table != "events" {
                run(&mut superuser, &first).await;
                assert!(refused_by(&mut superuser, &first).await.starts_with(table));
            }
        }
        let repeat = again(table, instant, "t.id");
        assert!(number(&mut superuser, &format!("SELECT count(*) FROM {table}")).await > 0);
        let by = refused_by(&mut superuser, &repeat).await;
        assert!(by.starts_with(table) && by.ends_with("_pkey"), "{table}: {by}");
    }
}

/// A copy of a row, half a year later. A posting is its subject's.
fn again(table: &str, instant: &str, id: &str) -> String {
    let subject = if table == "postings" { format!(", 'subject', {id}") } else { String::new() };
    format!(
        "INSERT INTO {table} OVERRIDING SYSTEM VALUE
         SELECT (jsonb_populate_record(NULL::{table}, to_jsonb(t) || jsonb_build_object('id', {id}{subject}, '{instant}', now() + interval '6 months'))).*
         FROM (SELECT * FROM {table} ORDER BY id LIMIT 1) t"
    )
}

#[tokio::test]
async fn an_events_number_is_given_once_and_none_is_left_out() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let tenant = live(&store, "acme").await.tenant.0;
    let mut superuser = superuser(&database).await;
    let last = number(&mut superuser, "SELECT max(sequence) FROM events").await;
    assert_eq!(last, number(&mut superuser, "SELECT count(*) FROM events").await);
    assert_eq!(last, number(&mut superuser, "SELECT event_sequence FROM tenant_locks").await);
    let events = |numbers: &[i64], instant: &str| {
        let numbers = numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
        format!(
            "INSERT INTO events (tenant, sequence, id, subject, kind, data, at)
             SELECT {tenant}, n, (substr(id_floor({instant})::text, 1, 24) || substr(gen_random_uuid()::text, 25))::uuid,
                 gen_random_uuid(), 'test', '{{}}', {instant} FROM unnest(ARRAY[{numbers}]) n"
        )
    };
    let later = "now() + interval '2 months'";
    for numbers in [&[1][..], &[last], &[last + 2], &[last + 1, last + 1], &[last + 1, last + 1, last + 3], &[0]] {
        for instant in ["now()", later] {
            assert_eq!(refused_by(&mut superuser, &events(numbers, instant)).await, "events_numbered", "{numbers:?}");
        }
    }
    run(&mut superuser, &events(&[last + 2, last + 1], later)).await;
    assert_eq!(number(&mut superuser, "SELECT event_sequence FROM tenant_locks").await, last + 2);
    let down = format!("UPDATE tenant_locks SET event_sequence = {last} WHERE tenant = {tenant}");
    assert_eq!(refused_by(&mut superuser, &down).await, "events_numbered");
    assert_books(&store).await;
}
