//! Payments that no machine can settle, decided at the command line by two people.

mod common;

use common::{Fixture, minor, positions, program};
use serde_json::{Value, json};
use settla::local::Amount;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

/// What `settla review` says, or how it refuses.
async fn review(fixture: &Fixture, operator: &str, words: &[&str]) -> Result<String, String> {
    let mut command = tokio::process::Command::new(program());
    command.arg("review").args(words).args(["--operator", operator, "--dir"]).arg(fixture.system.dir());
    let output = command.output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

async fn listed(fixture: &Fixture) -> Vec<Value> {
    serde_json::from_str(&review(fixture, "ada", &["list", "--json"]).await.unwrap()).unwrap()
}

const WHY: [&str; 4] = ["--ticket", "OPS-7", "--reason", "compared with the statement"];

#[tokio::test]
async fn two_people_decide_and_the_decision_moves_the_money() {
    let fixture = Fixture::start("review", &[]).await;
    let client = fixture.system.client(0).unwrap();
    let before = positions(&client).await;
    // The on-ramp delivers one per cent less; the off-ramp pays one per cent less.
    let short = client.pay(Amount::Source("4000.06"), "short-delivery").await.unwrap();
    let underpaid = client.pay(Amount::Destination("4000000.06"), "short-payout").await.unwrap();
    let id = |transfer: &Value| transfer["id"].as_str().unwrap().to_owned();
    let (short, underpaid) = (id(&short), id(&underpaid));
    for transfer in [&short, &underpaid] {
        client.wait_for(transfer, &["UNDER_REVIEW"], SOON).await.unwrap();
    }
    let waiting = listed(&fixture).await;
    let why = |id: &str| waiting.iter().find(|case| case["id"] == id).map(|case| case["failure"].clone());
    assert_eq!(why(&short), Some(json!("on_ramp_amount_differs")));
    assert_eq!(why(&underpaid), Some(json!("payout_amount_differs")));

    // One person is not enough, however they try.
    let refund = [&["propose", &short, "refund"][..], &WHY].concat();
    review(&fixture, "ada", &refund).await.unwrap();
    assert!(review(&fixture, "grace", &refund).await.unwrap_err().contains("is proposed already"));
    let alone = review(&fixture, "ada", &["approve", &short]).await.unwrap_err();
    assert!(alone.contains("somebody else has to approve it"), "{alone}");
    assert_eq!(client.transfer_by_id(&short).await.unwrap()["state"], "UNDER_REVIEW");
    let done = review(&fixture, "grace", &["approve", &short]).await.unwrap();
    assert!(done.contains("REFUNDED"), "{done}");
    assert!(review(&fixture, "grace", &["approve", &short]).await.unwrap_err().contains("nothing is proposed"));

    // What does not fit the facts is refused, taken back, and decided otherwise.
    review(&fixture, "ada", &[&["propose", &underpaid, "retry"][..], &WHY].concat()).await.unwrap();
    let misfit = review(&fixture, "grace", &["approve", &underpaid]).await.unwrap_err();
    assert!(misfit.contains("does not fit what is known"), "{misfit}");
    review(&fixture, "grace", &["withdraw", &underpaid]).await.unwrap();
    let complete = [&["propose", &underpaid, "complete", "--reference", "MRD-1"][..], &WHY].concat();
    review(&fixture, "grace", &complete).await.unwrap();
    review(&fixture, "ada", &["approve", &underpaid]).await.unwrap();

    let after = positions(&client).await;
    let short = client.transfer_by_id(&short).await.unwrap();
    let underpaid = client.transfer_by_id(&underpaid).await.unwrap();
    assert_eq!((&short["state"], &underpaid["state"]), (&json!("REFUNDED"), &json!("COMPLETED")));
    let spent = minor(&short["price"]["source"]) + minor(&underpaid["price"]["debit"]);
    assert_eq!(after.get("GBP", "available"), before.get("GBP", "available") - spent);
    assert_eq!(after.get("USDC", "available"), minor(&short["delivered"]));
    for (currency, part) in [("GBP", "held"), ("GBP", "in_transit"), ("USDC", "in_transit")] {
        assert_eq!(after.get(currency, part), 0, "{currency} {part}");
    }
    assert!(listed(&fixture).await.is_empty());
    fixture.books_agree().await;
    fixture.stop().await;
}
