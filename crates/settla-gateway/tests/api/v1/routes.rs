use crate::support::start;

const BODY: &str = r#"{"source_currency":"GBP","destination_currency":"NGN","source_amount":"1250.00"}"#;

#[tokio::test]
async fn ways_are_compared_without_a_key_for_a_repeat() {
    let gateway = start().await;
    let answer = gateway.post("/v1/routes", BODY).without("idempotency-key").send().await;
    assert_eq!((answer.status, answer.header("idempotent-replayed")), (200, None));
    let first = &answer.value()["data"][0];
    assert_eq!((first["score"].as_f64(), first["price"]["on_ramp"].as_str()), (Some(96.4), Some("harbour")));
    assert_eq!(gateway.fake.only_call().method, "routes");
}

#[tokio::test]
async fn the_question_is_read_as_strictly_as_a_quotes() {
    let gateway = start().await;
    for (body, code) in [
        ("", "invalid_json"),
        (r#"{"source_currency":"GBP"}"#, "missing_field"),
        (r#"{"source_currency":"GBP","destination_currency":"NGN","tenant":"7"}"#, "unknown_field"),
    ] {
        let answer = gateway.post("/v1/routes", body).send().await;
        assert_eq!((answer.status, answer.problem().as_str()), (400, code), "{body}");
    }
    assert!(gateway.fake.seen().is_empty());
}
