//! Every error is a problem document of its class.

use std::time::Duration;

use settla_domain::refusal::Refusal;
use settla_gateway::{Limits, routes};
use settla_port::error::PortError;

use crate::support::client::Ask;
use crate::support::fake::Behaviour;
use crate::support::{start, start_with};

#[tokio::test]
async fn each_error_of_the_port_has_its_status() {
    let gateway = start().await;
    for (error, status, code, retry_after) in [
        (PortError::Refused(Refusal::InsufficientFunds), 422, "insufficient_funds", None),
        (PortError::Refused(Refusal::IdempotencyConflict), 422, "idempotency_conflict", None),
        (PortError::Refused(Refusal::QuoteNotFound), 422, "quote_not_found", None),
        (PortError::Refused(Refusal::NotCancellable), 409, "not_cancellable", None),
        (PortError::Refused(Refusal::EndpointDisabled), 409, "endpoint_disabled", None),
        (PortError::Refused(Refusal::DeliveryPending), 409, "delivery_pending", None),
        (PortError::Refused(Refusal::RateStale), 503, "rate_stale", Some("5")),
        (PortError::NotFound("webhook endpoint"), 404, "webhook_endpoint_not_found", None),
        (PortError::Unauthenticated, 401, "unauthenticated", None),
        (PortError::Forbidden("pii"), 403, "forbidden", None),
        (PortError::BadSignature, 403, "bad_signature", None),
        (PortError::InFlight, 409, "request_in_flight", None),
        (PortError::BadCursor, 400, "bad_cursor", None),
        (PortError::Overloaded, 503, "overloaded", Some("1")),
        (PortError::Unavailable, 503, "unavailable", Some("5")),
        (PortError::Internal, 500, "internal_error", None),
    ] {
        gateway.fake.behave(Behaviour::Fail(error));
        let answer = gateway.get("/v1/me").send().await;
        assert_eq!((answer.status, answer.problem().as_str()), (status, code));
        assert_eq!(answer.header("retry-after"), retry_after, "{code}");
        assert_eq!(
            answer.header("www-authenticate").is_some(),
            matches!(code, "unauthenticated" | "forbidden"),
            "{code}"
        );
    }
}

#[tokio::test]
async fn an_invalid_field_is_named() {
    let gateway = start().await;
    let error = PortError::Invalid {
        field: "beneficiary/account/iban",
        code: "iban_checksum",
        message: "the check digits do not fit".into(),
    };
    gateway.fake.behave(Behaviour::Fail(error));
    let answer = gateway.post("/v1/treasury/topups", r#"{"currency":"GBP","amount":"1.00"}"#).send().await;
    assert_eq!(answer.problem_at(), (400, "iban_checksum".into(), Some("beneficiary/account/iban".into())));
    assert_eq!(answer.value()["detail"], "the check digits do not fit");
    assert_eq!(answer.value()["title"], "Iban checksum");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_too() {
    let gateway = start().await;
    for path in ["/", "/v1", "/v1/", "/v1/nothing", "/v1/quotes/", "/v1/me/x", "/metrics", "//v1/me", "/v1/../v1/me"] {
        let answer = gateway.get(path).send().await;
        assert_eq!((answer.status, answer.problem().as_str()), (404, "route_not_found"), "{path}");
    }
    for method in ["PUT", "PATCH", "OPTIONS", "TRACE", "BREW"] {
        let rows = routes();
        let takes = |path| rows.iter().any(|row| row.path == path && row.method == method);
        for path in rows.iter().map(|row| row.path).filter(|path| !takes(*path)) {
            let answer = Ask::new(gateway.at, method, &crate::support::filled(path)).send().await;
            assert_eq!((answer.status, answer.problem().as_str()), (405, "method_not_allowed"), "{method} {path}");
            assert!(answer.header("allow").is_some(), "{path}");
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
    }
}

#[tokio::test]
async fn a_panic_is_an_internal_error_and_the_next_request_is_served() {
    let gateway = start().await;
    gateway.fake.behave(Behaviour::Panic);
    let answer = gateway.get("/v1/me").send().await;
    assert_eq!((answer.status, answer.problem().as_str()), (500, "internal_error"));
    assert!(!answer.text().contains("as told"));
    gateway.fake.behave(Behaviour::Answer);
    assert_eq!(gateway.get("/v1/me").send().await.status, 200);
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_ended() {
    let gateway = start_with(Limits { request_time_max: Duration::from_millis(50), ..Limits::default() }).await;
    gateway.fake.behave(Behaviour::Wait);
    let answer = gateway.get("/v1/me").send().await;
    assert_eq!((answer.status, answer.problem().as_str()), (504, "timeout"));
}

#[tokio::test]
async fn every_answer_has_the_security_headers() {
    let gateway = start().await;
    for ask in [gateway.get("/v1/me"), gateway.get("/nothing"), Ask::new(gateway.at, "GET", "/docs")] {
        let answer = ask.send().await;
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(answer.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
        assert_eq!(answer.header("server"), None);
    }
}

#[tokio::test]
async fn head_is_a_get_without_a_body() {
    let gateway = start().await;
    let head = |path: &str| Ask::new(gateway.at, "HEAD", path).key(gateway.fake.key());
    let answer = head("/v1/me").send().await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    let answer = Ask::new(gateway.at, "HEAD", "/v1/me").send().await;
    assert_eq!((answer.status, answer.body.len()), (401, 0));
}
