//! Payouts to an account at the sandbox's own bank: how stablecoin is sold for fiat.

use reqwest::StatusCode;
use serde_json::{Value, json};
use settla_evm::TxHash;
use uuid::Uuid;

use crate::world::{
    ACCOUNT,
    Server::{self, Bank, Offramp, Solano},
    World, sum,
};

const USDC: u128 = 100_000_000;
const GBP: u128 = 7_800;

fn sale(world: &World, id: Uuid, gbp: u128, tx_hash: TxHash, remittance: Option<&str>) -> Value {
    let mut payout = world.payout(id, USDC, 1, tx_hash);
    payout["destination"] = json!({ "currency": "GBP", "amount": gbp.to_string() });
    payout["beneficiary"]["account_number"] = json!(ACCOUNT);
    if let Some(remittance) = remittance {
        payout["remittance"] = json!(remittance);
    }
    payout
}

async fn sell(world: &World, server: Server, body: &Value) {
    let id = body["client_payout_id"].as_str().unwrap();
    let (status, answer) = world.client.post(server, "/v1/payouts", id, body).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
}

async fn paid(world: &World, server: Server, id: Uuid) {
    let is_paid = |body: &Value| body["payout"]["status"] == "paid";
    world.client.until(server, &format!("/v1/payouts/{id}"), is_paid).await;
}

async fn statement(world: &World) -> Vec<Value> {
    world.client.statement(Bank, &format!("/v1/accounts/{ACCOUNT}/statement")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_offramp_pays_to_our_account_is_on_our_statement() {
    let world = World::new().await;
    world.ground.mint(USDC * 5).await;
    let [plain, bare, rejected, foreign] = [(); 4].map(|()| Uuid::now_v7());
    let tx_hash = world.settle(&[(plain, USDC), (bare, USDC), (rejected, USDC), (foreign, USDC)]).await;
    // The same id at the other off-ramp is another payout.
    let other = world.settle_at(Solano, &[(plain, USDC)]).await;
    sell(&world, Offramp, &sale(&world, plain, GBP, tx_hash, Some("SB-1 rest: 42"))).await;
    sell(&world, Offramp, &sale(&world, bare, GBP + 1, tx_hash, None)).await;
    sell(&world, Offramp, &sale(&world, rejected, 400_000_001, tx_hash, Some("SB-2"))).await;
    sell(&world, Solano, &sale(&world, plain, GBP + 2, other, Some("SB-1 rest: 42"))).await;
    let mut elsewhere = sale(&world, foreign, GBP, tx_hash, Some("SB-3"));
    elsewhere["beneficiary"]["account_number"] = json!("0123456789");
    sell(&world, Offramp, &elsewhere).await;
    for (server, id) in [(Offramp, plain), (Offramp, bare), (Offramp, foreign), (Solano, plain)] {
        paid(&world, server, id).await;
    }
    let ended = |body: &Value| body["payout"]["status"] == "rejected";
    world.client.until(Offramp, &format!("/v1/payouts/{rejected}"), ended).await;

    let entries = statement(&world).await;
    let mut seen: Vec<_> = entries
        .iter()
        .map(|entry| {
            assert_eq!((&entry["kind"], &entry["currency"]), (&json!("incoming"), &json!("GBP")));
            ["amount", "reference", "counterparty"].map(|field| entry[field].as_str().unwrap().to_owned())
        })
        .collect();
    seen.sort();
    let expected = [
        ["7800".to_owned(), "SB-1 rest: 42".to_owned(), "meridian".to_owned()],
        ["7801".to_owned(), bare.to_string(), "meridian".to_owned()],
        ["7802".to_owned(), "SB-1 rest: 42".to_owned(), "solano".to_owned()],
    ];
    assert_eq!(seen, expected);
    let credits = |events: &[crate::hook::Event]| events.iter().filter(|e| e.kind == "account.credited").count();
    world.hook.wait(|events| credits(events) == 3).await;
    let told = world.hook.events().into_iter().filter(|event| event.kind == "account.credited");
    assert!(told.into_iter().all(|event| entries.contains(&event.data["entry"])));
    world.check_books(0, USDC * 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credit_that_was_not_noted_as_paid_is_not_made_again() {
    let mut world = World::new().await;
    world.ground.mint(USDC).await;
    let id = Uuid::now_v7();
    let tx_hash = world.settle(&[(id, USDC)]).await;
    sell(&world, Offramp, &sale(&world, id, GBP, tx_hash, Some("SB-1"))).await;
    paid(&world, Offramp, id).await;
    let before = statement(&world).await;

    // As if the sandbox had been killed after the bank's line and before the off-ramp's.
    world.shutdown().await;
    let path = world.ground.dir.path().join("sandbox/meridian/journal.jsonl");
    let journal = std::fs::read_to_string(&path).unwrap();
    let line = journal.find("{\"type\":\"paid\"").expect("it was noted");
    std::fs::write(&path, &journal[..line]).unwrap();
    world.restart(|_| ()).await;
    paid(&world, Offramp, id).await;
    assert_eq!(statement(&world).await, before, "the same line with the same id");
    assert_eq!(sum(&before, "GBP"), i128::try_from(GBP).unwrap());
    world.check_books(0, USDC).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remittance_is_short_printable_text() {
    let world = World::new().await;
    let id = Uuid::now_v7();
    for bad in ["", "a\nb", "é", "123456789012345678901234567890123456"] {
        let body = sale(&world, id, GBP, TxHash([1; 32]), Some(bad));
        let (status, problem) = world.client.post(Offramp, "/v1/payouts", "k", &body).await;
        assert_eq!(
            (status, &problem["code"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!("invalid_remittance")),
            "{bad:?}"
        );
    }
    assert_eq!(world.client.get(Offramp, &format!("/v1/payouts/{id}")).await.0, StatusCode::NOT_FOUND);
    let body = sale(&world, id, GBP, TxHash([1; 32]), Some("12345678901234567890123456789012345"));
    sell(&world, Offramp, &body).await;
    let changed = sale(&world, id, GBP, TxHash([1; 32]), Some("another"));
    let (status, problem) = world.client.post(Offramp, "/v1/payouts", &id.to_string(), &changed).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("idempotency_conflict")));
}
