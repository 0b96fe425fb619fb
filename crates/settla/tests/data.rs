//! A running system sweeps what need not be kept, and an operator takes a month out of a table.

mod common;

use common::metrics::wait_until;
use common::{Fixture, program};
use serde_json::Value;
use settla::local::Amount;
use sqlx::{Connection, PgConnection, Row};
use std::time::Duration;

async fn data(fixture: &Fixture, words: &[&str]) -> Result<String, String> {
    let mut command = tokio::process::Command::new(program());
    command.arg("data").args(words).arg("--dir").arg(fixture.system.dir());
    let output = command.output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

async fn number(database: &mut PgConnection, statement: &str) -> i64 {
    sqlx::query(statement).fetch_one(database).await.unwrap().get(0)
}

#[tokio::test]
async fn old_rows_are_swept_and_an_old_month_is_taken_out() {
    let fixture = Fixture::start("data", &[]).await;
    let client = fixture.system.client(0).unwrap();
    let paid = client.pay(Amount::Source("25.00"), "growth").await.unwrap();
    client.wait_for(paid["id"].as_str().unwrap(), &["COMPLETED"], Duration::from_secs(60)).await.unwrap();
    let mut database = PgConnection::connect(&fixture.system.facts.database_url).await.unwrap();
    // As docs/data.md says: ten postings, but for what comes to nothing, as a rounding may.
    let zero = ["rounding", "spread"].iter().filter(|part| common::minor(&paid["price"][**part]) == 0).count();
    for (table, rows) in [("postings", 10 - zero as i64), ("events", 5), ("outbox", 3), ("settlement_members", 1)] {
        let count = format!("SELECT count(*) FROM settla.{table} JOIN settla.transfers t ON t.id = subject");
        assert_eq!(number(&mut database, &count).await, rows, "{table} of a payment");
    }
    let old = "INSERT INTO settla.idempotency (tenant, key, fingerprint, created_at)
                   SELECT 1, 'old-' || n, '', now() - interval '25 hours' FROM generate_series(1, 1500) n";
    sqlx::raw_sql(old).execute(&mut database).await.unwrap();
    wait_until(&fixture.system, r#"settla_swept_rows_total{table="idempotency"}"#, |swept| swept >= 1500.0).await;
    assert_eq!(number(&mut database, "SELECT count(*) FROM settla.idempotency WHERE key LIKE 'old-%'").await, 0);
    assert!(number(&mut database, "SELECT count(*) FROM settla.idempotency").await > 0);

    let listed: Vec<Value> = serde_json::from_str(&data(&fixture, &["list", "--json"]).await.unwrap()).unwrap();
    assert_eq!(listed.len(), 4 * 6);
    let month = text(&mut database, "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM')").await;
    for (words, why) in [
        (["detach", "outbox", &month, "--ticket", "OPS-1", "--operator", "ada"], "kept for 3 months"),
        (["detach", "postings", &month, "--ticket", "OPS-1", "--operator", "ada"], "kept for ever"),
        (["detach", "outbox", "2019-03", "--ticket", "OPS-1", "--operator", "ada"], "no such month"),
        (["detach", "outbox", "2019-13", "--ticket", "OPS-1", "--operator", "ada"], "is no month"),
        (["detach", "outbox", "+019-03", "--ticket", "OPS-1", "--operator", "ada"], "is no month"),
        (["detach", "outbox", "2019-03", "--ticket", "", "--operator", "ada"], "no ticket"),
    ] {
        let refused = data(&fixture, &words).await.unwrap_err();
        assert!(refused.contains(why), "{words:?}: {refused}");
    }

    sqlx::raw_sql("SELECT settla.make_partition('outbox', '2019-03-01')").execute(&mut database).await.unwrap();
    let taken =
        data(&fixture, &["detach", "outbox", "2019-03", "--ticket", "OPS-1", "--operator", "ada"]).await.unwrap();
    assert!(taken.contains("settla.outbox_2019_03"), "{taken}");
    let entry = "SELECT count(*) FROM settla.audit_log WHERE actor = 'ada' AND action = 'data.detach' AND object = 'outbox 2019-03 OPS-1'";
    assert_eq!(number(&mut database, entry).await, 1);
    let paid = client.pay(Amount::Source("25.00"), "goes on").await.unwrap();
    client.wait_for(paid["id"].as_str().unwrap(), &["COMPLETED"], Duration::from_secs(60)).await.unwrap();
    fixture.books_agree().await;
    fixture.stop().await;
}

async fn text(database: &mut PgConnection, statement: &str) -> String {
    sqlx::query(statement).fetch_one(database).await.unwrap().get(0)
}
