//! API keys as their tenant makes, limits, replaces and revokes them, and as the operator replaces the secret below them.

mod common;

use common::{Fixture, program};
use serde_json::{Value, json};
use settla::local::{Amount, Answer, ApiClient};
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Within this a change is known everywhere.
const EVERYWHERE: Duration = Duration::from_secs(1);
/// From the use of a key until that is written down, and some.
const WRITTEN_DOWN: Duration = Duration::from_secs(30);
/// Between two looks at what nothing tells of.
const LOOK: Duration = Duration::from_millis(50);

fn seconds_from_now(seconds: i64) -> String {
    (OffsetDateTime::now_utc() + time::Duration::seconds(seconds)).format(&Rfc3339).unwrap()
}

async fn made(client: &ApiClient, name: &str, ask: Value) -> (String, ApiClient) {
    let answer = client.post("/v1/api-keys", name, &ask).await.unwrap().success().unwrap();
    (answer["id"].as_str().unwrap().to_owned(), client.with_key(answer["key"].as_str().unwrap()))
}

async fn status(client: &ApiClient) -> u16 {
    client.get("/v1/me").await.unwrap().status
}

async fn shown(client: &ApiClient, id: &str) -> Value {
    client.get(&format!("/v1/api-keys/{id}")).await.unwrap().success().unwrap()
}

/// Waits until the key is refused, and says how long that took.
async fn refused(client: &ApiClient) -> Duration {
    let begun = Instant::now();
    while status(client).await != 401 {
        assert!(begun.elapsed() < WRITTEN_DOWN, "it works on");
        tokio::time::sleep(LOOK).await;
    }
    begun.elapsed()
}

fn said(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.code())
}

#[tokio::test]
async fn a_tenant_makes_limits_and_revokes_its_keys() {
    let fixture = Fixture::start("keys", &["--trusted-proxy", "127.0.0.1/32"]).await;
    let (acme, other) = (fixture.system.client(0).unwrap(), fixture.system.client(1).unwrap());
    let expires_at = seconds_from_now(3_600);
    let reader_ask = json!({ "name": "reader", "scopes": ["read", "keys", "read"], "expires_at": expires_at });
    let first = acme.post("/v1/api-keys", "reader", &reader_ask).await.unwrap();
    let again = acme.post("/v1/api-keys", "reader", &reader_ask).await.unwrap();
    assert_eq!((first.status, again.status, again.replayed), (201, 201, true));
    let mut without_key = first.body.clone();
    let key = without_key.as_object_mut().unwrap().remove("key").unwrap();
    assert_eq!(again.body, without_key, "a replay is the first answer without the key");
    assert_eq!((&first.body["scopes"], &first.body["status"]), (&json!(["read", "keys"]), &json!("active")));
    let hint = first.body["hint"].as_str().unwrap();
    assert!(key.as_str().unwrap().ends_with(hint.trim_start_matches("sk_test_****")));
    let other_body = json!({ "name": "reader", "scopes": ["read"] });
    let conflict = acme.post("/v1/api-keys", "reader", &other_body).await.unwrap();
    assert_eq!(said(&conflict), (422, "idempotency_conflict"));

    // It does what it may, and makes no key that may more.
    let reader_id = first.body["id"].as_str().unwrap();
    let reader = acme.with_key(key.as_str().unwrap());
    assert_eq!(status(&reader).await, 200);
    assert_eq!(said(&reader.quote("GBP", "NGN", Amount::Source("1.00")).await.unwrap()), (403, "forbidden"));
    let at_most = seconds_from_now(7_200);
    for (ask, code) in [
        (json!({ "name": "x", "scopes": ["transfers"] }), "scope_not_held"),
        (json!({ "name": "x", "scopes": ["read", "pii"] }), "scope_not_held"),
        (json!({ "name": "x", "scopes": [] }), "scopes_empty"),
        (json!({ "name": "", "scopes": ["read"] }), "name_not_valid"),
        (json!({ "name": "x".repeat(65), "scopes": ["read"] }), "name_not_valid"),
        (json!({ "name": "x\n", "scopes": ["read"] }), "name_not_valid"),
        (json!({ "name": "x", "scopes": ["read"], "expires_at": at_most }), "expiry_not_held"),
        (json!({ "name": "x", "scopes": ["read"], "expires_at": seconds_from_now(-1) }), "expiry_not_valid"),
        (json!({ "name": "x", "scopes": ["read"], "expires_at": "tomorrow" }), "expiry_not_valid"),
        (json!({ "name": "x", "scopes": ["read"], "allowed_ips": [] }), "networks_count"),
        (json!({ "name": "x", "scopes": ["read"], "allowed_ips": vec!["203.0.113.1"; 33] }), "networks_count"),
        (json!({ "name": "x", "scopes": ["read"], "allowed_ips": ["203.0.113.0/33"] }), "network_not_valid"),
        (json!({ "name": "x", "scopes": ["read"], "allowed_ips": ["::ffff:203.0.113.0/120"] }), "network_not_valid"),
        (json!({ "name": "x", "scopes": ["read"], "allowed_ips": ["localhost"] }), "network_not_valid"),
    ] {
        assert_eq!(said(&reader.post("/v1/api-keys", "x", &ask).await.unwrap()), (400, code), "{ask}");
    }
    let (child, _) = made(&reader, "child", json!({ "name": "child", "scopes": ["read"] })).await;
    assert_eq!(shown(&acme, &child).await["expires_at"], first.body["expires_at"], "no longer than its parent");

    // Only from where it may be used, which is no wider for keys that it makes.
    let ask = json!({ "name": "office", "scopes": ["read", "keys"], "allowed_ips": ["203.0.113.7/24", "127.0.0.1", "203.0.113.1"] });
    let (office_id, office) = made(&acme, "office", ask).await;
    assert_eq!(shown(&acme, &office_id).await["allowed_ips"], json!(["127.0.0.1/32", "203.0.113.0/24"]));
    assert_eq!(status(&office).await, 200);
    let forwarded = |client: &str, office: &str| {
        let request = reqwest::Client::new().get(format!("{}/v1/me", fixture.system.facts.api)).bearer_auth(office);
        request.header("x-forwarded-for", client.to_owned()).send()
    };
    let ask = json!({ "name": "far", "scopes": ["read"], "allowed_ips": ["203.0.113.0/24"] });
    let far = acme.post("/v1/api-keys", "far", &ask).await.unwrap().success().unwrap();
    let far_key = far["key"].as_str().unwrap();
    assert_eq!(said(&acme.with_key(far_key).get("/v1/me").await.unwrap()), (403, "address_not_allowed"));
    assert_eq!(forwarded("203.0.113.9", far_key).await.unwrap().status(), 200);
    assert_eq!(forwarded("203.0.113.9, 198.51.100.1", far_key).await.unwrap().status(), 403);
    let wider = json!({ "name": "x", "scopes": ["read"], "allowed_ips": ["203.0.0.0/16"] });
    assert_eq!(said(&office.post("/v1/api-keys", "wider", &wider).await.unwrap()), (400, "network_not_held"));
    let (inherits, _) = made(&office, "inherits", json!({ "name": "inherits", "scopes": ["read"] })).await;
    assert_eq!(shown(&acme, &inherits).await["allowed_ips"], json!(["127.0.0.1/32", "203.0.113.0/24"]));

    // Nobody rotates a key that may more than its own, and other tenants' keys are not there.
    let all = acme.get("/v1/api-keys?limit=200").await.unwrap().success().unwrap();
    let dev = all["data"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
    let rotate = |id: &str| format!("/v1/api-keys/{id}/rotate");
    assert_eq!(said(&reader.post(&rotate(&dev), "steal", &json!({})).await.unwrap()), (403, "forbidden"));
    let from_anywhere = made(&acme, "anywhere", json!({ "name": "anywhere", "scopes": ["read"] })).await.0;
    let stolen = office.post(&rotate(&from_anywhere), "steal", &json!({})).await.unwrap();
    assert_eq!(said(&stolen), (400, "network_not_held"));
    let for_ever = reader.post(&rotate(&from_anywhere), "steal", &json!({})).await.unwrap();
    assert_eq!(said(&for_ever), (400, "expiry_not_held"));
    for id in [reader_id, &office_id, "key_00000000000000000000000000000000"] {
        assert_eq!(said(&other.get(&format!("/v1/api-keys/{id}")).await.unwrap()), (404, "api_key_not_found"));
        assert_eq!(said(&other.post(&rotate(id), "steal", &json!({})).await.unwrap()), (404, "api_key_not_found"));
        let delete = other.delete(&format!("/v1/api-keys/{id}"), "delete").await.unwrap();
        assert_eq!(said(&delete), (404, "api_key_not_found"));
    }

    // A page at a time, each key once.
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = acme.get(&format!("/v1/api-keys?limit=2{cursor}")).await.unwrap().success().unwrap();
        ids.extend(page["data"].as_array().unwrap().iter().map(|key| key["id"].clone()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let listed: Vec<Value> = all["data"].as_array().unwrap().iter().map(|key| key["id"].clone()).collect();
    assert_eq!(ids[1..], listed[..], "and the newest, made since");
    assert!(!all.to_string().contains(&key.as_str().unwrap()[8..]), "no key is ever shown again");

    // Revoked is revoked, within a second, and stays in the list.
    let path = format!("/v1/api-keys/{reader_id}");
    assert_eq!(acme.delete(&path, "revoke").await.unwrap().status, 204);
    assert!(refused(&reader).await < EVERYWHERE);
    for again in ["revoke", "revoke-again"] {
        assert_eq!(acme.delete(&path, again).await.unwrap().status, 204);
    }
    let revoked = shown(&acme, reader_id).await;
    assert!(revoked["status"] == "revoked" && revoked["revoked_at"].is_string(), "{revoked}");
    assert_eq!(said(&acme.post(&rotate(reader_id), "late", &json!({})).await.unwrap()), (404, "api_key_not_found"));
    let replayed = acme.post("/v1/api-keys", "reader", &reader_ask).await.unwrap();
    assert_eq!(replayed.body, without_key, "as it was the first time");

    // When it was used is known some seconds later.
    let begun = Instant::now();
    while shown(&acme, &office_id).await["last_used_at"].is_null() {
        assert!(begun.elapsed() < WRITTEN_DOWN, "its use is not noted");
        tokio::time::sleep(LOOK).await;
    }
    assert_eq!(shown(&acme, &child).await.get("last_used_at"), None, "nobody used it");
    fixture.stop().await;
}

#[tokio::test]
async fn a_replaced_key_works_until_its_stated_end() {
    let fixture = Fixture::start("rotation", &[]).await;
    let acme = fixture.system.client(0).unwrap();
    let (id, old) = made(&acme, "worker", json!({ "name": "worker", "scopes": ["read", "keys"] })).await;
    let path = format!("/v1/api-keys/{id}/rotate");
    let too_long = old.post(&path, "too-long", &json!({ "overlap_s": 2_592_001 })).await.unwrap();
    assert_eq!(said(&too_long), (400, "overlap_too_long"));
    let ask = json!({ "overlap_s": 3 });
    let rotated = old.post(&path, "rotate", &ask).await.unwrap();
    let new = old.with_key(rotated.body["key"].as_str().unwrap());
    let until = OffsetDateTime::parse(rotated.body["old_key_until"].as_str().unwrap(), &Rfc3339).unwrap();
    assert_eq!((&rotated.body["replaces"], &rotated.body["name"]), (&json!(id), &json!("worker")));
    assert_eq!(rotated.body["scopes"], json!(["read", "keys"]));
    assert_eq!((status(&old).await, status(&new).await), (200, 200), "both work");
    let replay = old.post(&path, "rotate", &ask).await.unwrap();
    assert!(
        replay.replayed && replay.body["key"].is_null() && replay.body["id"] == rotated.body["id"],
        "{}",
        replay.body
    );
    assert_eq!(shown(&new, &id).await["expires_at"], rotated.body["old_key_until"]);
    refused(&old).await;
    let late = OffsetDateTime::now_utc() - until;
    assert!(!late.is_negative() && late < time::Duration::seconds(1), "{late}");
    assert_eq!((status(&new).await, shown(&new, &id).await["status"].clone()), (200, json!("expired")));
    // At once, for a key that has leaked.
    let path = format!("/v1/api-keys/{}/rotate", rotated.body["id"].as_str().unwrap());
    let last = new.post(&path, "leaked", &json!({ "overlap_s": 0 })).await.unwrap().success().unwrap();
    assert!(refused(&new).await < EVERYWHERE);
    assert_eq!(status(&new.with_key(last["key"].as_str().unwrap())).await, 200);
    fixture.stop().await;
}

async fn settla(fixture: &Fixture, words: &[&str]) -> Result<String, String> {
    let mut command = tokio::process::Command::new(program());
    let output = command.args(words).arg("--dir").arg(fixture.system.dir()).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[tokio::test]
async fn the_secret_below_the_keys_is_replaced_and_every_key_works_on() {
    let mut fixture = Fixture::start("secret", &[]).await;
    let acme = fixture.system.client(0).unwrap();
    let ask = json!({ "currency": "GBP", "amount": "5.00" });
    let first = acme.post("/v1/treasury/topups", "before", &ask).await.unwrap().success().unwrap();
    made(&acme, "unused", json!({ "name": "unused", "scopes": ["read"] })).await;
    let page = acme.get("/v1/api-keys?limit=1").await.unwrap().success().unwrap();
    let next_page = format!("/v1/api-keys?limit=1&cursor={}", page["next_cursor"].as_str().unwrap());
    let secrets = async |fixture: &Fixture| -> Vec<(u64, String, i64)> {
        let text = settla(fixture, &["key", "secret", "status", "--json"]).await.unwrap();
        let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
        let row = |row: &Value| {
            (
                row["version"].as_u64().unwrap(),
                row["role"].as_str().unwrap().to_owned(),
                row["good_keys"].as_i64().unwrap(),
            )
        };
        rows.iter().map(row).collect()
    };
    let row = |version, role: &str, keys| (version, role.to_owned(), keys);
    assert_eq!(secrets(&fixture).await, [row(1, "signs", 3)]);

    // Verified first: a process that still has the old secret alone must know every key.
    settla(&fixture, &["key", "secret", "next"]).await.unwrap();
    assert_eq!(secrets(&fixture).await, [row(1, "signs", 3), row(2, "verifies", 0)]);
    assert_eq!(status(&acme).await, 200, "the process that runs has the secret of its start");
    fixture.start_again_with(&[], &[]).await;
    assert_eq!(status(&client(&fixture, 0)).await, 200);
    settla(&fixture, &["key", "secret", "next"]).await.unwrap();
    fixture.start_again_with(&[], &[]).await;
    let (acme, other) = (client(&fixture, 0), client(&fixture, 1));
    let made_now = acme.post("/v1/api-keys", "now", &json!({ "name": "now", "scopes": ["read"] })).await.unwrap();
    let made_now = acme.with_key(made_now.success().unwrap()["key"].as_str().unwrap());
    assert_eq!((status(&acme).await, status(&other).await, status(&made_now).await), (200, 200, 200));
    // What is used is hashed anew.
    let begun = Instant::now();
    while secrets(&fixture).await != [row(2, "signs", 3), row(1, "verifies", 1)] {
        assert!(begun.elapsed() < WRITTEN_DOWN, "{:?}", secrets(&fixture).await);
        tokio::time::sleep(LOOK).await;
    }
    let refusal = settla(&fixture, &["key", "secret", "next"]).await.unwrap_err();
    assert!(
        refusal.contains("1 good keys are hashed under secret 1") && refusal.contains("settla key list"),
        "{refusal}"
    );
    let all = acme.get("/v1/api-keys?limit=200").await.unwrap().success().unwrap();
    let unused = all["data"].as_array().unwrap().iter().find(|key| key["name"] == "unused").unwrap()["id"].clone();
    settla(&fixture, &["key", "revoke", unused.as_str().unwrap()]).await.unwrap();
    settla(&fixture, &["key", "secret", "next"]).await.unwrap();
    assert_eq!(secrets(&fixture).await, [row(2, "signs", 3)]);
    fixture.start_again_with(&[], &[]).await;
    let acme = client(&fixture, 0);
    assert_eq!((status(&acme).await, status(&client(&fixture, 1)).await), (200, 200));
    // First answers and cursors do not hang on it.
    let again = acme.post("/v1/treasury/topups", "before", &ask).await.unwrap();
    assert!(again.replayed && again.body == first, "{}", again.body);
    let next_page = acme.get(&next_page).await.unwrap().success().unwrap();
    assert_eq!(next_page["data"][0]["name"], "dev");
    fixture.stop().await;
}

/// A client of the system as it is now: a restart takes another port.
fn client(fixture: &Fixture, tenant: usize) -> ApiClient {
    fixture.system.client(tenant).unwrap()
}
