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
async fn deliveries_are_listed() {
    let gateway = start().await;
    let list = gateway.get("/v1/webhook-deliveries?limit=200").send().await.value();
    assert_eq!(list["data"][0]["attempts"][1]["status"], 200);
}
