use crate::support::start;

#[tokio::test]
async fn positions_are_listed_and_shown() {
    let gateway = start().await;
    let list = gateway.get("/v1/treasury/positions").send().await.value();
    assert_eq!((list["data"][0]["available"].as_str(), list.get("next_cursor")), (Some("98740.62"), None));
    assert_eq!(gateway.get("/v1/treasury/positions/GBP").send().await.value()["currency"], "GBP");
    for unknown in ["gbp", "XXX", "GBPX"] {
        let answer = gateway.get(&format!("/v1/treasury/positions/{unknown}")).send().await;
        assert_eq!((answer.status, answer.problem().as_str()), (404, "position_not_found"));
    }
}

#[tokio::test]
async fn topups_are_announced_and_listed() {
    let gateway = start().await;
    let answer = gateway.post("/v1/treasury/topups", r#"{"currency":"GBP","amount":"100.00"}"#).send().await;
    assert_eq!((answer.status, answer.value()["reference"].as_str()), (201, Some("STU7Q2M0W3KX9A1BZC")));
    assert_eq!(gateway.get("/v1/treasury/topups?limit=1").send().await.status, 200);
}

#[tokio::test]
async fn withdrawals_take_either_kind_of_account() {
    let gateway = start().await;
    for account in [
        r#"{"name":"Lemfi Ltd","type":"uk_account","sort_code":"20-00-00","account_number":"55779911"}"#,
        r#"{"type":"iban","iban":"DE89370400440532013000","name":"Lemfi Ltd"}"#,
    ] {
        let body = format!(r#"{{"currency":"GBP","amount":"500.00","reference":"WD-1","account":{account}}}"#);
        let answer = gateway.post("/v1/treasury/withdrawals", &body).send().await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        assert_eq!(answer.value()["state"], "PENDING");
    }
    assert_eq!(gateway.get("/v1/treasury/withdrawals").send().await.status, 200);
}

#[tokio::test]
async fn an_account_of_a_withdrawal_is_read_strictly() {
    let gateway = start().await;
    for (account, code) in [
        (r#"{"name":"L","type":"iban","iban":"DE89370400440532013000","extra":1}"#, "unknown_field"),
        (r#"{"name":"L","type":"iban"}"#, "invalid_value"),
        (r#"{"name":"L","type":"cash"}"#, "invalid_value"),
    ] {
        let body = format!(r#"{{"currency":"GBP","amount":"500.00","reference":"WD-1","account":{account}}}"#);
        let answer = gateway.post("/v1/treasury/withdrawals", &body).send().await;
        assert_eq!((answer.status, answer.problem().as_str()), (400, code), "{account}");
    }
}
