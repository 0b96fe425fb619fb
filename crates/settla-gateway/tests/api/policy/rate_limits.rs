//! Requests a minute, by tenant and class.

use serde_json::json;
use settla_gateway::{Access, routes};
use settla_port::rate_limit::RateLimits;

use crate::support::{Running, filled, start};

/// One request of each class.
async fn statuses(gateway: &Running) -> [u16; 4] {
    let id = filled("/v1/transfers/{id}/cancel");
    [
        gateway.post("/v1/quotes", "{}").send().await.status,
        gateway.post(&id, "").send().await.status,
        gateway.get("/v1/treasury/positions").send().await.status,
        gateway.get("/v1/me").send().await.status,
    ]
}

#[tokio::test]
async fn each_class_has_a_limit_of_its_own_and_it_is_exact() {
    let gateway = start().await;
    *gateway.fake.rate_limits.lock().unwrap() = RateLimits { quotes: 1, transfers: 2, treasury_reads: 3, other: 4 };
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(statuses(&gateway).await);
    }
    let admitted = |class: usize| seen.iter().map(|statuses| statuses[class] != 429).collect::<Vec<_>>();
    assert_eq!(admitted(0), [true, false, false, false, false]);
    assert_eq!(admitted(1), [true, true, false, false, false]);
    assert_eq!(admitted(2), [true, true, true, false, false]);
    assert_eq!(admitted(3), [true, true, true, true, false]);
    // What was agreed anew counts at once.
    gateway.fake.rate_limits.lock().unwrap().transfers = 3;
    assert_eq!(statuses(&gateway).await.map(|status| status != 429), [false, true, false, false]);
}

#[tokio::test]
async fn a_refusal_says_which_limit_and_when_and_reaches_nothing() {
    let gateway = start().await;
    gateway.fake.rate_limits.lock().unwrap().other = 2;
    let first = gateway.get("/v1/me").send().await;
    assert_eq!((first.status, first.header("ratelimit-policy")), (200, Some("\"other\";q=2;w=60")));
    assert_eq!(first.header("ratelimit"), Some("\"other\";r=1;t=61"));
    gateway.get("/v1/me").send().await;
    let reached = gateway.fake.seen().len();

    let refused = gateway.get("/v1/me").send().await;
    assert_eq!((refused.status, refused.problem().as_str()), (429, "rate_limited"));
    assert_eq!(refused.value()["violated-policies"], json!(["other"]));
    // Seconds pass while the test runs; the wait is as long as the field says.
    let left: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=61).contains(&left), "{left}");
    assert_eq!(refused.header("ratelimit"), Some(format!("\"other\";r=0;t={left}").as_str()));
    assert_eq!(gateway.fake.seen().len(), reached);
}

#[tokio::test]
async fn every_route_with_a_key_counts() {
    let gateway = start().await;
    for route in routes().iter().filter(|route| matches!(route.access, Access::Key(_))) {
        let answer = gateway.bare(route).key(gateway.fake.key()).send().await;
        assert!(answer.header("ratelimit").is_some(), "{route:?}");
        assert!(answer.header("ratelimit-policy").is_some(), "{route:?}");
    }
    let stranger = gateway.bare(&routes()[0]).send().await;
    assert_eq!((stranger.status, stranger.header("ratelimit")), (401, None));
}
