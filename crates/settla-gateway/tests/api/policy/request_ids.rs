//! `x-request-id` in, out, and in problem documents.

use crate::support::start;

#[tokio::test]
async fn a_sane_id_is_echoed_and_reaches_the_port() {
    let gateway = start().await;
    let answer = gateway.get("/v1/me").header("x-request-id", "abc.DEF_1-2").send().await;
    assert_eq!(answer.header("x-request-id"), Some("abc.DEF_1-2"));
    let body = r#"{"currency":"GBP","amount":"1.00"}"#;
    gateway.post("/v1/treasury/topups", body).header("x-request-id", "abc").send().await;
    assert!(gateway.fake.seen()[1].arguments.contains("request_id: \"abc\""));
}

#[tokio::test]
async fn any_other_is_replaced() {
    let gateway = start().await;
    for id in ["a b", "a\"b", "{x}", &"a".repeat(129)] {
        let answer = gateway.get("/v1/me").header("x-request-id", id).send().await;
        let made = answer.header("x-request-id").unwrap();
        assert!(made.starts_with("req_") && made.len() == 36, "{made}");
    }
}

#[tokio::test]
async fn problems_name_it_even_where_no_route_is() {
    let gateway = start().await;
    for path in ["/nothing", "/v1/me?x=1", "/v1/quotes/x"] {
        let answer = gateway.get(path).header("x-request-id", "r-9").send().await;
        answer.problem();
        assert_eq!(answer.value()["request_id"], "r-9", "{path}");
    }
}
