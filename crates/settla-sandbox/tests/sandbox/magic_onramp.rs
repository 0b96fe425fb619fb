//! Every magic amount into the on-ramp.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use uuid::Uuid;

use crate::world::{Server::Onramp, World};

const TOP_UP: u128 = 100_000_000;

/// How the start itself ended.
#[derive(Debug, PartialEq)]
enum Start {
    Answered,
    TimedOut,
    Closed,
}

struct Case {
    digit: u128,
    start: Start,
    takes_at_least_ms: u64,
    status: &'static str,
    webhooks: usize,
    webhook_ids: usize,
}

const fn case(digit: u128, start: Start, takes_at_least_ms: u64, status: &'static str, webhooks: [usize; 2]) -> Case {
    Case { digit, start, takes_at_least_ms, status, webhooks: webhooks[0], webhook_ids: webhooks[1] }
}

const CASES: [Case; 10] = [
    case(0, Start::Answered, 0, "completed", [1, 1]),
    case(1, Start::Answered, 0, "rejected", [1, 1]),
    case(2, Start::Answered, 0, "completed", [1, 1]),
    case(3, Start::TimedOut, 0, "completed", [0, 0]),
    case(4, Start::Answered, 0, "completed", [3, 2]),
    case(5, Start::Answered, 1_000, "completed", [1, 1]),
    case(6, Start::Answered, 0, "completed", [1, 1]),
    case(7, Start::Answered, 0, "completed", [1, 1]),
    case(8, Start::Answered, 0, "completed", [0, 0]),
    case(9, Start::Closed, 0, "completed", [1, 1]),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_ends_as_documented() {
    let world = World::new().await;
    world.client.top_up("GBP", TOP_UP).await;
    let runs = CASES.map(|case| run(&world, case));
    futures_util::future::join_all(runs).await;
    world.check_books(i128::try_from(TOP_UP).unwrap(), 0).await;
}

async fn run(world: &World, case: Case) {
    let (client, digit) = (&world.client, case.digit);
    let (id, source) = (Uuid::now_v7(), 400_000 + digit);
    let asked = client.usdc_for_gbp(source).await;
    let order = world.order(id, source, asked);
    let path = format!("/v1/orders/{id}");

    let begun = Instant::now();
    let start = match client.try_post(Onramp, "/v1/orders", &id.to_string(), &order).await {
        Ok((status, body)) => {
            assert_eq!(status, StatusCode::ACCEPTED, "{body}");
            // The answer is the one as at acceptance, however late it comes.
            assert_eq!(body["order"]["status"], "pending");
            Start::Answered
        }
        Err(error) if error.is_timeout() => Start::TimedOut,
        Err(_) => Start::Closed,
    };
    assert_eq!(start, case.start, "digit {digit}");
    assert!(begun.elapsed() >= Duration::from_millis(case.takes_at_least_ms), "digit {digit}");
    match digit {
        2 => assert_eq!(client.get(Onramp, &path).await.1["order"]["status"], "pending"),
        7 => assert_eq!(world.hook.about(&id.to_string()).len(), 1, "the webhook comes before the answer"),
        9 => {
            let (status, problem) = client.get(Onramp, &path).await;
            assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &"order_not_found".into()));
            let (status, _) = client.post(Onramp, "/v1/orders", &id.to_string(), &order).await;
            assert_eq!(status, StatusCode::ACCEPTED);
        }
        _ => {}
    }

    let body = client.until(Onramp, &path, |body| body["order"]["status"] != "pending").await;
    let order = &body["order"];
    assert_eq!(order["status"], case.status, "digit {digit}");
    if digit == 2 {
        assert!(begun.elapsed() >= Duration::from_millis(2_500));
    }
    if case.status == "completed" {
        let delivered = if digit == 6 { asked - asked.div_ceil(100) } else { asked };
        assert_eq!(order["delivery"]["amount"], delivered.to_string(), "digit {digit}");
        let delivery = order["delivery"]["id"].as_str().unwrap();
        let (_, manifest) = client.get(Onramp, &format!("/v1/deliveries/{delivery}")).await;
        assert_eq!(manifest["tx_hash"], order["delivery"]["tx_hash"]);
        let members = manifest["members"].as_array().unwrap();
        let ours = members.iter().filter(|member| member["client_order_id"] == id.to_string());
        assert_eq!(ours.map(|member| &member["amount"]).collect::<Vec<_>>(), [&order["delivery"]["amount"]]);
    } else {
        assert_eq!((&order["reason"], &order["delivery"]), (&"declined".into(), &serde_json::Value::Null));
    }

    let about = id.to_string();
    let of_order = |events: &[crate::hook::Event]| {
        events.iter().filter(|event| event.data["order"]["client_order_id"] == about.as_str()).count()
    };
    world.hook.wait(|events| of_order(events) >= case.webhooks).await;
    let events = world.hook.about(&about);
    assert_eq!(events.len(), case.webhooks, "digit {digit}");
    let ids: std::collections::HashSet<_> = events.iter().map(|event| &event.id).collect();
    assert_eq!(ids.len(), case.webhook_ids, "digit {digit}");
    assert!(events.iter().all(|event| event.kind == "order.updated" && event.data["order"] == *order));
}
