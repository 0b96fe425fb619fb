//! Months taken out, and what keeps them in.

use super::{id_at, number, run, superuser};
use crate::life::live;
use crate::support::{check::assert_books, open};
use settla_devkit::TestDatabase;
use settla_store::{Store, StoreError, data};
use sqlx::PgConnection;
use time::{Date, Month};

/// March 2019.
const LONG_AGO: Date = match Date::from_calendar_date(2019, Month::March, 1) {
    Ok(date) => date,
    Err(_) => Date::MIN,
};

async fn detach(store: &Store, table: &str, month: Date) -> Result<(), String> {
    data::detach(&store.operator, table, month, "ada", "T-7").await.unwrap()
}

/// The months of long ago, each with a row.
async fn long_ago(superuser: &mut PgConnection) {
    for table in ["outbox", "events", "audit_log", "postings"] {
        run(superuser, &format!("SELECT make_partition('{table}', '2019-03-01')")).await;
    }
    let id = id_at(superuser, "'2019-03-09'").await;
    let rows = format!(
        "INSERT INTO outbox (id, tenant, subject, kind, payload, status, next_at, created_at)
             VALUES ('{id}', 1, '{id}', 'on_ramp', '{{}}', 'done', '2019-03-09', '2019-03-09');
         INSERT INTO audit_log (id, tenant, at, actor, action, object) VALUES ('{id}', 1, '2019-03-09', 'a', 'b', 'c')"
    );
    run(superuser, &rows).await;
}

#[tokio::test]
async fn a_month_is_taken_out_when_nothing_needs_it_and_not_before() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let life = live(&store, "acme").await;
    let mut superuser = superuser(&database).await;
    long_ago(&mut superuser).await;
    let wait = |why: &str| Err(why.to_owned());

    assert_eq!(detach(&store, "postings", LONG_AGO).await, wait("this table is kept for ever"));
    for (table, month) in [
        ("outbox", Date::from_calendar_date(2019, Month::April, 1).unwrap()),
        ("outbox", LONG_AGO.next_day().unwrap()),
        ("transfers", LONG_AGO),
        ("outbox; DROP TABLE outbox", LONG_AGO),
    ] {
        assert_eq!(detach(&store, table, month).await, wait("there is no such month of such a table"), "{table}");
    }
    let this_month = time::OffsetDateTime::now_utc().date().replace_day(1).unwrap();
    for (table, months) in [("outbox", 3), ("events", 13), ("audit_log", 84)] {
        let young = format!("a month of it is kept for {months} months after it");
        assert_eq!(detach(&store, table, this_month).await, wait(&young));
    }

    // Each of these alone keeps it.
    let because = [
        (
            "UPDATE outbox SET status = 'ready' WHERE created_at = '2019-03-09'",
            "UPDATE outbox SET status = 'done' WHERE created_at = '2019-03-09'",
            "an effect of that month has not ended",
        ),
        (
            "UPDATE transfers SET id = id_floor('2019-02-09'), state = 'UNDER_REVIEW' WHERE state = 'COMPLETED'",
            "UPDATE transfers SET state = 'COMPLETED' WHERE state = 'UNDER_REVIEW'",
            "a transfer of that month or an earlier one has not ended",
        ),
        (
            "UPDATE withdrawals SET id = id_floor('2019-02-09'), state = 'UNDER_REVIEW'",
            "UPDATE withdrawals SET state = 'PAID'",
            "a withdrawal of that month or an earlier one has not ended",
        ),
        (
            "UPDATE settlement_members SET effect = id_floor('2019-03-09'); UPDATE settlements SET status = 'done'",
            "UPDATE settlements SET final = true",
            "a settlement batch with an effect of that month is not final",
        ),
    ];
    for (keep, release, why) in because {
        run(&mut superuser, keep).await;
        assert_eq!(detach(&store, "outbox", LONG_AGO).await, wait(why));
        run(&mut superuser, release).await;
    }
    run(&mut superuser, "UPDATE webhook_deliveries SET event_id = id_floor('2019-03-09'), status = 'pending' WHERE id = (SELECT min(id::text)::uuid FROM webhook_deliveries)").await;
    assert_eq!(detach(&store, "events", LONG_AGO).await, wait("an event of that month is not delivered"));

    let rows = "SELECT count(*) FROM outbox WHERE created_at < '2020-01-01'";
    assert_eq!(number(&mut superuser, rows).await, 1);
    let entries = "SELECT count(*) FROM audit_log WHERE action = 'data.detach'";
    assert_eq!(number(&mut superuser, entries).await, 0, "what was refused has no entry");
    assert_eq!(detach(&store, "outbox", LONG_AGO).await, Ok(()));
    assert_eq!(number(&mut superuser, rows).await, 0);
    assert_eq!(number(&mut superuser, "SELECT count(*) FROM outbox_2019_03").await, 1);
    let entry = "SELECT count(*) FROM audit_log WHERE action = 'data.detach' AND actor = 'ada' AND object = 'outbox 2019-03 T-7' AND tenant = 0";
    assert_eq!(number(&mut superuser, entry).await, 1);
    assert_eq!(detach(&store, "outbox", LONG_AGO).await, wait("there is no such month of such a table"));
    for role in ["app", "worker", "runner", "operator", "auditor"] {
        let reached =
            format!("SELECT has_any_column_privilege('settla_{role}', 'outbox_2019_03', 'SELECT')::int::bigint");
        assert_eq!(number(&mut superuser, &reached).await, 0, "{role}");
    }
    assert_eq!(detach(&store, "audit_log", LONG_AGO).await, Ok(()));
    assert!(life.completed.id.0 > uuid::Uuid::nil());
}

/// It waits for no longer than a moment for those that use the table, and then nothing has happened.
#[tokio::test]
async fn a_busy_table_is_not_waited_for() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    live(&store, "acme").await;
    let mut admin = superuser(&database).await;
    long_ago(&mut admin).await;
    let mut busy = superuser(&database).await;
    run(&mut busy, "BEGIN; SELECT FROM outbox LIMIT 1").await;
    let came = data::detach(&store.operator, "outbox", LONG_AGO, "ada", "T-7").await;
    assert!(matches!(came, Err(StoreError::Retry(_))), "{came:?}");
    run(&mut busy, "ROLLBACK").await;
    run(&mut admin, "UPDATE withdrawals SET state = 'PAID'").await;
    assert_eq!(detach(&store, "outbox", LONG_AGO).await, Ok(()));
    run(&mut admin, "UPDATE withdrawals SET state = 'PENDING'").await;
    assert_books(&store).await;
}
