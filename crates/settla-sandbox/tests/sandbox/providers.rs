//! Several providers a side: each with its own books, price, speed and faults.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};
use settla_sandbox::{Funder, Sandbox, SandboxError, Side};
use uuid::Uuid;

use crate::world::{
    OFFRAMPS, ONRAMPS,
    Server::{self, Fx, Offramp, Onramp, Quayside, Solano},
    World,
};

const TOP_UP: u128 = 10_000_000;
const USDC: u128 = 10_000_000;
const NGN: u128 = 1_500_000;

async fn order(world: &World, onramp: Server, id: Uuid, gbp: u128, usdc: u128) -> Value {
    let body = world.order(id, gbp, usdc);
    let (status, answer) = world.client.post(onramp, "/v1/orders", &id.to_string(), &body).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    ended_order(world, onramp, id).await
}

async fn ended_order(world: &World, onramp: Server, id: Uuid) -> Value {
    let ended = |body: &Value| body["order"]["status"] != "pending";
    world.client.until(onramp, &format!("/v1/orders/{id}"), ended).await["order"].take()
}

/// Units of `quote` for one `base`, times 10^8, and since when.
async fn price(world: &World, server: Server, path: &str, base: &str, quote: &str) -> (u128, String) {
    let (status, body) = world.client.get(server, path).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let list = if path == "/v1/rates" { "rates" } else { "prices" };
    let mut of_pair = body[list].as_array().unwrap().iter().filter(|one| one["base"] == base && one["quote"] == quote);
    let one = of_pair.next().unwrap_or_else(|| panic!("{server:?} has no price of {base} in {quote}"));
    assert!(of_pair.next().is_none());
    let rate = one["rate"].as_str().unwrap();
    assert_eq!(rate.split_once('.').unwrap().1.len(), 8);
    (rate.replace('.', "").parse().unwrap(), one["as_of"].as_str().unwrap().to_owned())
}

async fn liquidity(world: &World, server: Server, currency: &str) -> u128 {
    let (_, body) = world.client.get(server, "/v1/prices").await;
    let row = body["liquidity"].as_array().unwrap().iter().find(|one| one["currency"] == currency).unwrap();
    row["available"].as_str().unwrap().parse().unwrap()
}

async fn control(world: &World, server: Server, body: &Value) -> (StatusCode, Value) {
    world.client.post(server, "/_control/provider", "", body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn prices_are_the_feeds_less_what_each_keeps_and_as_old() {
    let world = World::new().await;
    // So that prices and rates are of one instant.
    world.client.post(Fx, "/_control/fx", "", &json!({ "frozen": true })).await;
    for (server, bps) in [(Onramp, 5), (Quayside, 20), (Offramp, 15), (Solano, 5)] {
        for fiat in ["GBP", "EUR", "USD", "NGN", "KES", "GHS"] {
            let (base, quote) = if ONRAMPS.contains(&server) { (fiat, "USDC") } else { ("USDC", fiat) };
            let (mid, frozen_at) = price(&world, Fx, "/v1/rates", base, quote).await;
            let (own, as_of) = price(&world, server, "/v1/prices", base, quote).await;
            assert_eq!((own, &as_of), (mid * (10_000 - bps) / 10_000, &frozen_at), "{server:?} {base}/{quote}");
        }
    }
    // Each sells one way only.
    let (_, body) = world.client.get(Quayside, "/v1/prices").await;
    assert_eq!(body["prices"].as_array().unwrap().len(), 6);
    let later = async {
        world.client.post(Fx, "/_control/fx", "", &json!({ "frozen": false })).await;
        price(&world, Solano, "/v1/prices", "USDC", "NGN").await.1
    };
    let frozen_at = price(&world, Solano, "/v1/prices", "USDC", "NGN").await.1;
    assert_ne!(later.await, frozen_at);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_onramp_judges_by_its_own_price() {
    // A hundred times dearer than usual, so that the feed's price is out of its reach.
    let world = World::with(|config| config.providers[1].price_bps = 300).await;
    world.client.top_up("GBP", TOP_UP).await;
    world.client.post(Fx, "/_control/fx", "", &json!({ "frozen": true })).await;
    let (gbp, mid) = (100_000, world.client.usdc_for_gbp(100_000).await);
    let (own, _) = price(&world, Quayside, "/v1/prices", "GBP", "USDC").await;
    for (onramp, usdc, status) in [
        (Onramp, mid, "completed"),
        (Quayside, mid, "rejected"),
        (Quayside, gbp * own / 10_000, "completed"),
        (Onramp, gbp * own / 10_000, "rejected"),
    ] {
        let ended = order(&world, onramp, Uuid::now_v7(), gbp, usdc).await;
        assert_eq!(ended["status"], status, "{onramp:?} {usdc}");
        assert_eq!(ended["reason"], if status == "rejected" { json!("rate_moved") } else { Value::Null });
    }
    world.check_books(i128::try_from(TOP_UP).unwrap(), 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_order_id_at_two_onramps_is_two_orders() {
    let mut world = World::new().await;
    world.client.top_up("GBP", 25_000).await;
    let (id, gbp) = (Uuid::now_v7(), 10_000);
    let usdc = world.client.usdc_for_gbp(gbp).await;
    for onramp in ONRAMPS {
        assert_eq!(order(&world, onramp, id, gbp, usdc).await["status"], "completed");
    }
    assert_eq!(world.client.balance("GBP").await, 5_000);
    assert_eq!(world.ground.tokens(world.ground.wallet).await, usdc * 2);

    // Nor is what the bank refused one of them a refusal for the other.
    let second = Uuid::now_v7();
    assert_eq!(order(&world, Onramp, second, gbp, usdc).await["reason"], "insufficient_mandate_funds");
    world.client.top_up("GBP", 5_000).await;
    world.restart(|_| ()).await;
    assert_eq!(order(&world, Quayside, second, gbp, usdc).await["status"], "completed");
    world.check_books(30_000, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_one_offramp_pay_nothing_at_the_other() {
    let world = World::new().await;
    world.ground.mint(USDC * 2).await;
    let [first, second] = [(); 2].map(|()| Uuid::now_v7());
    let tx_hash = world.settle_at(Solano, &[(first, USDC)]).await;
    let other = world.settle_at(Offramp, &[(second, USDC)]).await;
    for (server, id, tx_hash) in [(Offramp, first, tx_hash), (Solano, first, tx_hash), (Offramp, second, other)] {
        let body = world.payout(id, USDC, NGN, tx_hash);
        assert_eq!(world.client.post(server, "/v1/payouts", &id.to_string(), &body).await.0, StatusCode::ACCEPTED);
    }
    for (server, id) in [(Solano, first), (Offramp, second)] {
        let paid = |body: &Value| body["payout"]["status"] == "paid";
        let body = world.client.until(server, &format!("/v1/payouts/{id}"), paid).await;
        let initials = if server == Solano { "SOL-" } else { "MER-" };
        assert!(body["payout"]["paid"]["reference"].as_str().unwrap().starts_with(initials));
        let mine = |event: &crate::hook::Event| event.data["payout"]["client_payout_id"] == id.to_string();
        world.hook.wait(|events| events.iter().any(mine)).await;
    }
    let (_, waiting) = world.client.get(Offramp, &format!("/v1/payouts/{first}")).await;
    assert_eq!(waiting["payout"]["status"], "pending");
    assert_eq!(world.client.get(Solano, &format!("/v1/payouts/{second}")).await.0, StatusCode::NOT_FOUND);
    world.check_books(0, USDC * 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_provider_refuses_what_is_new_and_goes_on_with_the_rest() {
    let mut world = World::with(|config| config.latency_ms = 300).await;
    world.client.top_up("GBP", TOP_UP).await;
    world.ground.mint(USDC * 2).await;
    let (gbp, usdc) = (10_000, world.client.usdc_for_gbp(10_000).await);
    let [order_id, payout_id, new] = [(); 3].map(|()| Uuid::now_v7());
    let order = world.order(order_id, gbp, usdc);
    let tx_hash = world.settle(&[(payout_id, USDC), (new, USDC)]).await;
    let payout = world.payout(payout_id, USDC, NGN, tx_hash);
    let first_order = world.client.post(Onramp, "/v1/orders", "o", &order).await;
    let first_payout = world.client.post(Offramp, "/v1/payouts", "p", &payout).await;

    let closed = |status: (StatusCode, Value)| (status.0, status.1["code"].as_str().unwrap_or_default().to_owned());
    let refused = (StatusCode::UNPROCESSABLE_ENTITY, "provider_closed".to_owned());
    for server in [Onramp, Offramp] {
        let (status, body) = control(&world, server, &json!({ "closed": true })).await;
        assert_eq!((status, body), (StatusCode::OK, json!({ "closed": true, "latency_ms": 300 })));
    }
    for again in [false, true] {
        let client = &world.client;
        let [new_order, new_payout] = [world.order(new, gbp, usdc), world.payout(new, USDC, NGN, tx_hash)];
        assert_eq!(closed(client.post(Onramp, "/v1/orders", "n", &new_order).await), refused);
        assert_eq!(closed(client.post(Offramp, "/v1/payouts", "n", &new_payout).await), refused);
        assert_eq!(client.get(Onramp, &format!("/v1/orders/{new}")).await.0, StatusCode::NOT_FOUND);
        // What is known stays known, and is carried out.
        assert_eq!(client.post(Onramp, "/v1/orders", "o", &order).await, first_order);
        assert_eq!(client.post(Offramp, "/v1/payouts", "p", &payout).await, first_payout);
        if !again {
            world.restart(|config| config.latency_ms = 300).await;
        }
    }
    assert_eq!(ended_order(&world, Onramp, order_id).await["status"], "completed");
    let paid = |body: &Value| body["payout"]["status"] == "paid";
    world.client.until(Offramp, &format!("/v1/payouts/{payout_id}"), paid).await;

    // The neighbours are open, and so are these again when they are told.
    let neighbour = Uuid::now_v7();
    let body = world.order(neighbour, gbp, usdc);
    assert_eq!(world.client.post(Quayside, "/v1/orders", "n", &body).await.0, StatusCode::ACCEPTED);
    for server in [Onramp, Offramp] {
        control(&world, server, &json!({ "closed": false })).await;
    }
    let body = world.order(new, gbp, usdc);
    assert_eq!(world.client.post(Onramp, "/v1/orders", "n", &body).await.0, StatusCode::ACCEPTED);
    let body = world.payout(new, USDC, NGN, tx_hash);
    assert_eq!(world.client.post(Offramp, "/v1/payouts", "n", &body).await.0, StatusCode::ACCEPTED);
    for (onramp, id) in [(Quayside, neighbour), (Onramp, new)] {
        assert_eq!(ended_order(&world, onramp, id).await["status"], "completed");
    }
    world.client.until(Offramp, &format!("/v1/payouts/{new}"), paid).await;
    world.check_books(i128::try_from(TOP_UP).unwrap(), USDC * 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_can_be_made_slow() {
    let mut world = World::new().await;
    world.client.top_up("GBP", TOP_UP).await;
    // Not of one provider, not for what was there before, and over a restart.
    let (status, body) = control(&world, Onramp, &json!({ "latency_ms": 2_000 })).await;
    assert_eq!((status, body), (StatusCode::OK, json!({ "closed": false, "latency_ms": 2_000 })));
    world.restart(|_| ()).await;
    let (gbp, usdc) = (10_000, world.client.usdc_for_gbp(10_000).await);
    let begun = Instant::now();
    let ended = order(&world, Onramp, Uuid::now_v7(), gbp, usdc).await;
    assert_eq!(ended["status"], "completed");
    assert!(begun.elapsed() >= Duration::from_millis(1_000), "half the median is the least");
    for bad in [json!({ "latency_ms": 86_400_001 }), json!({ "closed": "yes" }), json!({ "open": true })] {
        assert!(control(&world, Onramp, &bad).await.0.is_client_error(), "{bad}");
    }
    let (_, body) = control(&world, Quayside, &json!({})).await;
    assert_eq!(body, json!({ "closed": false, "latency_ms": 15 }), "half of what the sandbox's median is");
    world.check_books(i128::try_from(TOP_UP).unwrap(), 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn liquidity_is_what_is_neither_gone_nor_promised() {
    const FLOAT: u128 = 2_000_000;
    let adjust = |config: &mut settla_sandbox::SandboxConfig| {
        config.providers[3].side = Side::OffRamp { float: FLOAT };
        config.slow_ms = 1_500;
    };
    let mut world = World::with(adjust).await;
    world.client.top_up("GBP", TOP_UP).await;
    world.ground.mint(USDC * 2).await;
    let all = Funder::default().treasury_tokens;
    assert_eq!((liquidity(&world, Onramp, "USDC").await, liquidity(&world, Quayside, "USDC").await), (all, all));
    assert_eq!(liquidity(&world, Solano, "NGN").await, FLOAT);

    // Slow: promised at once, gone later. The rejected one was promised until then.
    let (slow, rejected) = (400_002, 400_001);
    let usdc = world.client.usdc_for_gbp(slow).await;
    let [first, second] = [(); 2].map(|()| Uuid::now_v7());
    for (id, gbp) in [(first, slow), (second, rejected)] {
        world.client.post(Quayside, "/v1/orders", &id.to_string(), &world.order(id, gbp, usdc)).await;
    }
    assert_eq!(ended_order(&world, Quayside, second).await["status"], "rejected");
    assert_eq!(liquidity(&world, Quayside, "USDC").await, all - usdc);
    assert_eq!(liquidity(&world, Onramp, "USDC").await, all);

    let [paid, returned, waiting] = [(); 3].map(|()| Uuid::now_v7());
    let tx_hash = world.settle_at(Solano, &[(paid, USDC), (returned, USDC)]).await;
    for (id, ngn, tx_hash) in
        [(paid, NGN, tx_hash), (returned, 400_000_001, tx_hash), (waiting, 100_000, settla_evm::TxHash([9; 32]))]
    {
        let body = world.payout(id, USDC, ngn, tx_hash);
        world.client.post(Solano, "/v1/payouts", &id.to_string(), &body).await;
    }
    let done = |body: &Value| body["payouts"]["paid"] == 1 && body["payouts"]["rejected"] == 1;
    world.client.until(Solano, "/v1/summary", done).await;
    assert_eq!(liquidity(&world, Solano, "NGN").await, FLOAT - NGN - 100_000);
    assert_eq!(liquidity(&world, Solano, "GBP").await, FLOAT);

    assert_eq!(ended_order(&world, Quayside, first).await["status"], "completed");
    assert_eq!(liquidity(&world, Quayside, "USDC").await, all - usdc, "gone is not promised as well");
    world.restart(adjust).await;
    assert_eq!(liquidity(&world, Quayside, "USDC").await, all - usdc);
    assert_eq!(liquidity(&world, Solano, "NGN").await, FLOAT - NGN - 100_000);
    world.check_books(i128::try_from(TOP_UP).unwrap(), USDC * 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_providers_do_not_share_a_name() {
    let world = World::new().await;
    let mut config = world.ground.config();
    config.dir.push("other");
    config.providers[1].name = "harbour".to_owned();
    assert!(matches!(Sandbox::start(config).await, Err(SandboxError::Setting { name: "providers", .. })));
    assert_eq!(OFFRAMPS.len() + ONRAMPS.len(), world.wallets.len());
    let distinct: std::collections::HashSet<_> = world.wallets.values().map(ToString::to_string).collect();
    assert_eq!(distinct.len(), 4, "a wallet each");
}
