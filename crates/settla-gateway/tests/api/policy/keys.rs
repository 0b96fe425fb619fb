//! Who is let in. Driven by the route table, so a new route is covered by being there.

use std::collections::BTreeMap;
use std::sync::Arc;

use settla_gateway::{Access, Gateway, Limits, routes};
use settla_port::Platform;
use settla_port::caller::Scope;
use settla_vault::{ApiKey, Environment};

use crate::support::client::Ask;
use crate::support::fake::Fake;
use crate::support::{filled, start, start_gateway};

#[tokio::test]
async fn without_a_key_nothing_of_v1_answers_but_the_document() {
    let gateway = start().await;
    for route in routes().iter().filter(|route| route.path.starts_with("/v1/")) {
        let answer = gateway.bare(route).send().await;
        if route.path == "/v1/openapi.json" {
            assert_eq!(answer.status, 200);
            continue;
        }
        assert!(matches!(route.access, Access::Key(_)), "{route:?}");
        assert_eq!(answer.status, 401, "{route:?}");
        if route.method == "HEAD" {
            continue;
        }
        assert_eq!(answer.problem(), "unauthenticated");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    assert!(gateway.fake.seen().is_empty());
}

#[tokio::test]
async fn a_key_without_the_scope_is_forbidden() {
    let gateway = start().await;
    for route in routes() {
        let Access::Key(scope) = route.access else { continue };
        let others: Vec<_> = Scope::ALL.into_iter().filter(|other| *other != scope).collect();
        let answer = gateway.bare(&route).key(&gateway.fake.key_with(&others)).send().await;
        assert_eq!((answer.status, answer.problem().as_str()), (403, "forbidden"), "{route:?}");
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.contains("insufficient_scope") && challenge.contains(scope.name()), "{challenge}");
    }
    assert!(gateway.fake.seen().is_empty());
}

#[tokio::test]
async fn only_a_well_formed_key_in_the_right_place_counts() {
    let gateway = start().await;
    let key = gateway.fake.key().expose().to_owned();
    let upper = key.to_ascii_uppercase();
    for value in [
        format!("Basic {key}"),
        key.clone(),
        format!("Bearer  {key}"),
        format!("Bearer {key}x"),
        format!("Bearer {upper}"),
        format!("Bearer {key},Bearer {key}"),
        "Bearer ".to_owned(),
        "Bearer".to_owned(),
        format!("Bearer {}", ApiKey::generate(Environment::Test).expose()),
        // No live world here.
        format!("Bearer {}", ApiKey::generate(Environment::Live).expose()),
    ] {
        let answer = Ask::new(gateway.at, "GET", "/v1/me").header("authorization", &value).send().await;
        assert_eq!((answer.status, answer.problem().as_str()), (401, "unauthenticated"), "{value}");
        assert!(!answer.text().contains(&key[8..]));
    }
    let twice = gateway.get("/v1/me").key(gateway.fake.key()).send().await;
    assert_eq!(twice.status, 401);
    for place in [format!("/v1/me?api_key={key}"), format!("/v1/me?access_token={key}")] {
        assert_eq!(
            Ask::new(gateway.at, "GET", &place).header("cookie", &format!("key={key}")).send().await.status,
            401
        );
    }
    let lower = Ask::new(gateway.at, "GET", "/v1/me").header("authorization", &format!("bearer {key}")).send().await;
    assert_eq!(lower.status, 200);
}

#[tokio::test]
async fn the_prefix_picks_the_world() {
    let live = Arc::new(Fake::new(Environment::Live));
    let test = Arc::new(Fake::new(Environment::Test));
    let gateway = Gateway {
        live: Some(live.clone() as Arc<dyn Platform>),
        test: Some(test.clone() as Arc<dyn Platform>),
        providers: BTreeMap::new(),
        trusted_proxies: Vec::new(),
        limits: Limits::default(),
    };
    let running = start_gateway(gateway, test.clone()).await;
    for (one, other) in [(&live, &test), (&test, &live)] {
        let before = other.seen().len();
        let answer = Ask::new(running.at, "GET", "/v1/me").key(one.key()).send().await;
        assert_eq!((answer.status, other.seen().len()), (200, before));
    }
    assert_eq!((live.seen().len(), test.seen().len()), (1, 1));
}

#[tokio::test]
async fn a_caller_of_the_other_world_is_not_believed() {
    let gateway = start().await;
    *gateway.fake.claimed.lock().unwrap() = Environment::Live;
    assert_eq!(gateway.get("/v1/me").send().await.status, 401);
    assert!(gateway.fake.seen().is_empty());
}

#[tokio::test]
async fn every_route_answers_a_key_that_may() {
    let gateway = start().await;
    for route in routes() {
        let Access::Key(scope) = route.access else { continue };
        let key = gateway.fake.key_with(&[scope]);
        let ask = Ask::new(gateway.at, route.method.as_str(), &filled(route.path)).key(&key);
        let answer = match route.method.as_str() {
            "GET" => ask.send().await,
            _ => ask.header("idempotency-key", "k").json("{}").send().await,
        };
        // A body of `{}` lacks fields where there must be some; that is past the key, which is the point.
        assert!(matches!(answer.status, 200 | 201 | 204 | 400), "{route:?}: {}", answer.status);
        if answer.status == 400 {
            assert_eq!(answer.problem(), "missing_field", "{route:?}");
        }
    }
}
