//! Query parameters are those of the document and no others.

use settla_gateway::{Access, routes};

use crate::support::start;

#[tokio::test]
async fn an_unknown_parameter_is_refused_everywhere() {
    let gateway = start().await;
    for route in routes() {
        let path = format!("{}?tenant_id=tn_1", crate::support::filled(route.path));
        let ask = crate::support::client::Ask::new(gateway.at, route.method.as_str(), &path);
        let ask = if let Access::Key(_) = route.access { ask.key(gateway.fake.key()) } else { ask };
        let answer = ask.send().await;
        assert_eq!(answer.problem_at(), (400, "unknown_parameter".into(), Some("tenant_id".into())), "{route:?}");
    }
    assert!(gateway.fake.seen().is_empty());
}

#[tokio::test]
async fn a_parameter_counts_once() {
    let gateway = start().await;
    let answer = gateway.get("/v1/transfers?limit=1&limit=2").send().await;
    assert_eq!(answer.problem_at(), (400, "duplicate_parameter".into(), Some("limit".into())));
    let long = gateway.get(&format!("/v1/transfers?{}=1", "x".repeat(5_000))).send().await;
    assert_eq!(long.value()["field"].as_str().unwrap().len(), 64);
}

#[tokio::test]
async fn pages_default_and_cursors_pass() {
    let gateway = start().await;
    gateway.get("/v1/webhook-endpoints").send().await;
    gateway.get("/v1/webhook-endpoints?cursor=a%2Bb%3D&limit=200").send().await;
    let arguments: Vec<_> = gateway.fake.seen().into_iter().map(|seen| seen.arguments).collect();
    let expected = ["PageRequest { limit: 50, cursor: None }", "PageRequest { limit: 200, cursor: Some(\"a+b=\") }"];
    assert_eq!(arguments, expected);
    let answer = gateway.get("/v1/webhook-endpoints?cursor=").send().await;
    assert_eq!(answer.problem_at(), (400, "bad_cursor".into(), Some("cursor".into())));
}
