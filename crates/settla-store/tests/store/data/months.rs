//! Partitions made ahead.

use super::{id_at, number, run, superuser, text};
use crate::apply::{apply, transfer};
use crate::support::{check::assert_books, funding, open, tenant};
use futures_util::future::join_all;
use settla_devkit::TestDatabase;
use settla_domain::account::{AccountId, AccountKind};
use settla_store::data::{self, PARTITIONED};
use sqlx::PgConnection;
use uuid::Uuid;

const AHEAD: &str = "SELECT string_agg(relname, ',' ORDER BY relname) FROM pg_class
    WHERE relispartition AND relkind = 'r' AND right(relname, 7) > to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM')
    AND relname NOT LIKE '%\\_rest'";

/// Takes away what was made ahead.
async fn drop_ahead(superuser: &mut PgConnection) -> String {
    let all = text(superuser, AHEAD).await;
    run(superuser, &format!("DROP TABLE {all}")).await;
    assert_eq!(number(superuser, &AHEAD.replace("string_agg(relname, ',' ORDER BY relname)", "count(*)")).await, 0);
    all
}

#[tokio::test]
async fn the_next_three_months_are_made_ahead_by_any_number_of_processes_at_once() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let mut superuser = superuser(&database).await;
    let all = drop_ahead(&mut superuser).await;
    let none: Vec<_> = PARTITIONED.iter().map(|table| ((*table).to_owned(), 0)).collect();
    assert_eq!(data::ahead(&store.auditor).await.unwrap(), none);

    let made = join_all((0..6).map(|_| data::make_partitions(&store.worker))).await;
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    assert_eq!(text(&mut superuser, AHEAD).await, all);
    let three: Vec<_> = PARTITIONED.iter().map(|table| ((*table).to_owned(), 3)).collect();
    assert_eq!(data::ahead(&store.auditor).await.unwrap(), three);

    // A process that starts makes them, too.
    drop_ahead(&mut superuser).await;
    open(database.url()).await.close().await;
    assert_eq!(text(&mut superuser, AHEAD).await, all);
    for row in data::partitions(&store.auditor).await.unwrap() {
        assert!(row.month == "rest" || row.month.len() == "2026-01".len(), "{row:?}");
        assert_eq!(row.months_kept.is_none(), row.table == "postings", "{row:?}");
    }
}

/// Of documents and sealed data ANALYZE makes no statistics, also of what is made later.
#[tokio::test]
async fn documents_are_left_out_of_statistics() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let mut superuser = superuser(&database).await;
    drop_ahead(&mut superuser).await;
    data::make_partitions(&store.worker).await.unwrap();
    let documents = "FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
         WHERE relnamespace = 'settla'::regnamespace AND relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped
             AND atttypid IN ('jsonb'::regtype, 'bytea'::regtype)";
    let counted = format!(
        "SELECT coalesce(string_agg(relname || '.' || attname, ', '), '') {documents} AND attstattarget IS DISTINCT FROM 0"
    );
    assert_eq!(text(&mut superuser, &counted).await, "");
    assert!(number(&mut superuser, &format!("SELECT count(*) {documents} AND relispartition")).await > 0);
}

/// A busy table is left for the next time and keeps neither the others from theirs nor a process from starting.
#[tokio::test]
async fn a_table_that_cannot_be_locked_is_left_for_the_next_time() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let mut admin = superuser(&database).await;
    let all = drop_ahead(&mut admin).await;
    let mut busy = superuser(&database).await;
    run(&mut busy, "BEGIN; LOCK TABLE events_rest IN ROW EXCLUSIVE MODE").await;
    open(database.url()).await.close().await;
    for (table, months) in data::ahead(&store.auditor).await.unwrap() {
        assert_eq!(months, if table == "events" { 0 } else { 3 }, "{table}");
    }
    run(&mut busy, "ROLLBACK").await;
    data::make_partitions(&store.worker).await.unwrap();
    assert_eq!(text(&mut admin, AHEAD).await, all);
}

/// A row that comes before its month has a partition is kept, seen, counted, and moved into it unchanged.
#[tokio::test]
async fn what_a_fast_clock_writes_is_kept_and_seen_and_moves_into_its_month() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let tenant = tenant(&store, "acme").await;
    apply(&store, tenant, &funding(tenant, 1_000_000)).await;
    transfer(&store, tenant, 10_000).await;
    let mut superuser = superuser(&database).await;
    drop_ahead(&mut superuser).await;
    let strays =
        async || data::strays(&store.auditor).await.unwrap().into_iter().find(|(t, _)| *t == "postings").unwrap().1;
    assert_eq!(strays().await, 0);

    let account = |kind| AccountId::platform(kind).to_uuid();
    let (debit, credit) = (account(AccountKind::Bank), account(AccountKind::Suspense));
    let late = id_at(&mut superuser, "date_trunc('month', now()) + interval '40 days'").await;
    let timeless = Uuid::from_u128(0xffee_ddcc_bbaa_8998_8776_6554_4332_2110);
    for id in [late, timeless] {
        let insert = format!(
            "INSERT INTO postings (id, tenant, subject, code, debit, credit, currency, amount, at)
             VALUES ('{id}', 0, '{id}', 1, '{debit}', '{credit}', 'GBP', 5, now())"
        );
        run(&mut superuser, &insert).await;
    }
    assert_eq!(strays().await, 1, "an id without a time is none");
    let row = format!("SELECT tableoid::regclass || ' ' || (p.*)::text FROM postings p WHERE id = '{late}'");
    let before = text(&mut superuser, &row).await;
    assert!(before.starts_with("postings_rest "), "{before}");

    data::make_partitions(&store.worker).await.unwrap();
    assert_eq!(strays().await, 0);
    let after = text(&mut superuser, &row).await;
    assert!(!after.starts_with("postings_rest"), "{after}");
    assert_eq!(before.split_once(' ').unwrap().1, after.split_once(' ').unwrap().1);
    assert_eq!(number(&mut superuser, "SELECT count(*) FROM postings_rest").await, 1);
    let change = sqlx::raw_sql("DELETE FROM postings_rest").execute(&mut superuser).await;
    assert!(change.unwrap_err().to_string().contains("append-only"));
    assert_books(&store).await;
}
