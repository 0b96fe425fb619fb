use std::sync::atomic::Ordering;

use settla_port::error::PortError;

use crate::support::fake::Behaviour;
use crate::support::{start, views};

const BODY: &str = r#"{"name":"worker","scopes":["read","transfers"],"allowed_ips":["203.0.113.0/24"]}"#;

#[tokio::test]
async fn a_key_is_shown_once() {
    let gateway = start().await;
    let rotate = format!("/v1/api-keys/{}/rotate", views::api_key().id);
    for (path, body) in [("/v1/api-keys", BODY), (rotate.as_str(), r#"{"overlap_s":60}"#)] {
        gateway.fake.replayed.store(false, Ordering::SeqCst);
        let first = gateway.post(path, body).send().await;
        assert_eq!((first.status, first.value()["key"].as_str()), (201, Some(gateway.fake.key().expose())), "{path}");
        let location = format!("/v1/api-keys/{}", views::api_key().id);
        assert_eq!(first.header("location"), Some(location.as_str()));
        assert_eq!(first.header("cache-control"), Some("no-store"));
        gateway.fake.replayed.store(true, Ordering::SeqCst);
        let again = gateway.post(path, body).send().await;
        assert_eq!((again.status, again.header("idempotent-replayed")), (201, Some("true")), "{path}");
        assert_eq!(again.value().get("key"), None, "{path}");
    }
    let seen = gateway.fake.seen();
    let asked = r#"CreateApiKey { name: "worker", scopes: [Read, Transfers], expires_at: None, allowed_ips: Some(["203.0.113.0/24"]) }"#;
    assert!(seen[0].arguments.contains(asked), "{:?}", seen[0]);
    assert!(seen[2].arguments.contains("RotateApiKey { overlap_s: Some(60), expires_at: None }"), "{:?}", seen[2]);
    let again = gateway.post(&rotate, r#"{"overlap_s":60}"#).send().await.value();
    assert_eq!((&again["old_key_until"], &again["replaces"]), (&"2026-11-22T12:00:00Z".into(), &again["id"]));
}

#[tokio::test]
async fn keys_are_listed_shown_and_revoked() {
    let gateway = start().await;
    let path = format!("/v1/api-keys/{}", views::api_key().id);
    for shown in
        [gateway.get("/v1/api-keys").send().await.value()["data"][0].clone(), gateway.get(&path).send().await.value()]
    {
        assert_eq!((&shown["hint"], &shown["status"]), (&"sk_test_****3f9a".into(), &"active".into()));
        assert_eq!(shown.get("key"), None);
    }
    let answer = gateway.delete(&path).send().await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    for path in ["/v1/api-keys/x", "/v1/api-keys/tr_01939d2a7f0e7c4e9a53a1c2b3d4e5f6"] {
        let answer = gateway.delete(path).send().await;
        assert_eq!((answer.status, answer.problem().as_str()), (404, "api_key_not_found"), "{path}");
    }
    gateway.fake.behave(Behaviour::Fail(PortError::NotFound("api key")));
    let answer = gateway.get(&path).send().await;
    assert_eq!((answer.status, answer.problem().as_str()), (404, "api_key_not_found"));
}

#[tokio::test]
async fn what_is_no_key_to_be_is_refused() {
    let gateway = start().await;
    for (body, code) in [
        (r#"{"name":"x"}"#, "missing_field"),
        (r#"{"scopes":["read"]}"#, "missing_field"),
        (r#"{"name":"x","scopes":["write"]}"#, "invalid_value"),
        (r#"{"name":"x","scopes":"read"}"#, "invalid_type"),
        (r#"{"name":"x","scopes":["read"],"tenant":2}"#, "unknown_field"),
        (r#"{"name":"x","scopes":["read"],"environment":"live"}"#, "unknown_field"),
        (r#"{"name":"x","scopes":[["read"]]}"#, "invalid_type"),
    ] {
        let answer = gateway.post("/v1/api-keys", body).send().await;
        assert_eq!((answer.status, answer.problem().as_str()), (400, code), "{body}");
    }
    for overlap in ["-1", "1.5", "4294967296", "\"60\""] {
        let path = format!("/v1/api-keys/{}/rotate", views::api_key().id);
        let body = format!("{{\"overlap_s\":{overlap}}}");
        assert_eq!(gateway.post(&path, &body).send().await.status, 400, "{overlap}");
    }
    assert!(gateway.fake.seen().is_empty());
}
