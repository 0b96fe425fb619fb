use settla_port::error::PortError;

use crate::support::fake::Behaviour;
use crate::support::{start, views};

#[tokio::test]
async fn batches_are_listed_without_their_members_and_shown_with_them() {
    let gateway = start().await;
    let id = views::settlement_batch().id.to_string();
    let listed = gateway.get("/v1/settlement-batches?limit=5").send().await;
    assert_eq!((listed.status, listed.value()["data"][0]["id"].as_str()), (200, Some(id.as_str())));
    let shown = gateway.get(&format!("/v1/settlement-batches/{id}")).send().await;
    assert_eq!((shown.status, shown.value()["status"].as_str()), (200, Some("done")));
    let calls = gateway.fake.seen();
    assert_eq!(calls.iter().map(|call| call.method).collect::<Vec<_>>(), ["settlement_batches", "settlement_batch"]);
    assert!(calls[0].arguments.contains("limit: 5"), "{}", calls[0].arguments);
}

#[tokio::test]
async fn what_is_no_batch_of_the_tenants_is_not_found() {
    let gateway = start().await;
    for id in ["x", "tr_01939d2a7f0e7c4e9a53a1c2b3d4e5f6", "sb_"] {
        let answer = gateway.get(&format!("/v1/settlement-batches/{id}")).send().await;
        assert_eq!((answer.status, answer.problem().as_str()), (404, "settlement_batch_not_found"), "{id}");
    }
    gateway.fake.behave(Behaviour::Fail(PortError::NotFound("settlement_batch")));
    let answer = gateway.get(&format!("/v1/settlement-batches/{}", views::settlement_batch().id)).send().await;
    assert_eq!((answer.status, answer.problem().as_str()), (404, "settlement_batch_not_found"));
}
