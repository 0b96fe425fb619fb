use crate::support::{start, views};

const ACCOUNT: &str = "GBP-00000007000100000000000000000000";

#[tokio::test]
async fn accounts_are_listed_and_shown() {
    let gateway = start().await;
    let list = gateway.get("/v1/ledger/accounts").send().await.value();
    assert_eq!(list["data"][0]["id"], ACCOUNT);
    assert_eq!(gateway.get(&format!("/v1/ledger/accounts/{ACCOUNT}")).send().await.value()["balance"], "98740.62");
    for id in ["a%20b".to_owned(), "a".repeat(65)] {
        let answer = gateway.get(&format!("/v1/ledger/accounts/{id}")).send().await;
        assert_eq!((answer.status, answer.problem().as_str()), (404, "ledger_account_not_found"));
    }
}

#[tokio::test]
async fn postings_are_filtered() {
    let gateway = start().await;
    let path = format!("/v1/ledger/postings?transfer_id={}&account={ACCOUNT}", views::transfer_id());
    assert_eq!(gateway.get(&path).send().await.value()["data"][0]["code"], "hold");
    let arguments = gateway.fake.only_call().arguments;
    assert!(arguments.contains("subject: Some(01939d2a-7f0e-7c4e-9a53-a1c2b3d4e5f6)"), "{arguments}");
    assert!(arguments.contains(ACCOUNT) && arguments.contains("limit: 50"), "{arguments}");
    for (query, field) in [("transfer_id=x", "transfer_id"), ("account=", "account")] {
        let answer = gateway.get(&format!("/v1/ledger/postings?{query}")).send().await;
        assert_eq!(answer.problem_at(), (400, "invalid_parameter".into(), Some(field.into())));
    }
}

#[tokio::test]
async fn a_balance_is_asked_for_at_an_instant() {
    let gateway = start().await;
    let path = format!("/v1/ledger/accounts/{ACCOUNT}?at=2026-11-21T12:00:00.5%2B01:00");
    assert_eq!(gateway.get(&path).send().await.status, 200);
    let arguments = gateway.fake.only_call().arguments;
    // Half a second past eleven, in microseconds.
    assert!(arguments.contains("Some(Timestamp(1795258800500000))"), "{arguments}");
    for bad in ["", "yesterday", "2026-11-21", "2026-11-21T12:00:00", "2026-13-01T00:00:00Z", "1795258800"] {
        let answer = gateway.get(&format!("/v1/ledger/accounts/{ACCOUNT}?at={bad}")).send().await;
        assert_eq!(answer.problem_at(), (400, "invalid_parameter".into(), Some("at".into())), "{bad}");
    }
    let twice = gateway.get(&format!("{path}&at=2026-11-21T12:00:00Z")).send().await;
    assert_eq!((twice.status, twice.problem().as_str()), (400, "duplicate_parameter"));
}
