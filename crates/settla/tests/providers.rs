//! A system with several providers a side: all of them are known, heard and in the books.

mod common;

use common::Fixture;
use serde_json::{Value, json};
use settla::local::{Amount, ServerFacts};
use sqlx::{Connection, PgConnection};
use std::time::{Duration, Instant};
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(60);

async fn ask(server: &ServerFacts, path: &str) -> Value {
    let request = reqwest::Client::new().get(format!("{}{path}", server.url)).bearer_auth(&server.key);
    request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
}

/// Asks again and again until something is there.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < SOON, "{what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// An order that the platform knows nothing of, for its own wallet and from its own bank account.
async fn order_behind_our_back(fixture: &Fixture, on_ramp: &ServerFacts) -> Uuid {
    let facts = &fixture.system.facts;
    let (id, gbp) = (Uuid::now_v7(), 10_000_u128);
    let prices = ask(on_ramp, "/v1/prices").await;
    let price = prices["prices"].as_array().unwrap().iter().find(|price| price["base"] == "GBP").unwrap();
    let rate_e8: u128 = price["rate"].as_str().unwrap().replace('.', "").parse().unwrap();
    let body = json!({
        "client_order_id": id,
        "source": { "currency": "GBP", "amount": gbp.to_string() },
        "destination": { "currency": "USDC", "amount": (gbp * rate_e8 / 10_000).to_string() },
        "wallet_address": facts.wallet,
        "bank_account": facts.bank.account,
    });
    let request = reqwest::Client::new().post(format!("{}/v1/orders", on_ramp.url)).bearer_auth(&on_ramp.key);
    let answer = request.header("idempotency-key", id.to_string()).json(&body).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 202);
    until("the order is not completed", async || {
        let order = ask(on_ramp, &format!("/v1/orders/{id}")).await;
        (order["order"]["status"] == "completed").then_some(())
    })
    .await;
    id
}

#[tokio::test]
async fn all_providers_are_wired_and_in_the_books() {
    let fixture = Fixture::start("providers", &[]).await;
    let facts = &fixture.system.facts;
    settla_rails::http::install_tls_provider();
    let names = |servers: &[ServerFacts]| servers.iter().map(|one| one.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&facts.on_ramps), ["harbour", "quayside"]);
    assert_eq!(names(&facts.off_ramps), ["meridian", "solano"]);
    assert_eq!((&facts.on_ramp.url, &facts.off_ramp.url), (&facts.on_ramps[0].url, &facts.off_ramps[0].url));

    let ready: Value = reqwest::get(format!("{}/health/ready", facts.api)).await.unwrap().json().await.unwrap();
    let asked = |name: &str| {
        let all = ready["dependencies"].as_array().unwrap().iter();
        all.filter(|one| one["name"] == name && one["ready"] == true).count()
    };
    assert_eq!((asked("on_ramp"), asked("off_ramp")), (1, 1), "{ready}");

    // Each sends its events to an address of its own, which takes nothing that is not signed by it.
    for server in facts.on_ramps.iter().chain(&facts.off_ramps) {
        let url = format!("{}/webhooks/providers/{}", facts.api, server.name);
        let journal = fixture.system.dir().join(format!("sandbox/books/{}/journal.jsonl", server.name));
        assert!(std::fs::read_to_string(journal).unwrap().contains(&url), "{} was not told where", server.name);
        let unsigned = reqwest::Client::new().post(&url).header("webhook-id", "x").header("webhook-timestamp", "1");
        let unsigned = unsigned.header("webhook-signature", "v1,bm9uZQ==").body("{}").send().await.unwrap();
        assert_eq!(unsigned.status().as_u16(), 403, "{}", server.name);
    }

    let client = fixture.system.client(0).unwrap();
    let paid = client.pay(Amount::Source("150.00"), "first").await.unwrap();
    client.wait_for(paid["id"].as_str().unwrap(), &["COMPLETED"], SOON).await.unwrap();
    fixture.books_agree().await;

    // The second on-ramp's signed event is taken, and its statement is read: what we did not order shows as such.
    let stray = order_behind_our_back(&fixture, &facts.on_ramps[1]).await;
    let mut database = PgConnection::connect(&facts.database_url).await.unwrap();
    let heard = "SELECT count(*) FROM settla.provider_events WHERE provider = 'quayside'";
    until("quayside's event was not taken", async || {
        let count: i64 = sqlx::query_scalar(heard).fetch_one(&mut database).await.unwrap();
        (count > 0).then_some(())
    })
    .await;
    // Its tokens show once they are as deep as we believe in.
    let report = until("the order at the second on-ramp does not show in the books", async || {
        let report = settla::reconcile::check(facts).await.unwrap();
        let has = |kind: &str| report.breaks.iter().any(|found| found.kind == kind);
        let all = ["on_ramp_order_unknown", "bank_debit_unknown", "chain_arrival_unknown"].into_iter().all(has);
        all.then_some(report)
    })
    .await;
    let of_the_stray =
        |kind: &str| report.breaks.iter().any(|b| b.kind == kind && b.detail.contains(&stray.simple().to_string()));
    assert!(of_the_stray("on_ramp_order_unknown") && of_the_stray("bank_debit_unknown"), "{:#?}", report.breaks);
    fixture.stop().await;
}
