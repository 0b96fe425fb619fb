use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use settla_gateway::{Gateway, Limits};
use settla_vault::Environment;

use crate::support::client::Ask;
use crate::support::fake::{Behaviour, Fake};
use crate::support::{start, start_gateway, start_with};

#[tokio::test]
async fn alive_without_asking_anything() {
    let gateway = start().await;
    let answer = Ask::new(gateway.at, "GET", "/health/live").send().await;
    assert_eq!((answer.status, answer.value()["status"].as_str()), (200, Some("alive")));
    assert_eq!(gateway.fake.readiness_asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn ready_when_every_dependency_answers() {
    let gateway = start().await;
    let answer = Ask::new(gateway.at, "GET", "/health/ready").send().await;
    let expected = serde_json::json!([{ "environment": "test", "name": "database", "ready": true }]);
    assert_eq!((answer.status, &answer.value()["dependencies"]), (200, &expected));
}

#[tokio::test]
async fn not_ready_is_a_problem_that_names_the_dependency() {
    let gateway = start().await;
    gateway.fake.ready.store(false, Ordering::SeqCst);
    let answer = Ask::new(gateway.at, "GET", "/health/ready").send().await;
    assert_eq!((answer.status, answer.problem().as_str()), (503, "not_ready"));
    assert_eq!(answer.value()["dependencies"][0]["name"], "database");
}

#[tokio::test]
async fn a_silent_platform_is_not_ready() {
    let gateway = start_with(Limits { readiness_time_max: Duration::from_millis(20), ..Limits::default() }).await;
    gateway.fake.behave(Behaviour::Wait);
    let answer = Ask::new(gateway.at, "GET", "/health/ready").send().await;
    assert_eq!((answer.status, answer.value()["dependencies"][0]["ready"].as_bool()), (503, Some(false)));
}

#[tokio::test]
async fn a_burst_of_checks_asks_the_dependencies_once() {
    let gateway = start().await;
    let burst = (0..20).map(|_| tokio::spawn(Ask::new(gateway.at, "GET", "/health/ready").send()));
    for check in burst.collect::<Vec<_>>() {
        assert_eq!(check.await.unwrap().status, 200);
    }
    let asked = gateway.fake.readiness_asked.load(Ordering::SeqCst);
    // Twice at most, in case the burst took longer than an answer stands.
    assert!((1..=2).contains(&asked), "{asked}");
}

#[tokio::test]
async fn a_gateway_without_a_world_is_alive_but_not_ready() {
    let gateway = Gateway {
        live: None,
        test: None,
        providers: BTreeMap::new(),
        trusted_proxies: Vec::new(),
        limits: Limits::default(),
    };
    let running = start_gateway(gateway, Arc::new(Fake::new(Environment::Test))).await;
    assert_eq!(Ask::new(running.at, "GET", "/health/live").send().await.status, 200);
    assert_eq!(Ask::new(running.at, "GET", "/health/ready").send().await.problem(), "not_ready");
}
