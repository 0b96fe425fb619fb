//! The header that every mutation carries.

use settla_gateway::{Access, routes};

use crate::support::start;

#[tokio::test]
async fn every_mutation_needs_the_key() {
    let gateway = start().await;
    let mut mutations = 0;
    for route in routes() {
        if !route.mutates || !matches!(route.access, Access::Key(_)) {
            continue;
        }
        mutations += 1;
        let answer = gateway.bare(&route).key(gateway.fake.key()).send().await;
        let expected = (400, "idempotency_key_missing".to_owned(), Some("idempotency-key".to_owned()));
        assert_eq!(answer.problem_at(), expected, "{route:?}");
    }
    assert!(mutations >= 7);
    // Everything but plain reads, and what is known only to ask.
    let asks: Vec<_> = routes().into_iter().filter(|r| r.method != "GET" && !r.mutates).map(|r| r.path).collect();
    assert_eq!(asks, ["/v1/routes"]);
    assert!(gateway.fake.seen().is_empty());
}

#[tokio::test]
async fn unusable_keys_are_refused() {
    let gateway = start().await;
    let cancel = format!("/v1/transfers/{}/cancel", crate::support::views::transfer_id());
    for key in ["", "\"\"", "a b", "\"a", "k\u{e9}y", &"a".repeat(256)] {
        let answer = gateway.post(&cancel, "").without("idempotency-key").header("idempotency-key", key).send().await;
        assert_eq!((answer.status, answer.problem().as_str()), (400, "idempotency_key_invalid"), "{key}");
    }
    let twice = gateway.post(&cancel, "").header("idempotency-key", "k-2").send().await;
    assert_eq!(twice.problem(), "idempotency_key_invalid");
    assert!(gateway.fake.seen().is_empty());
}

#[tokio::test]
async fn quoted_and_bare_reach_the_port_alike_and_the_fingerprint_tells_requests_apart() {
    let gateway = start().await;
    let body = r#"{"currency":"GBP","amount":"1.00"}"#;
    let other = r#"{"currency":"GBP","amount":"2.00"}"#;
    for (key, body) in [("k-1", body), ("\"k-1\"", body), ("k-1", other)] {
        let ask = gateway.post("/v1/treasury/topups", body).header("x-request-id", "r");
        let answer = ask.without("idempotency-key").header("idempotency-key", key).send().await;
        assert_eq!(answer.status, 201);
    }
    let seen = gateway.fake.seen();
    assert_eq!(seen[0], seen[1]);
    let print = |index: usize| {
        let arguments = &seen[index].arguments;
        let start = arguments.find("fingerprint").unwrap();
        arguments[start..arguments.find("request_id").unwrap()].to_owned()
    };
    assert_ne!(print(0), print(2));
}
