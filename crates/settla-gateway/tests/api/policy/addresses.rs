//! A key that is limited to networks is good for nothing from anywhere else.

use std::collections::BTreeMap;
use std::sync::Arc;

use settla_gateway::{Access, Gateway, Limits, routes};
use settla_port::Platform;
use settla_port::rate_limit::RateLimits;
use settla_vault::Environment;

use crate::support::fake::Fake;
use crate::support::{Running, start, start_gateway};

fn limit(gateway: &Running, networks: &[&str]) {
    *gateway.fake.allowed_ips.lock().unwrap() = networks.iter().map(|network| network.parse().unwrap()).collect();
}

#[tokio::test]
async fn from_elsewhere_no_route_answers() {
    let gateway = start().await;
    limit(&gateway, &["203.0.113.0/24"]);
    for route in routes().iter().filter(|route| matches!(route.access, Access::Key(_))) {
        let answer = gateway.bare(route).key(gateway.fake.key()).send().await;
        assert_eq!((answer.status, answer.problem().as_str()), (403, "address_not_allowed"), "{route:?}");
        let text = answer.text();
        assert!(!text.contains("203.0.113") && !text.contains("127.0.0.1"), "{text}");
    }
    assert!(gateway.fake.seen().is_empty());
    limit(&gateway, &["203.0.113.0/24", "127.0.0.0/8"]);
    assert_eq!(gateway.get("/v1/me").send().await.status, 200);
}

#[tokio::test]
async fn what_a_client_says_of_itself_is_not_believed() {
    let gateway = start().await;
    limit(&gateway, &["203.0.113.0/24"]);
    for header in ["x-forwarded-for", "forwarded", "x-real-ip", "cf-connecting-ip", "true-client-ip"] {
        let value = if header == "forwarded" { "for=203.0.113.7" } else { "203.0.113.7" };
        let answer = gateway.get("/v1/me").header(header, value).send().await;
        assert_eq!(answer.status, 403, "{header}");
    }
}

#[tokio::test]
async fn what_our_proxy_says_is_believed() {
    let fake = Arc::new(Fake::new(Environment::Test));
    let gateway = Gateway {
        live: None,
        test: Some(fake.clone() as Arc<dyn Platform>),
        providers: BTreeMap::new(),
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        limits: Limits::default(),
    };
    let gateway = start_gateway(gateway, fake).await;
    limit(&gateway, &["203.0.113.0/24"]);
    let from = async |forwarded: &str| gateway.get("/v1/me").header("x-forwarded-for", forwarded).send().await.status;
    assert_eq!(from("203.0.113.7").await, 200);
    assert_eq!(from("198.51.100.1, 203.0.113.7").await, 200);
    assert_eq!(from("203.0.113.7, 198.51.100.1").await, 403, "the client wrote the first one itself");
    assert_eq!(gateway.get("/v1/me").send().await.status, 403, "the proxy itself");
}

#[tokio::test]
async fn a_stolen_key_does_not_use_up_its_owners_requests() {
    let gateway = start().await;
    *gateway.fake.rate_limits.lock().unwrap() = RateLimits { other: 2, ..RateLimits::default() };
    limit(&gateway, &["203.0.113.0/24"]);
    for _ in 0..5 {
        assert_eq!(gateway.get("/v1/me").send().await.status, 403);
    }
    limit(&gateway, &[]);
    assert_eq!(gateway.get("/v1/me").send().await.status, 200);
    assert_eq!(gateway.get("/v1/me").send().await.status, 200);
    assert_eq!(gateway.get("/v1/me").send().await.status, 429);
}
