use settla_gateway::Limits;
use settla_port::error::PortError;

use crate::support::client::Ask;
use crate::support::fake::Behaviour;
use crate::support::{Running, start, start_with};

fn webhook(gateway: &Running, provider: &str, body: &[u8]) -> Ask {
    Ask::new(gateway.at, "POST", &format!("/webhooks/providers/{provider}"))
        .header("webhook-id", "msg_1")
        .header("webhook-timestamp", "1700000000")
        .header("webhook-signature", "v1,c2ln")
        .body(body)
}

#[tokio::test]
async fn the_bytes_reach_the_port_as_they_came() {
    let gateway = start().await;
    // Not even valid UTF-8: the signature is over bytes.
    let answer = webhook(&gateway, "harbour", b"{\"a\":1, \"a\":2}\xff").send().await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    let call = gateway.fake.only_call();
    let body = format!("body: {:?}", b"{\"a\":1, \"a\":2}\xff".to_vec());
    for part in ["provider: \"harbour\"", "id: \"msg_1\"", "timestamp: \"1700000000\"", "signature: \"v1,c2ln\"", &body]
    {
        assert!(call.arguments.contains(part), "{part} in {}", call.arguments);
    }
}

#[tokio::test]
async fn each_header_is_needed_once() {
    let gateway = start().await;
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let missing = webhook(&gateway, "harbour", b"{}").without(name).send().await;
        assert_eq!(missing.problem_at(), (400, "webhook_header_invalid".into(), Some(name.into())));
        let twice = webhook(&gateway, "harbour", b"{}").header(name, "x").send().await;
        assert_eq!(twice.problem_at(), (400, "webhook_header_invalid".into(), Some(name.into())));
    }
    assert!(gateway.fake.seen().is_empty());
}

#[tokio::test]
async fn unknown_providers_and_unserved_worlds_are_not_found() {
    let gateway = start().await;
    // `meridian` is configured, but for the live world, which this gateway does not serve.
    for provider in ["nobody", "meridian", "HARBOUR"] {
        let answer = webhook(&gateway, provider, b"{}").send().await;
        assert_eq!((answer.status, answer.problem().as_str()), (404, "provider_not_found"), "{provider}");
    }
}

#[tokio::test]
async fn a_bad_signature_is_forbidden_and_trouble_of_ours_asks_for_a_repeat() {
    let gateway = start().await;
    gateway.fake.behave(Behaviour::Fail(PortError::BadSignature));
    let answer = webhook(&gateway, "harbour", b"{}").send().await;
    assert_eq!((answer.status, answer.problem().as_str()), (403, "bad_signature"));
    gateway.fake.behave(Behaviour::Fail(PortError::Unavailable));
    let answer = webhook(&gateway, "harbour", b"{}").send().await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
}

#[tokio::test]
async fn a_key_is_neither_needed_nor_looked_at_and_bodies_are_bounded() {
    let gateway = start_with(Limits { body_bytes_max: 100, ..Limits::default() }).await;
    let answer = webhook(&gateway, "harbour", b"{}").header("authorization", "Bearer nonsense").send().await;
    assert_eq!(answer.status, 204);
    let answer = webhook(&gateway, "harbour", &[b'x'; 101]).send().await;
    assert_eq!((answer.status, answer.problem().as_str()), (413, "body_too_large"));
}
