use std::sync::atomic::Ordering;

use settla_domain::refusal::Refusal;
use settla_port::error::PortError;

use crate::support::fake::Behaviour;
use crate::support::{start, views};

const BODY: &str = r#"{"source_currency":"GBP","destination_currency":"NGN","source_amount":"1250.00"}"#;

#[tokio::test]
async fn a_quote_is_created_and_told_where_it_is() {
    let gateway = start().await;
    let answer = gateway.post("/v1/quotes", BODY).header("x-request-id", "r-1").send().await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("location"), Some(format!("/v1/quotes/{}", views::quote_id()).as_str()));
    assert_eq!(answer.header("idempotent-replayed"), None);
    assert_eq!(answer.value()["id"], views::quote_id().to_string());
    assert_eq!(answer.value()["debit"]["amount"], "1259.38");

    let call = gateway.fake.only_call();
    assert_eq!(call.method, "create_quote");
    for part in
        ["idempotency_key: \"k-1\"", "request_id: \"r-1\"", "source_amount: Some(\"1250.00\")", "stablecoin: None"]
    {
        assert!(call.arguments.contains(part), "{part} in {}", call.arguments);
    }
}

#[tokio::test]
async fn a_replay_says_so() {
    let gateway = start().await;
    gateway.fake.replayed.store(true, Ordering::SeqCst);
    let answer = gateway.post("/v1/quotes", BODY).send().await;
    assert_eq!((answer.status, answer.header("idempotent-replayed")), (201, Some("true")));
}

#[tokio::test]
async fn a_quote_is_shown_and_a_wrong_id_is_not_found() {
    let gateway = start().await;
    let answer = gateway.get(&format!("/v1/quotes/{}", views::quote_id())).send().await;
    assert_eq!((answer.status, answer.value()["id"].as_str()), (200, Some(views::quote_id().to_string().as_str())));
    for id in ["x", "tr_01939d2a7f0e7c4e9a53a1c2b3d4e5f6", "qt_", "qt_01939D2A7F0E7C4E9A53A1C2B3D4E5F6", "%ff", "..%2f"]
    {
        let answer = gateway.get(&format!("/v1/quotes/{id}")).send().await;
        assert_eq!((answer.status, answer.problem().as_str()), (404, "quote_not_found"), "{id}");
    }
    gateway.fake.behave(Behaviour::Fail(PortError::Refused(Refusal::QuoteNotFound)));
    let answer = gateway.get(&format!("/v1/quotes/{}", views::quote_id())).send().await;
    assert_eq!((answer.status, answer.problem().as_str()), (404, "quote_not_found"));
}
