//! The same start twice is one; another body under the same key or id is refused; keys are asked for.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use settla_evm::TxHash;
use uuid::Uuid;

use crate::world::{
    ACCOUNT,
    Server::{self, Bank, Fx, Offramp, Onramp, Quayside, Solano},
    World,
};

const CONFLICT: (StatusCode, &str) = (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_conflict");

/// A start that succeeds, a body that differs from it in one amount, and one that is for another id.
struct Start {
    server: Server,
    path: &'static str,
    body: Value,
    changed: Value,
    other: Value,
}

fn starts(world: &World) -> [Start; 3] {
    let (id, other) = (Uuid::now_v7(), Uuid::now_v7());
    let payment = |reference: &str, amount: &str| {
        json!({ "account": ACCOUNT, "currency": "GBP", "amount": amount, "reference": reference,
            "beneficiary": { "name": "Tenant Ltd", "account": "GB33BUKB20201555555555" } })
    };
    [
        Start {
            server: Onramp,
            path: "/v1/orders",
            body: world.order(id, 10_000, 127_000_000),
            changed: world.order(id, 10_001, 127_000_000),
            other: world.order(other, 10_000, 127_000_000),
        },
        Start {
            server: Offramp,
            path: "/v1/payouts",
            body: world.payout(id, 1_000_000, 150_000, TxHash([5; 32])),
            changed: world.payout(id, 1_000_000, 150_001, TxHash([5; 32])),
            other: world.payout(other, 1_000_000, 150_000, TxHash([5; 32])),
        },
        Start {
            server: Bank,
            path: "/v1/payments",
            body: payment("wd-1", "100"),
            changed: payment("wd-1", "101"),
            other: payment("wd-2", "100"),
        },
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_start_twice_is_one() {
    let mut world = World::new().await;
    world.client.top_up("GBP", 1_000_000).await;
    let starts = starts(&world);
    for again in [false, true] {
        for start in &starts {
            let client = &world.client;
            let post = |key: &'static str, body: &Value| {
                let body = body.clone();
                async move { client.post(start.server, start.path, key, &body).await }
            };
            let first = post("k1", &start.body).await;
            assert_eq!(first.0, StatusCode::ACCEPTED, "{}", first.1);
            assert_eq!(post("k1", &start.body).await, first);
            assert_eq!(post("k2", &start.body).await, first, "a new key for a known id is the same start");
            for (key, body) in
                [("k1", &start.changed), ("k3", &start.changed), ("k1", &start.other), ("k2", &start.other)]
            {
                let (status, problem) = post(key, body).await;
                assert_eq!((status, problem["code"].as_str().unwrap()), CONFLICT, "{} {key}", start.path);
            }
            let bare = client.request(Method::POST, start.server, start.path).json(&start.body).send().await.unwrap();
            assert_eq!(bare.status(), StatusCode::BAD_REQUEST);
            assert_eq!(bare.headers()["content-type"], "application/problem+json");
        }
        if !again {
            // All of it holds over a restart too.
            world.restart(|_| ()).await;
        }
    }
    world.client.until(Onramp, "/v1/summary", |summary| summary["orders"]["pending"] == 0).await;
    world.client.until(Bank, "/v1/payments/wd-1", |body| body["payment"]["status"] == "executed").await;
    assert_eq!(world.client.balance("GBP").await, 1_000_000 - 10_000 - 100);
    assert_eq!(world.client.get(Offramp, "/v1/summary").await.1["payouts"]["pending"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn incoming_money_with_a_key_comes_once() {
    let world = World::new().await;
    let body = |amount: &str| json!({ "account": ACCOUNT, "currency": "NGN", "amount": amount, "reference": "r", "payer_name": "P" });
    let first = world.client.post(Bank, "/_control/incoming", "k", &body("7")).await;
    assert_eq!(world.client.post(Bank, "/_control/incoming", "k", &body("7")).await, first);
    let (status, problem) = world.client.post(Bank, "/_control/incoming", "k", &body("8")).await;
    assert_eq!((status, problem["code"].as_str().unwrap()), CONFLICT);
    assert_eq!(world.client.balance("NGN").await, 7);
    world.hook.wait(|events| !events.is_empty()).await;
    let events = world.hook.events();
    assert_eq!((events.len(), events[0].kind.as_str()), (1, "account.credited"));
    assert_eq!(events[0].data["entry"], first.1["entry"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_but_health_asks_for_the_key() {
    let world = World::new().await;
    let urls = &world.client.urls;
    for (base, server, path) in [
        (&urls[&Bank], Bank, "/v1/accounts/x"),
        (&urls[&Bank], Bank, "/_control/incoming"),
        (&urls[&Onramp], Onramp, "/v1/terms"),
        (&urls[&Quayside], Quayside, "/v1/prices"),
        (&urls[&Quayside], Quayside, "/_control/provider"),
        (&urls[&Offramp], Offramp, "/v1/summary"),
        (&urls[&Solano], Solano, "/_control/provider"),
        (&urls[&Fx], Fx, "/v1/rates"),
        (&urls[&Fx], Fx, "/nothing/here"),
    ] {
        let http = &world.client.http;
        let bare = http.get(format!("{base}{path}")).send().await.unwrap();
        assert_eq!(bare.status(), StatusCode::UNAUTHORIZED, "{path}");
        let wrong = http.get(format!("{base}{path}")).bearer_auth("test-key-wrong").send().await.unwrap();
        assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED, "{path}");
        let health = http.get(format!("{base}/health")).send().await.unwrap();
        assert_eq!(health.status(), StatusCode::OK);
        let (status, _) = world.client.get(server, "/nothing/here").await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    }
}
