//! Cut off and started again on the same folder: everything ends, nothing happens twice.

use std::time::Duration;

use settla_sandbox::{Sandbox, SandboxError};
use uuid::Uuid;

use crate::world::{
    Server::{Bank, Offramp, Onramp},
    World,
};

const ORDERS: usize = 30;
const TOP_UP: u128 = 10_000_000;
const USDC: u128 = 1_000_000;
const NGN: u128 = 150_000;

#[tokio::test(flavor = "multi_thread")]
async fn orders_and_payouts_carry_on_after_every_cut() {
    let mut world = World::with(|config| config.latency_ms = 400).await;
    world.client.top_up("GBP", TOP_UP).await;
    world.ground.mint(USDC * ORDERS as u128).await;
    let gbp = 10_000;
    let asked = world.client.usdc_for_gbp(gbp).await;
    let orders: Vec<Uuid> = (0..ORDERS).map(|_| Uuid::now_v7()).collect();
    let payouts: Vec<(Uuid, u128)> = (0..ORDERS).map(|_| (Uuid::now_v7(), USDC)).collect();
    let tx_hash = world.settle(&payouts).await;
    for (n, (order, (payout, _))) in orders.iter().zip(&payouts).enumerate() {
        let body = world.order(*order, gbp, asked);
        world.client.post(Onramp, "/v1/orders", &order.to_string(), &body).await;
        // Every third is rejected, so tokens go back as well.
        let ngn = if n % 3 == 0 { 400_000_001 } else { NGN };
        let body = world.payout(*payout, USDC, ngn, tx_hash);
        world.client.post(Offramp, "/v1/payouts", &payout.to_string(), &body).await;
    }
    // Cuts all over the time in which the work is done.
    for wait_ms in [0, 120, 230, 340, 450, 170, 60] {
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        world.restart(|config| config.latency_ms = 400).await;
    }
    world.client.until(Onramp, "/v1/summary", |summary| summary["orders"]["completed"] == ORDERS).await;
    let rejected = ORDERS.div_ceil(3);
    let paid = ORDERS - rejected;
    let done =
        |summary: &serde_json::Value| summary["payouts"]["paid"] == paid && summary["payouts"]["rejected"] == rejected;
    let summary = world.client.until(Offramp, "/v1/summary", done).await;
    assert_eq!(summary["paid"][0]["amount"], (NGN * paid as u128).to_string());
    assert_eq!(world.client.balance("GBP").await, i128::try_from(TOP_UP - gbp * ORDERS as u128).unwrap());
    assert_eq!(world.client.statement(Onramp, "/v1/statement").await.len(), ORDERS);
    world.check_books(i128::try_from(TOP_UP).unwrap(), USDC * ORDERS as u128).await;
    // And after one more start the books are the same.
    world.shutdown().await;
    world.restart(|_| ()).await;
    world.check_books(i128::try_from(TOP_UP).unwrap(), USDC * ORDERS as u128).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_of_starts_is_never_answered_but_done() {
    let world = World::with(|config| config.providers[0].unknown_permille = 1_000).await;
    world.client.top_up("GBP", TOP_UP).await;
    let id = Uuid::now_v7();
    let body = world.order(id, 10_000, world.client.usdc_for_gbp(10_000).await);
    let post = world.client.try_post(Onramp, "/v1/orders", "k", &body);
    let path = format!("/v1/orders/{id}");
    let enquiry = world.client.until(Onramp, &path, |body| body["order"]["status"] == "completed");
    let (answer, _) = tokio::join!(post, enquiry);
    assert!(answer.unwrap_err().is_timeout());
    assert!(world.hook.about(&id.to_string()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_folder_has_one_sandbox() {
    let world = World::new().await;
    let second = Sandbox::start(world.ground.config()).await;
    assert!(matches!(second, Err(SandboxError::InUse(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_treasury_delivers_when_it_is_filled() {
    let world = World::with(|config| {
        config.funder = config.funder.map(|funder| settla_sandbox::Funder { treasury_tokens: 1, ..funder });
    })
    .await;
    world.client.top_up("GBP", TOP_UP).await;
    let id = Uuid::now_v7();
    let asked = world.client.usdc_for_gbp(10_000).await;
    world.client.post(Onramp, "/v1/orders", "k", &world.order(id, 10_000, asked)).await;
    world.client.until(Onramp, "/v1/summary", |summary| summary["fiat_taken"][0]["amount"] == "10000").await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    let path = format!("/v1/orders/{id}");
    assert_eq!(world.client.get(Onramp, &path).await.1["order"]["status"], "pending");
    let ground = &world.ground;
    ground.token.mint(&ground.rpc, &ground.dev, world.treasury, asked).await.unwrap();
    world.client.until(Onramp, &path, |body| body["order"]["status"] == "completed").await;
    assert_eq!(ground.tokens(ground.wallet).await, asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reverted_delivery_is_delivered_once_later() {
    let world = World::new().await;
    world.client.top_up("GBP", TOP_UP).await;
    let ground = &world.ground;
    // The issuer stops the token: transfers are mined and reverted.
    ground.token.pause(&ground.rpc, &ground.dev).await.unwrap();
    let id = Uuid::now_v7();
    let asked = world.client.usdc_for_gbp(10_000).await;
    world.client.post(Onramp, "/v1/orders", "k", &world.order(id, 10_000, asked)).await;
    let reverted = async {
        while ground.rpc.nonce(world.treasury).await.unwrap() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), reverted).await.expect("no delivery was tried");
    assert_eq!(ground.tokens(ground.wallet).await, 0);
    ground.token.unpause(&ground.rpc, &ground.dev).await.unwrap();
    world.client.until(Onramp, &format!("/v1/orders/{id}"), |body| body["order"]["status"] == "completed").await;
    assert_eq!(ground.tokens(ground.wallet).await, asked);
    world.check_books(i128::try_from(TOP_UP).unwrap(), 0).await;
}

/// Keeps the lines of the on-ramp's journal up to and with the last one that contains the text, as if the sandbox had
/// been killed before it wrote the next one.
fn forget_after(world: &World, text: &str) {
    let path = world.ground.dir.path().join("sandbox/harbour/journal.jsonl");
    let journal = std::fs::read_to_string(&path).unwrap();
    let end = journal.rfind(text).unwrap();
    let end = end + journal[end..].find('\n').unwrap() + 1;
    assert!(end < journal.len(), "there is something to forget");
    std::fs::write(&path, &journal[..end]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_but_not_noted_is_not_done_again() {
    let empty = |config: &mut settla_sandbox::SandboxConfig| {
        config.funder = config.funder.map(|funder| settla_sandbox::Funder { treasury_tokens: 1, ..funder });
    };
    let mut world = World::with(empty).await;
    world.client.top_up("GBP", TOP_UP).await;
    let id = Uuid::now_v7();
    let path = format!("/v1/orders/{id}");
    let asked = world.client.usdc_for_gbp(10_000).await;
    world.client.post(Onramp, "/v1/orders", "k", &world.order(id, 10_000, asked)).await;
    let taken = |summary: &serde_json::Value| summary["fiat_taken"][0]["amount"] == "10000";
    world.client.until(Onramp, "/v1/summary", taken).await;

    // The bank has debited, the on-ramp does not know. There is no more money for a second debit either.
    let rest = serde_json::json!({ "account": crate::world::ACCOUNT, "currency": "GBP",
        "amount": (TOP_UP - 10_000).to_string(), "reference": "rest", "beneficiary": { "name": "N", "account": "A" } });
    world.client.post(Bank, "/v1/payments", "k", &rest).await;
    world.client.until(Bank, "/v1/payments/rest", |body| body["payment"]["status"] == "executed").await;
    world.shutdown().await;
    forget_after(&world, "\"accepted\"");
    world.restart(empty).await;
    world.client.until(Onramp, "/v1/summary", taken).await;
    assert_eq!(world.client.balance("GBP").await, 0);

    // The transaction is on chain, the on-ramp knows only that it made a batch.
    let ground = &world.ground;
    ground.token.mint(&ground.rpc, &ground.dev, world.treasury, asked * 5).await.unwrap();
    world.client.until(Onramp, &path, |body| body["order"]["status"] == "completed").await;
    world.shutdown().await;
    forget_after(&world, "\"made\"");
    world.restart(empty).await;
    world.client.until(Onramp, &path, |body| body["order"]["status"] == "completed").await;
    let ground = &world.ground;
    assert_eq!(ground.tokens(ground.wallet).await, asked);
    assert_eq!(ground.rpc.nonce(world.treasury).await.unwrap(), 1);
}
