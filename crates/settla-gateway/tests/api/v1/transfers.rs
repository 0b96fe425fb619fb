use settla_domain::refusal::Refusal;
use settla_port::error::PortError;

use crate::support::fake::Behaviour;
use crate::support::{start, views};

const BODY: &str = r#"{
    "quote_id": "qt_01939d2a7f0e7c4e9a53a1c2b3d4e5f6", "reference": "INV-1",
    "sender": {"name": "Ada Obi Ltd"},
    "beneficiary": {"name": "Chinedu Okafor", "country": "NG",
        "account": {"type": "nuban", "bank_code": "011", "account_number": "0000014579"}}
}"#;

fn transfer_path() -> String {
    format!("/v1/transfers/{}", views::transfer_id())
}

#[tokio::test]
async fn a_transfer_is_created_and_told_where_it_is() {
    let gateway = start().await;
    let answer = gateway.post("/v1/transfers", BODY).send().await;
    assert_eq!((answer.status, answer.header("location")), (201, Some(transfer_path().as_str())));
    assert_eq!(answer.value()["beneficiary"]["account"], "****4579");
    // Even a debug print of the whole request shows masked data.
    let call = gateway.fake.only_call();
    assert!(call.arguments.contains("C***") && !call.arguments.contains("Okafor"), "{}", call.arguments);
}

#[tokio::test]
async fn a_quote_named_in_the_body_is_refused_and_one_named_in_the_path_not_found() {
    let gateway = start().await;
    gateway.fake.behave(Behaviour::Fail(PortError::Refused(Refusal::QuoteNotFound)));
    let answer = gateway.post("/v1/transfers", BODY).send().await;
    assert_eq!((answer.status, answer.problem().as_str()), (422, "quote_not_found"));

    gateway.fake.behave(Behaviour::Fail(PortError::Refused(Refusal::TransferNotFound)));
    let answer = gateway.post(&format!("{}/cancel", transfer_path()), "").send().await;
    assert_eq!((answer.status, answer.problem().as_str()), (404, "transfer_not_found"));
}

#[tokio::test]
async fn lists_pass_filter_and_page_on() {
    let gateway = start().await;
    *gateway.fake.next_cursor.lock().unwrap() = Some("next".into());
    let answer = gateway.get("/v1/transfers?state=COMPLETED&reference=INV%201&limit=7&cursor=abc").send().await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.value()["next_cursor"], "next");
    assert_eq!(answer.value()["data"][0]["id"], views::transfer_id().to_string());
    let expected = "(TransferFilter { state: Some(Completed), reference: Some(\"INV 1\") }, PageRequest { limit: 7, cursor: Some(\"abc\") })";
    assert_eq!(gateway.fake.only_call().arguments, expected);
}

#[tokio::test]
async fn unusable_filters_are_named() {
    let gateway = start().await;
    for (query, field) in [
        ("state=completed", "state"),
        ("state=", "state"),
        ("reference=", "reference"),
        ("reference=%00", "reference"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
    ] {
        let answer = gateway.get(&format!("/v1/transfers?{query}")).send().await;
        assert_eq!(answer.problem_at(), (400, "invalid_parameter".into(), Some(field.into())), "{query}");
    }
    assert!(gateway.fake.seen().is_empty());
}

#[tokio::test]
async fn one_transfer_its_events_and_its_end() {
    let gateway = start().await;
    assert_eq!(gateway.get(&transfer_path()).send().await.value()["state"], "FUNDED");
    let events = gateway.get(&format!("{}/events?limit=1", transfer_path())).send().await;
    assert_eq!(events.value()["data"][0]["type"], "transfer.completed");
    for body in ["", "{}"] {
        let answer = gateway.post(&format!("{}/cancel", transfer_path()), body).send().await;
        assert_eq!((answer.status, answer.header("location")), (200, None));
    }
    let answer = gateway.post(&format!("{}/cancel", transfer_path()), r#"{"force":true}"#).send().await;
    assert_eq!((answer.status, answer.problem().as_str()), (400, "body_not_expected"));
    for path in ["/v1/transfers/x", "/v1/transfers/x/events"] {
        assert_eq!(gateway.get(path).send().await.problem(), "transfer_not_found");
    }
    assert_eq!(gateway.post("/v1/transfers/x/cancel", "").send().await.problem(), "transfer_not_found");
}

#[tokio::test]
async fn too_late_to_cancel_is_a_conflict() {
    let gateway = start().await;
    gateway.fake.behave(Behaviour::Fail(PortError::Refused(Refusal::NotCancellable)));
    let answer = gateway.post(&format!("{}/cancel", transfer_path()), "").send().await;
    assert_eq!((answer.status, answer.problem().as_str()), (409, "not_cancellable"));
}
