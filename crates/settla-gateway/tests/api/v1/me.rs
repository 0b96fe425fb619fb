use crate::support::start;

#[tokio::test]
async fn the_caller_is_told_who_it_is() {
    let gateway = start().await;
    let me = gateway.get("/v1/me").send().await.value();
    assert_eq!((me["name"].as_str(), me["environment"].as_str()), (Some("Lemfi"), Some("test")));
    assert_eq!(me["scopes"][0], "read");
}
