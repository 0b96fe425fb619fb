use crate::support::{start, views};

#[tokio::test]
async fn deliveries_are_listed_filtered_and_shown() {
    let gateway = start().await;
    let list = gateway.get("/v1/webhook-deliveries?limit=200").send().await.value();
    assert_eq!(list["data"][0]["attempts"][1]["status"], 200);
    let endpoint = views::endpoint_id();
    gateway.get(&format!("/v1/webhook-deliveries?status=failed&endpoint_id={endpoint}")).send().await;
    let expected = format!("DeliveryFilter {{ endpoint: Some({endpoint:?}), status: Some(Failed) }}");
    assert!(gateway.fake.seen()[1].arguments.contains(&expected), "{:?}", gateway.fake.seen()[1]);
    for (query, field) in [("status=lost", "status"), ("endpoint_id=whe_1", "endpoint_id")] {
        let answer = gateway.get(&format!("/v1/webhook-deliveries?{query}")).send().await;
        assert_eq!(answer.problem_at(), (400, "invalid_parameter".into(), Some(field.into())));
    }
    let path = format!("/v1/webhook-deliveries/{}", views::delivery().id);
    assert_eq!(gateway.get(&path).send().await.value()["attempts"][0]["number"], 1);
    let answer = gateway.get("/v1/webhook-deliveries/x").send().await;
    assert_eq!((answer.status, answer.problem().as_str()), (404, "webhook_delivery_not_found"));
}

#[tokio::test]
async fn one_is_delivered_once_more() {
    let gateway = start().await;
    let path = format!("/v1/webhook-deliveries/{}", views::delivery().id);
    let answer = gateway.post(&format!("{path}/redeliver"), "").send().await;
    assert_eq!((answer.status, answer.header("location")), (201, Some(path.as_str())));
    assert_eq!((answer.value()["status"].as_str(), answer.value()["redelivery"].as_i64()), (Some("pending"), Some(1)));
}
