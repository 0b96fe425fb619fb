//! What is stuck is found, shown, and put back by people.

mod common;

use common::{Fixture, positions, program};
use serde_json::Value;
use settla::local::Amount;
use sqlx::{Connection, PgConnection, Row};
use std::time::{Duration, Instant};
use tokio::process::Command;

const SOON: Duration = Duration::from_secs(60);

async fn settla(fixture: &Fixture, words: &[&str]) -> String {
    let output = Command::new(program()).args(words).arg("--dir").arg(fixture.system.dir()).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

async fn set_aside(fixture: &Fixture) -> Vec<Value> {
    serde_json::from_str(&settla(fixture, &["outbox", "list", "--json"]).await).unwrap()
}

async fn signal(fixture: &Fixture, name: &str) {
    let pid = fixture.system.facts.pids.sandbox.to_string();
    assert!(Command::new("kill").args([name, &pid]).status().await.unwrap().success());
}

#[tokio::test]
async fn a_poison_message_is_set_aside_shown_and_put_back() {
    let mut fixture = Fixture::start("recovery", &[]).await;
    let client = fixture.system.client(0).unwrap();
    let quote = client.quote("GBP", "NGN", Amount::Source("25.00")).await.unwrap().success().unwrap();
    let mut database = PgConnection::connect(&fixture.system.facts.database_url).await.unwrap();
    // The on-ramp does not answer, so the order stays open while it is damaged.
    signal(&fixture, "-STOP").await;
    let poisoned = client.transfer("poisoned", quote["id"].as_str().unwrap(), "poisoned").await.unwrap();
    let poisoned = poisoned.success().unwrap()["id"].as_str().unwrap().to_owned();
    let damage =
        "UPDATE settla.outbox SET payload = jsonb_set(payload, '{provider}', '7') WHERE kind = 'on_ramp' RETURNING id";
    let damaged = sqlx::query(damage).fetch_all(&mut database).await.unwrap();
    assert_eq!(damaged.len(), 1);
    signal(&fixture, "-CONT").await;

    let begun = Instant::now();
    let aside = loop {
        if let Some(aside) = set_aside(&fixture).await.pop() {
            break aside;
        }
        assert!(begun.elapsed() < SOON, "it is not set aside");
    };
    assert_eq!((&aside["kind"], &aside["reason"]), (&"on_ramp".into(), &"unreadable".into()));
    // Others are not kept waiting by it.
    let other = client.pay(Amount::Source("30.00"), "other").await.unwrap();
    client.wait_for(other["id"].as_str().unwrap(), &["COMPLETED"], SOON).await.unwrap();

    // Without the platform: what the on-ramp has told meanwhile would end it as soon as it can be read.
    fixture.system.kill_platform().await.unwrap();
    let mend = "UPDATE settla.outbox SET payload = jsonb_set(payload, '{provider}', '\"harbour\"') WHERE id = $1";
    sqlx::query(mend).bind(damaged[0].get::<uuid::Uuid, _>("id")).execute(&mut database).await.unwrap();
    settla(&fixture, &["outbox", "replay", aside["id"].as_str().unwrap(), "--ticket", "OPS-9", "--operator", "ada"])
        .await;
    assert!(set_aside(&fixture).await.is_empty());
    fixture.system.restart_platform().await.unwrap_or_else(|failure| panic!("{failure}"));
    let client = fixture.system.client(0).unwrap();
    client.wait_for(&poisoned, &["COMPLETED"], SOON).await.unwrap();
    fixture.books_agree().await;
    fixture.stop().await;
}

/// Money comes in at the bank, in minor units.
async fn incoming(fixture: &Fixture, minor_units: &str, reference: &str) {
    let bank = &fixture.system.facts.bank;
    let body = serde_json::json!({
        "account": bank.account, "currency": "GBP", "amount": minor_units, "reference": reference, "payer_name": "Somebody",
    });
    let request = reqwest::Client::new().post(format!("{}/_control/incoming", bank.url)).bearer_auth(&bank.key);
    assert_eq!(request.json(&body).send().await.unwrap().status().as_u16(), 201);
}

#[tokio::test]
async fn one_line_of_the_statement_keeps_nobodys_money_waiting() {
    let fixture = Fixture::start("statement", &[]).await;
    let client = fixture.system.client(0).unwrap();
    let before = positions(&client).await.get("GBP", "available");
    let ask = serde_json::json!({ "currency": "GBP", "amount": "500.00" });
    let topup = client.post("/v1/treasury/topups", "topup", &ask).await.unwrap().success().unwrap();
    // More than we can count, then what a tenant waits for.
    incoming(&fixture, "1000000000000001", "too much").await;
    incoming(&fixture, "50000", topup["reference"].as_str().unwrap()).await;
    let begun = Instant::now();
    while positions(&client).await.get("GBP", "available") != before + 50_000 {
        assert!(begun.elapsed() < SOON, "the tenant's money does not come");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let aside = set_aside(&fixture).await;
    assert_eq!((aside.len(), &aside[0]["kind"]), (1, &"bank_statement".into()));
    let line = aside[0]["id"].as_str().unwrap();
    // Read again it is no better, and still there.
    settla(&fixture, &["outbox", "replay", line, "--ticket", "OPS-9", "--operator", "ada"]).await;
    let mut database = PgConnection::connect(&fixture.system.facts.database_url).await.unwrap();
    let to_be_read = "SELECT count(*) FROM settla.statement_lines_set_aside WHERE replay";
    let begun = Instant::now();
    while sqlx::query_scalar::<_, i64>(to_be_read).fetch_one(&mut database).await.unwrap() > 0 {
        assert!(begun.elapsed() < SOON, "it is not read again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(set_aside(&fixture).await.len(), 1);
    // Nor is it forgotten: the bank has money that our books do not.
    let report = settla::reconcile::check(&fixture.system.facts).await.unwrap();
    let found: Vec<_> = report.breaks.iter().map(|b| (b.kind.as_str(), b.subject.as_deref())).collect();
    // Its balance is more than we can count, too.
    assert_eq!((found, report.unread.as_slice()), (vec![("bank_line_unreadable", Some(line))], &["bank"][..]));
    fixture.stop().await;
}
