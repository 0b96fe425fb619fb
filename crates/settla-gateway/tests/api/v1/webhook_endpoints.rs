use std::sync::atomic::Ordering;

use settla_port::error::PortError;

use crate::support::fake::Behaviour;
use crate::support::{start, views};

const BODY: &str = r#"{"url":"https://api.example.com/hooks","events":["transfer.completed"]}"#;

#[tokio::test]
async fn the_secret_is_shown_once() {
    let gateway = start().await;
    let first = gateway.post("/v1/webhook-endpoints", BODY).send().await;
    assert_eq!((first.status, first.value()["secret"].as_str()), (201, Some("whsec_canary")));
    assert_eq!(first.value()["id"], views::endpoint_id().to_string());
    assert_eq!(first.header("cache-control"), Some("no-store"));

    gateway.fake.replayed.store(true, Ordering::SeqCst);
    let again = gateway.post("/v1/webhook-endpoints", BODY).send().await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (201, Some("true")));
    assert_eq!(again.value().get("secret"), None);
}

#[tokio::test]
async fn endpoints_are_listed_and_removed() {
    let gateway = start().await;
    assert_eq!(gateway.get("/v1/webhook-endpoints").send().await.value()["data"][0]["status"], "enabled");
    let answer = gateway.delete(&format!("/v1/webhook-endpoints/{}", views::endpoint_id())).send().await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    let answer = gateway.delete("/v1/webhook-endpoints/x").send().await;
    assert_eq!((answer.status, answer.problem().as_str()), (404, "webhook_endpoint_not_found"));
    gateway.fake.behave(Behaviour::Fail(PortError::NotFound("webhook endpoint")));
    let answer = gateway.delete(&format!("/v1/webhook-endpoints/{}", views::endpoint_id())).send().await;
    assert_eq!((answer.status, answer.problem().as_str()), (404, "webhook_endpoint_not_found"));
}

#[tokio::test]
async fn an_endpoint_is_shown_and_changed() {
    let gateway = start().await;
    let path = format!("/v1/webhook-endpoints/{}", views::endpoint_id());
    assert_eq!(gateway.get(&path).send().await.value()["url"], "https://api.example.com/hooks/settla");
    let answer = gateway.patch(&path, r#"{"status":"enabled","events":["topup.credited"]}"#).send().await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    let expected = r#"UpdateEndpoint { url: None, events: Some(["topup.credited"]), status: Some(Enabled) }"#;
    assert!(gateway.fake.seen()[1].arguments.contains(expected), "{:?}", gateway.fake.seen()[1]);
    for (body, code) in [
        (r#"{"status":"deleted"}"#, "invalid_value"),
        (r#"{"secret":"whsec_mine"}"#, "unknown_field"),
        (r#"{"events":"all"}"#, "invalid_type"),
    ] {
        let answer = gateway.patch(&path, body).send().await;
        assert_eq!((answer.status, answer.problem().as_str()), (400, code), "{body}");
    }
    let answer = gateway.patch("/v1/webhook-endpoints/x", "{}").send().await;
    assert_eq!((answer.status, answer.problem().as_str()), (404, "webhook_endpoint_not_found"));
}

#[tokio::test]
async fn a_new_secret_is_shown_once() {
    let gateway = start().await;
    let path = format!("/v1/webhook-endpoints/{}/secret", views::endpoint_id());
    let first = gateway.post(&path, r#"{"overlap_s":60}"#).send().await;
    assert_eq!((first.status, first.value()["secret"].as_str()), (201, Some("whsec_canary")));
    assert_eq!(first.value()["old_secret_until"], "2026-11-22T12:00:00Z");
    assert_eq!(first.header("cache-control"), Some("no-store"));
    assert!(gateway.fake.seen()[0].arguments.contains("RotateSecret { overlap_s: Some(60) }"));
    gateway.fake.replayed.store(true, Ordering::SeqCst);
    let again = gateway.post(&path, "{}").send().await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (201, Some("true")));
    assert_eq!(again.value().get("secret"), None);
    for overlap in ["-1", "1.5", "4294967296", "\"60\""] {
        assert_eq!(gateway.post(&path, &format!("{{\"overlap_s\":{overlap}}}")).send().await.status, 400, "{overlap}");
    }
}

#[tokio::test]
async fn a_test_and_a_range_are_asked_for() {
    let gateway = start().await;
    let path = format!("/v1/webhook-endpoints/{}", views::endpoint_id());
    let answer = gateway.post(&format!("{path}/test"), "").send().await;
    let location = format!("/v1/webhook-deliveries/{}", views::delivery().id);
    assert_eq!((answer.status, answer.header("location")), (201, Some(location.as_str())));
    assert_eq!((answer.value()["event_type"].as_str(), answer.value().get("sequence")), (Some("webhook.test"), None));

    let range = r#"{"from_sequence":1,"to_sequence":9,"which":"undelivered"}"#;
    let answer = gateway.post(&format!("{path}/redeliveries"), range).send().await;
    assert_eq!((answer.status, answer.value()["deliveries"].as_i64()), (201, Some(17)));
    let expected = "CreateRedelivery { from_sequence: 1, to_sequence: 9, which: Undelivered }";
    assert!(gateway.fake.seen()[1].arguments.contains(expected));
    let answer = gateway.post(&format!("{path}/redeliveries"), &range.replace("undelivered", "some")).send().await;
    assert_eq!((answer.status, answer.problem().as_str()), (400, "invalid_value"));
}
