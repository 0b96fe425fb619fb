//! The bank, the feed, and what the on-ramp refuses because of either.

use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{
    ACCOUNT,
    Server::{Bank, Fx, Offramp, Onramp},
    World, sum,
};

fn payment(reference: &str, amount: &str) -> Value {
    json!({ "account": ACCOUNT, "currency": "GBP", "amount": amount, "reference": reference,
        "beneficiary": { "name": "Tenant Ltd", "account": "GB33BUKB20201555555555" } })
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_go_out_once_and_never_overdraw() {
    let world = World::new().await;
    let client = &world.client;
    client.top_up("GBP", 1_000).await;
    for n in 0..6 {
        let reference = format!("wd-{n}");
        let (status, body) = client.post(Bank, "/v1/payments", &reference, &payment(&reference, "300")).await;
        assert_eq!((status, &body["payment"]["status"]), (StatusCode::ACCEPTED, &"pending".into()));
    }
    world.hook.wait(|events| events.iter().filter(|event| event.kind == "payment.updated").count() == 6).await;
    let events = world.hook.events();
    let ended = |status: &str| events.iter().filter(|event| event.data["payment"]["status"] == status).count();
    assert_eq!((ended("executed"), ended("rejected")), (3, 3));
    assert_eq!(client.balance("GBP").await, 100);
    let entries = client.statement(Bank, &format!("/v1/accounts/{ACCOUNT}/statement")).await;
    assert_eq!((entries.len(), sum(&entries, "GBP")), (4, 100));
    assert_eq!(client.get(Bank, "/v1/payments/nothing").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_onramp_refuses_without_taking_anything() {
    let world = World::new().await;
    let client = &world.client;
    client.top_up("GBP", 10_000).await;
    let usdc = client.usdc_for_gbp(10_001).await;
    for (gbp, usdc, reason) in
        [(10_001, usdc, "insufficient_mandate_funds"), (9_000, usdc * 2, "rate_moved"), (9_000, usdc / 2, "rate_moved")]
    {
        let id = Uuid::now_v7();
        client.post(Onramp, "/v1/orders", &id.to_string(), &world.order(id, gbp, usdc)).await;
        let path = format!("/v1/orders/{id}");
        let body = client.until(Onramp, &path, |body| body["order"]["status"] != "pending").await;
        assert_eq!((&body["order"]["status"], &body["order"]["reason"]), (&"rejected".into(), &reason.into()));
    }
    world.check_books(10_000, 0).await;
    assert_eq!(client.balance("GBP").await, 10_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_make_no_sense_are_refused_and_leave_nothing() {
    let world = World::new().await;
    let client = &world.client;
    let id = Uuid::now_v7();
    let order = |field: &str, value: Value| {
        let mut order = world.order(id, 10_000, 127_000_000);
        order[field] = value;
        order
    };
    let bad = [
        order("source", json!({ "currency": "GBP", "amount": "0" })),
        order("source", json!({ "currency": "GBP", "amount": "1e3" })),
        order("source", json!({ "currency": "GBP", "amount": 100 })),
        order("source", json!({ "currency": "USDC", "amount": "1" })),
        order("source", json!({ "currency": "XXX", "amount": "1" })),
        order("destination", json!({ "currency": "USDT", "amount": "1" })),
        order("wallet_address", json!("0x0000000000000000000000000000000000000000")),
        order("wallet_address", json!(world.ground.token.address())),
        order("wallet_address", json!("0x12")),
        order("bank_account", json!("")),
        json!({}),
        json!([]),
    ];
    for body in bad {
        let (status, problem) = client.post(Onramp, "/v1/orders", "k", &body).await;
        assert!(status.is_client_error(), "{body}: {status}");
        assert!(problem["code"].is_string());
    }
    assert_eq!(client.get(Onramp, &format!("/v1/orders/{id}")).await.0, StatusCode::NOT_FOUND);
    let mut payout = world.payout(id, 1, 1, settla_evm::TxHash([1; 32]));
    payout["return_address"] = json!(world.deposit);
    assert_eq!(client.post(Offramp, "/v1/payouts", "k", &payout).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let statement = format!("/v1/accounts/{ACCOUNT}/statement?limit=1001");
    assert_eq!(client.get(Bank, &statement).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_answer_for_what_is_there() {
    let world = World::new().await;
    let client = &world.client;
    let (there, missing) = (Uuid::now_v7(), Uuid::now_v7());
    client.post(Onramp, "/v1/orders", "k", &world.order(there, 10_000, 127_000_000)).await;
    client.post(Offramp, "/v1/payouts", "k", &world.payout(there, 1, 1, settla_evm::TxHash([1; 32]))).await;
    let ids = json!([missing, there]);
    let (_, orders) = client.post(Onramp, "/v1/orders/query", "", &json!({ "client_order_ids": ids })).await;
    assert_eq!(orders["orders"].as_array().unwrap().len(), 1);
    assert_eq!(orders["orders"][0]["client_order_id"], there.to_string());
    let (_, payouts) = client.post(Offramp, "/v1/payouts/query", "", &json!({ "client_payout_ids": ids })).await;
    assert_eq!(payouts["payouts"][0]["client_payout_id"], there.to_string());
    let many = json!({ "client_order_ids": vec![there; 501] });
    assert_eq!(client.post(Onramp, "/v1/orders/query", "", &many).await.0, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_feed_stays_where_it_was() {
    let mut world = World::new().await;
    let as_of = |rates: &Value| rates["rates"][0]["as_of"].as_str().unwrap().to_owned();
    let (_, moving) = world.client.get(Fx, "/v1/rates").await;
    assert_eq!(moving["rates"].as_array().unwrap().len(), 24);
    assert_eq!(world.client.post(Fx, "/_control/fx", "", &json!({ "frozen": true })).await.0, StatusCode::OK);
    let (_, frozen) = world.client.get(Fx, "/v1/rates").await;
    world.restart(|_| ()).await;
    assert_eq!(world.client.get(Fx, "/v1/rates").await.1, frozen);
    world.client.post(Fx, "/_control/fx", "", &json!({ "frozen": false })).await;
    assert_ne!(as_of(&world.client.get(Fx, "/v1/rates").await.1), as_of(&frozen));
}
