//! Every magic amount out of the off-ramp.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::Value;
use settla_evm::TxHash;
use uuid::Uuid;

use crate::world::{Server::Offramp, World};

const USDC: u128 = 2_600_000_000;

struct Case {
    digit: u128,
    /// `None`: the start is not answered.
    answered_after_ms: Option<u64>,
    status: &'static str,
    webhooks: usize,
    webhook_ids: usize,
}

const fn case(digit: u128, answered_after_ms: Option<u64>, status: &'static str, webhooks: [usize; 2]) -> Case {
    Case { digit, answered_after_ms, status, webhooks: webhooks[0], webhook_ids: webhooks[1] }
}

const CASES: [Case; 10] = [
    case(0, Some(0), "paid", [1, 1]),
    case(1, Some(0), "rejected", [1, 1]),
    case(2, Some(0), "paid", [1, 1]),
    case(3, None, "paid", [0, 0]),
    case(4, Some(0), "paid", [3, 2]),
    case(5, Some(1_000), "paid", [1, 1]),
    case(6, Some(0), "paid", [1, 1]),
    case(7, Some(0), "paid", [1, 1]),
    case(8, Some(0), "paid", [0, 0]),
    case(9, None, "paid", [1, 1]),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_ends_as_documented() {
    let world = World::new().await;
    world.ground.mint(USDC * 10).await;
    let members: Vec<(Uuid, u128)> = CASES.iter().map(|_| (Uuid::now_v7(), USDC)).collect();
    let tx_hash = world.settle(&members).await;
    let runs = CASES.into_iter().zip(&members).map(|(case, (id, _))| run(&world, case, *id, tx_hash));
    futures_util::future::join_all(runs).await;
    world.check_books(0, USDC * 10).await;
}

async fn run(world: &World, case: Case, id: Uuid, tx_hash: TxHash) {
    let (client, digit) = (&world.client, case.digit);
    let destination = 400_000_000 + digit;
    let payout = world.payout(id, USDC, destination, tx_hash);
    let path = format!("/v1/payouts/{id}");

    let begun = Instant::now();
    let answer = client.try_post(Offramp, "/v1/payouts", &id.to_string(), &payout).await;
    match (answer, case.answered_after_ms) {
        (Ok((status, body)), Some(after_ms)) => {
            assert_eq!(status, StatusCode::ACCEPTED, "{body}");
            assert_eq!(body["payout"]["status"], "pending");
            assert!(begun.elapsed() >= Duration::from_millis(after_ms), "digit {digit}");
        }
        (Err(error), None) => assert_eq!(error.is_timeout(), digit == 3, "digit {digit}"),
        (answer, _) => panic!("digit {digit}: {answer:?}"),
    }
    match digit {
        2 => assert_eq!(client.get(Offramp, &path).await.1["payout"]["status"], "pending"),
        7 => assert_eq!(world.hook.about(&id.to_string()).len(), 1, "the webhook comes before the answer"),
        9 => {
            let (status, problem) = client.get(Offramp, &path).await;
            assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &"payout_not_found".into()));
            let (status, _) = client.post(Offramp, "/v1/payouts", &id.to_string(), &payout).await;
            assert_eq!(status, StatusCode::ACCEPTED);
        }
        _ => {}
    }

    let is_final = |body: &Value| ["paid", "rejected"].iter().any(|status| body["payout"]["status"] == *status);
    let body = client.until(Offramp, &path, is_final).await;
    let payout = &body["payout"];
    assert_eq!(payout["status"], case.status, "digit {digit}");
    if digit == 2 {
        assert!(begun.elapsed() >= Duration::from_millis(2_500));
    }
    if case.status == "paid" {
        let paid = if digit == 6 { destination - destination.div_ceil(100) } else { destination };
        assert_eq!(payout["paid"]["amount"], paid.to_string(), "digit {digit}");
        assert_eq!((&payout["paid"]["currency"], &payout["return"]), (&"NGN".into(), &Value::Null));
    } else {
        assert_eq!((&payout["reason"], &payout["paid"]), (&"declined".into(), &Value::Null));
        assert_eq!(payout["return"]["amount"], USDC.to_string());
        let batch = payout["return"]["id"].as_str().unwrap();
        let (_, manifest) = client.get(Offramp, &format!("/v1/returns/{batch}")).await;
        assert_eq!(manifest["tx_hash"], payout["return"]["tx_hash"]);
        assert_eq!(manifest["members"][0]["client_payout_id"], id.to_string());
    }

    let about = id.to_string();
    let of_payout = |events: &[crate::hook::Event]| {
        events.iter().filter(|event| event.data["payout"]["client_payout_id"] == about.as_str()).count()
    };
    world.hook.wait(|events| of_payout(events) >= case.webhooks).await;
    let events = world.hook.about(&about);
    assert_eq!(events.len(), case.webhooks, "digit {digit}");
    let ids: std::collections::HashSet<_> = events.iter().map(|event| &event.id).collect();
    assert_eq!(ids.len(), case.webhook_ids, "digit {digit}");
    assert!(events.iter().all(|event| event.kind == "payout.updated" && event.data["payout"] == *payout));
}
