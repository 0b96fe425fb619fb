//! A tenant's life, as operators steer it and as its backend meets it, and the first step of an incident.

mod common;

use common::{Fixture, program};
use serde_json::{Value, json};
use settla::local::{Amount, Answer, ApiClient};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(60);
/// Within this a change counts everywhere.
const EVERYWHERE: Duration = Duration::from_secs(1);
/// Between two looks at what nothing tells of.
const LOOK: Duration = Duration::from_millis(20);

/// What a command says, or how it refuses.
async fn settla(fixture: &Fixture, words: &[&str]) -> Result<String, String> {
    let mut command = tokio::process::Command::new(program());
    let output = command.args(words).arg("--dir").arg(fixture.system.dir()).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

async fn tenant(fixture: &Fixture, verb: &str, slug: &str) -> Result<String, String> {
    settla(fixture, &["tenant", verb, slug, "--reason", "a test"]).await
}

/// A new key of a tenant, with the options.
async fn key(fixture: &Fixture, slug: &str, options: &[&str]) -> ApiClient {
    let said = settla(fixture, &[&["key", "create", slug], options].concat()).await.unwrap();
    let key = said.split_whitespace().find(|word| word.starts_with("sk_test_")).unwrap();
    fixture.system.client(0).unwrap().with_key(key)
}

async fn quote(client: &ApiClient) -> Answer {
    client.quote("GBP", "NGN", Amount::Source("20.00")).await.unwrap()
}

/// A transfer that has begun.
async fn begun(client: &ApiClient, reference: &str) -> String {
    client.pay(Amount::Source("20.00"), reference).await.unwrap()["id"].as_str().unwrap().to_owned()
}

/// Waits until a quote is answered with this status.
async fn quotes_are(client: &ApiClient, status: u16) -> Answer {
    let begun = Instant::now();
    loop {
        let answer = quote(client).await;
        if answer.status == status {
            return answer;
        }
        assert!(begun.elapsed() < EVERYWHERE, "{} still", answer.status);
        tokio::time::sleep(LOOK).await;
    }
}

#[tokio::test]
async fn a_suspended_tenant_starts_nothing_and_what_it_has_begun_completes() {
    let fixture = Fixture::start("tenants", &[]).await;
    let acme = fixture.system.client(0).unwrap();
    let held = quote(&acme).await.success().unwrap();
    let id = begun(&acme, "before").await;
    tenant(&fixture, "suspend", "acme").await.unwrap();
    let refused = quotes_are(&acme, 422).await;
    assert_eq!(refused.code(), "tenant_not_active");
    let transfer = acme.transfer("late", held["id"].as_str().unwrap(), "late").await.unwrap();
    assert_eq!((transfer.status, transfer.code()), (422, "tenant_not_active"), "a quote from before buys nothing");
    let withdrawal = json!({
        "currency": "GBP", "amount": "100.00", "reference": "WD-1",
        "account": { "name": "Acme Remit Ltd", "type": "uk_account", "sort_code": "20-00-00", "account_number": "55779911" },
    });
    let withdrawal = acme.post("/v1/treasury/withdrawals", "wd", &withdrawal).await.unwrap();
    assert_eq!((withdrawal.status, withdrawal.code()), (422, "tenant_not_active"));
    let me = acme.get("/v1/me").await.unwrap().success().unwrap();
    assert_eq!(me["status"], "suspended", "it can read");
    let ended = acme.wait_for(&id, &["COMPLETED"], SOON).await.unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(ended["paid"], ended["price"]["destination"], "what had begun completes");
    // The other tenant has not noticed.
    quote(&fixture.system.client(1).unwrap()).await.success().unwrap();

    let refusal = tenant(&fixture, "suspend", "acme").await.unwrap_err();
    assert!(refusal.contains("acme is suspended"), "{refusal}");
    let refusal = tenant(&fixture, "close", "acme").await.unwrap_err();
    assert!(refusal.contains("acme still has") && refusal.contains(" GBP"), "its money is with us: {refusal}");
    tenant(&fixture, "resume", "acme").await.unwrap();
    quotes_are(&acme, 201).await;
    assert!(settla(&fixture, &["tenant", "suspend", "acme"]).await.is_err(), "without a reason");
    fixture.books_agree().await;
    fixture.stop().await;
}

#[tokio::test]
async fn a_tenant_is_set_up_agreed_with_and_closed() {
    let fixture = Fixture::start("life", &[]).await;
    settla(&fixture, &["tenant", "create", "newco", "New Co", "--onboarding"]).await.unwrap();
    let newco = key(&fixture, "newco", &[]).await;
    assert_eq!(quote(&newco).await.code(), "tenant_not_active");
    tenant(&fixture, "activate", "newco").await.unwrap();
    quotes_are(&newco, 201).await;

    let agreed = ["--currency", "GBP", "--reason", "contract 7"];
    let fees = ["tenant", "fees", "newco", "--on-ramp-bps", "11", "--minimum", "0.75"];
    settla(&fixture, &[&fees[..], &agreed[..]].concat()).await.unwrap();
    let limits = ["tenant", "limits", "newco", "--per-transfer", "1234.50"];
    settla(&fixture, &[&limits[..], &agreed[..]].concat()).await.unwrap();
    let begun = Instant::now();
    loop {
        let me = newco.get("/v1/me").await.unwrap().success().unwrap();
        let of = |list: &str| me[list].as_array().unwrap().iter().find(|row| row["currency"] == "GBP").unwrap().clone();
        let (fees, limits) = (of("fees"), of("limits"));
        if (&fees["on_ramp_bps"], &fees["minimum"], &limits["per_transfer"])
            == (&json!(11), &json!("0.75"), &json!("1234.50"))
        {
            assert_eq!((&fees["off_ramp_bps"], &fees["maximum"]), (&json!(35), &json!("2500.00")), "as it was");
            break;
        }
        assert!(begun.elapsed() < EVERYWHERE, "{me}");
        tokio::time::sleep(LOOK).await;
    }
    for wrong in [
        &["tenant", "fees", "newco", "--minimum", "9000.00", "--currency", "GBP", "--reason", "x"][..],
        &["tenant", "limits", "newco", "--per-day", "1.234", "--currency", "GBP", "--reason", "x"],
        &["tenant", "limits", "newco", "--per-day", "1.00", "--currency", "KES", "--reason", "x"],
        &["tenant", "suspend", "nobody", "--reason", "x"],
        &["tenant", "suspend", "newco", "--reason", " "],
        &["tenant", "close", "newco", "--reason", "active still"],
    ] {
        assert!(settla(&fixture, wrong).await.is_err(), "{wrong:?}");
    }
    tenant(&fixture, "suspend", "newco").await.unwrap();
    tenant(&fixture, "close", "newco").await.unwrap();
    quotes_are(&newco, 401).await;
    let refusal = tenant(&fixture, "resume", "newco").await.unwrap_err();
    assert!(refusal.contains("newco is closed"), "{refusal}");
    fixture.stop().await;
}

#[tokio::test]
async fn an_incident_is_contained_by_one_command() {
    let fixture = Fixture::start("incident", &[]).await;
    let acme = fixture.system.client(0).unwrap();
    let stolen = key(&fixture, "acme", &["--name", "stolen", "--scope", "read,keys"]).await;
    let ask = json!({ "name": "thief's own", "scopes": ["read", "keys"] });
    let made = stolen.post("/v1/api-keys", "own", &ask).await.unwrap().success().unwrap();
    let thief = stolen.with_key(made["key"].as_str().unwrap());
    let thief_sees = thief.get("/v1/api-keys").await.unwrap().success().unwrap();
    let stolen_id = thief_sees["data"][1]["id"].as_str().unwrap();
    assert_eq!(made["made_by"], stolen_id);

    let contained =
        settla(&fixture, &["incident", "contain", "--key", stolen_id, "--reason", "found on a forum"]).await.unwrap();
    assert!(contained.contains("stolen") && contained.contains("thief's own"), "{contained}");
    for client in [&stolen, &thief] {
        quotes_are(client, 401).await;
    }
    quote(&acme).await.success().unwrap();
    let again = settla(&fixture, &["incident", "contain", "--key", stolen_id, "--reason", "again"]).await.unwrap_err();
    assert!(again.contains("settla key list"), "{again}");

    let id = begun(&acme, "in flight").await;
    let words = ["incident", "contain", "--tenant", "acme", "--reason", "backend broken into", "--json"];
    let contained: Value = serde_json::from_str(&settla(&fixture, &words).await.unwrap()).unwrap();
    assert_eq!((&contained["status_before"], &contained["status"]), (&json!("active"), &json!("suspended")));
    assert_eq!(contained["revoked"].as_array().unwrap().len(), 1, "those revoked before are not told of: {contained}");
    assert!(contained["left"].as_array().unwrap().iter().any(|left| left == "1 transfers"), "{contained}");
    quotes_are(&acme, 401).await;
    quote(&fixture.system.client(1).unwrap()).await.success().unwrap();
    // After the incident: a new key, nothing new until it is resumed, and what was in flight has completed.
    let fresh = key(&fixture, "acme", &[]).await;
    assert_eq!(quote(&fresh).await.code(), "tenant_not_active");
    fresh.wait_for(&id, &["COMPLETED"], SOON).await.unwrap_or_else(|failure| panic!("{failure}"));
    tenant(&fixture, "resume", "acme").await.unwrap();
    quotes_are(&fresh, 201).await;
    fixture.books_agree().await;
    fixture.stop().await;
}
