//! Which way payments take: compared, chosen, left when a provider fails, and switched by operators.

mod common;

use common::{Fixture, positions, program};
use serde_json::{Value, json};
use settla::local::{Amount, ApiClient, ServerFacts};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);
const ASK: &str = r#"{"source_currency":"GBP","destination_currency":"NGN","source_amount":"250.00"}"#;

async fn route(fixture: &Fixture, words: &[&str]) -> Result<String, String> {
    let mut command = tokio::process::Command::new(program());
    command.arg("route").args(words).arg("--dir").arg(fixture.system.dir());
    let output = command.output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn provider<'a>(servers: &'a [ServerFacts], name: &str) -> &'a ServerFacts {
    servers.iter().find(|server| server.name == name).unwrap()
}

/// Has a provider refuse everything that is new to it, or not any more.
async fn close(server: &ServerFacts, closed: bool) {
    let client = ApiClient::new(&server.url, &server.key).unwrap();
    client.post("/_control/provider", "k", &json!({ "closed": closed })).await.unwrap().success().unwrap();
}

async fn ways(client: &ApiClient) -> Vec<Value> {
    let answer = client.post("/v1/routes", "unused", &serde_json::from_str(ASK).unwrap()).await.unwrap();
    if answer.code() == "route_not_available" {
        return Vec::new();
    }
    answer.success().unwrap()["data"].as_array().unwrap().clone()
}

fn names(way: &Value) -> (&str, &str) {
    (way["price"]["on_ramp"].as_str().unwrap(), way["price"]["off_ramp"].as_str().unwrap())
}

async fn quote(client: &ApiClient) -> Value {
    client.quote("GBP", "NGN", Amount::Source("250.00")).await.unwrap().success().unwrap()
}

/// Waits until what was switched is heeded: a second or so.
async fn until(client: &ApiClient, fits: impl Fn(&[Value]) -> bool) {
    let begun = std::time::Instant::now();
    while !fits(&ways(client).await) {
        assert!(begun.elapsed() < SOON, "the switch is not heeded");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn ways_are_scored_by_what_was_measured_and_the_first_is_quoted() {
    let fixture = Fixture::start("ways", &[]).await;
    let client = fixture.system.client(0).unwrap();
    let all = ways(&client).await;
    assert_eq!(all.len(), 4, "{all:#?}");
    // Nothing is known of anybody: the cheapest is first, and nobody's speed is made up.
    assert_eq!(names(&all[0]), ("harbour", "solano"));
    assert!(all.iter().all(|way| way.get("expected_ms").is_none() && way["speed"] == 1.0 && way["liquidity"] == 1.0));
    let score = |way: &Value| way["score"].as_f64().unwrap();
    assert!(all.windows(2).all(|pair| score(&pair[0]) >= score(&pair[1])));
    let first = quote(&client).await;
    assert_eq!((&first["on_ramp"], &first["off_ramp"]), (&json!("harbour"), &json!("solano")));
    // Prices are the providers' own, and say whose they are.
    assert_eq!((&first["rates"][0]["source"], &first["rates"][1]["source"]), (&json!("harbour"), &json!("solano")));

    let mut ids = Vec::new();
    for n in 0..6 {
        let paid = client.pay(Amount::Source("250.00"), &format!("measured-{n}")).await.unwrap();
        ids.push(paid["id"].as_str().unwrap().to_owned());
    }
    for id in &ids {
        client.wait_for(id, &["COMPLETED"], SOON).await.unwrap();
    }
    until(&client, |all| all.iter().any(|way| way["expected_ms"].as_f64().is_some_and(|ms| ms > 300.0))).await;
    let listed: Value = serde_json::from_str(&route(&fixture, &["list", "--json"]).await.unwrap()).unwrap();
    let counted = |name: &str| -> i64 {
        let rows = listed["last_hour"].as_array().unwrap().iter().filter(|row| row["name"] == name);
        rows.map(|row| row["succeeded"].as_i64().unwrap()).sum()
    };
    assert_eq!((counted("harbour") + counted("quayside"), counted("meridian") + counted("solano")), (6, 6), "{listed}");
    fixture.books_agree().await;
    fixture.stop().await;
}

#[tokio::test]
async fn a_provider_that_refuses_is_followed_by_another_and_the_payment_arrives() {
    let fixture = Fixture::start("failover", &[]).await;
    let (client, facts) = (fixture.system.client(0).unwrap(), &fixture.system.facts);
    let quoted = quote(&client).await;
    let (on_ramp, off_ramp) = (quoted["on_ramp"].as_str().unwrap(), quoted["off_ramp"].as_str().unwrap());
    close(provider(&facts.on_ramps, on_ramp), true).await;
    let started =
        client.transfer("k", quoted["id"].as_str().unwrap(), "other on-ramp").await.unwrap().success().unwrap();
    let done = client.wait_for(started["id"].as_str().unwrap(), &["COMPLETED"], SOON).await.unwrap();
    assert_eq!(done["refused_orders"], json!([{ "provider": on_ramp, "reason": "provider_closed" }]), "{done}");
    assert_eq!((done.get("returned_payouts"), done.get("failure")), (None, None));
    close(provider(&facts.on_ramps, on_ramp), false).await;

    // An off-ramp that refuses has the tokens already: nobody else pays before they are back, and people look.
    close(provider(&facts.off_ramps, off_ramp), true).await;
    let kept = client.pay(Amount::Source("250.00"), "kept tokens").await.unwrap();
    let kept = client.wait_for(kept["id"].as_str().unwrap(), &["UNDER_REVIEW", "COMPLETED"], SOON).await.unwrap();
    if kept["price"]["off_ramp"] == off_ramp {
        assert_eq!((&kept["state"], &kept["failure"]), (&json!("UNDER_REVIEW"), &json!("provider_closed")), "{kept}");
    }
    close(provider(&facts.off_ramps, off_ramp), false).await;
    assert_eq!(positions(&client).await.get("GBP", "in_transit"), 0);
    fixture.books_agree().await;
    fixture.stop().await;
}

#[tokio::test]
async fn what_operators_switch_off_gets_nothing_new() {
    let fixture = Fixture::start("switches", &[]).await;
    let client = fixture.system.client(0).unwrap();
    let quoted = quote(&client).await;
    assert_eq!(quoted["on_ramp"], "harbour");
    for bad in ["harbor", "GBP-XXX", "GBPNGN", ""] {
        let refused = route(&fixture, &["off", bad, "--reason", "r", "--operator", "ada"]).await.unwrap_err();
        assert!(refused.contains("is no provider and no corridor"), "{refused}");
    }
    route(&fixture, &["off", "harbour", "--reason", "under repair", "--operator", "ada"]).await.unwrap();
    until(&client, |all| all.iter().all(|way| names(way).0 == "quayside")).await;
    // Quoted before: the order goes to the other one, since nobody has asked the first.
    let started = client.transfer("k", quoted["id"].as_str().unwrap(), "switched").await.unwrap().success().unwrap();
    let done = client.wait_for(started["id"].as_str().unwrap(), &["COMPLETED"], SOON).await.unwrap();
    assert_eq!(done["refused_orders"], json!([{ "provider": "harbour", "reason": "provider_off" }]), "{done}");

    route(&fixture, &["off", "quayside", "--reason", "too", "--operator", "ada"]).await.unwrap();
    let begun = std::time::Instant::now();
    let refused = loop {
        let answer = client.quote("GBP", "NGN", Amount::Source("250.00")).await.unwrap();
        if answer.status != 201 {
            break answer;
        }
        assert!(begun.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!((refused.status, &refused.body["code"]), (503, &json!("route_not_available")));

    route(&fixture, &["on", "harbour", "--operator", "ada"]).await.unwrap();
    assert!(route(&fixture, &["on", "harbour", "--operator", "ada"]).await.is_err());
    until(&client, |all| all.iter().all(|way| names(way).0 == "harbour") && !all.is_empty()).await;
    route(&fixture, &["off", "GBP-NGN", "--reason", "sanctions", "--operator", "ada"]).await.unwrap();
    let begun = std::time::Instant::now();
    while client.quote("GBP", "NGN", Amount::Source("250.00")).await.unwrap().status == 201 {
        assert!(begun.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let refused = client.quote("GBP", "NGN", Amount::Source("250.00")).await.unwrap();
    assert_eq!((refused.status, &refused.body["code"]), (422, &json!("corridor_not_offered")));
    client.quote("EUR", "NGN", Amount::Source("250.00")).await.unwrap().success().unwrap();
    let listed = route(&fixture, &["list"]).await.unwrap();
    assert!(listed.contains("GBP-NGN") && listed.contains("sanctions") && listed.contains("quayside"), "{listed}");
    fixture.books_agree().await;
    fixture.stop().await;
}
