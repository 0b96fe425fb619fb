//! The off-ramp pays only for tokens that it has seen, member by member.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;
use settla_evm::TxHash;
use uuid::Uuid;

use crate::world::{Server::Offramp, World, manifest};

const USDC: u128 = 5_000_000;
const NGN: u128 = 770_000;

async fn pay(world: &World, id: Uuid, usdc: u128, tx_hash: TxHash) {
    let payout = world.payout(id, usdc, NGN, tx_hash);
    let (status, body) = world.client.post(Offramp, "/v1/payouts", &id.to_string(), &payout).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{body}");
}

async fn ended(world: &World, id: Uuid) -> Value {
    let is_final = |body: &Value| ["paid", "rejected"].iter().any(|status| body["payout"]["status"] == *status);
    world.client.until(Offramp, &format!("/v1/payouts/{id}"), is_final).await["payout"].take()
}

async fn is_pending(world: &World, id: Uuid) -> bool {
    world.client.get(Offramp, &format!("/v1/payouts/{id}")).await.1["payout"]["status"] == "pending"
}

async fn settlement(world: &World, batch_id: Uuid) -> Value {
    let is_decided = |body: &Value| body["settlement"]["status"] != "pending";
    world.client.until(Offramp, &format!("/v1/settlements/{batch_id}"), is_decided).await["settlement"].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payout_without_tokens_is_never_paid() {
    let world = World::new().await;
    world.ground.mint(USDC * 4).await;
    let [nowhere, unannounced, stranger, short, good] = [(); 5].map(|()| Uuid::now_v7());

    // A transaction that does not exist.
    pay(&world, nowhere, USDC, TxHash([9; 32])).await;
    // Tokens are there, but nobody said whose they are.
    let (batch_id, members) = (Uuid::now_v7(), [(unannounced, USDC)]);
    let silent = world.ground.send(world.deposit, batch_id, &members).await;
    pay(&world, unannounced, USDC, silent).await;
    // One that is not in the manifest, one whose share is another, one as it should be.
    let tx_hash = world.settle(&[(short, USDC - 1), (good, USDC)]).await;
    for id in [stranger, short, good] {
        pay(&world, id, USDC, tx_hash).await;
    }

    assert_eq!(ended(&world, good).await["status"], "paid");
    let stranger = ended(&world, stranger).await;
    assert_eq!((&stranger["status"], &stranger["reason"]), (&"rejected".into(), &"not_in_settlement".into()));
    assert_eq!((&stranger["paid"], &stranger["return"]), (&Value::Null, &Value::Null));
    let short = ended(&world, short).await;
    assert_eq!((&short["status"], &short["reason"]), (&"rejected".into(), &"amount_mismatch".into()));
    assert_eq!(short["return"]["amount"], (USDC - 1).to_string());

    // Long past the time in which the others were decided.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(is_pending(&world, nowhere).await && is_pending(&world, unannounced).await);
    let (_, summary) = world.client.get(Offramp, "/v1/summary").await;
    assert_eq!(summary["paid"][0]["amount"], NGN.to_string());

    // Once it is said whose the tokens are, that payout goes.
    world.client.post(Offramp, "/v1/settlements", "x", &manifest(silent, batch_id, &members)).await;
    assert_eq!(ended(&world, unannounced).await["status"], "paid");
    world.check_books(0, USDC * 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_manifest_is_refused_and_can_be_corrected() {
    let world = World::new().await;
    world.ground.mint(USDC * 4).await;
    let (first, second, batch_id) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    let right = [(first, USDC), (second, USDC)];
    let tx_hash = world.ground.send(world.deposit, batch_id, &right).await;
    pay(&world, first, USDC + 1, tx_hash).await;
    pay(&world, second, USDC, tx_hash).await;

    // The same total, shared otherwise.
    let wrong = manifest(tx_hash, batch_id, &[(first, USDC + 1), (second, USDC - 1)]);
    let (status, _) = world.client.post(Offramp, "/v1/settlements", "x", &wrong).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let refused = settlement(&world, batch_id).await;
    assert_eq!((&refused["status"], &refused["reason"]), (&"refused".into(), &"manifest_mismatch".into()));
    assert!(is_pending(&world, first).await && is_pending(&world, second).await);

    // The same transaction under another batch.
    let stolen = Uuid::now_v7();
    world.client.post(Offramp, "/v1/settlements", "x", &manifest(tx_hash, stolen, &right)).await;
    assert_eq!(settlement(&world, stolen).await["reason"], "other_batch");

    let right = manifest(tx_hash, batch_id, &right);
    world.client.post(Offramp, "/v1/settlements", "x", &right).await;
    assert_eq!(settlement(&world, batch_id).await["status"], "verified");
    assert_eq!(ended(&world, second).await["status"], "paid");
    assert_eq!(ended(&world, first).await["reason"], "amount_mismatch");

    // Verified is for ever: the same again is harmless, another one is refused.
    let (status, again) = world.client.post(Offramp, "/v1/settlements", "x", &right).await;
    assert_eq!((status, &again["settlement"]["status"]), (StatusCode::ACCEPTED, &"verified".into()));
    let (status, problem) = world.client.post(Offramp, "/v1/settlements", "x", &wrong).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &"idempotency_conflict".into()));
    world.check_books(0, USDC * 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reverted_transfer_and_a_foreign_destination_settle_nothing() {
    let world = World::new().await;
    world.ground.mint(USDC).await;
    let (id, elsewhere, reverted) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    let members = [(id, USDC)];

    // More than there is.
    let dear = [(id, USDC * 2)];
    let tx_hash = world.ground.send(world.deposit, reverted, &dear).await;
    world.client.post(Offramp, "/v1/settlements", "x", &manifest(tx_hash, reverted, &dear)).await;
    assert_eq!(settlement(&world, reverted).await["reason"], "transfer_reverted");

    let tx_hash = world.ground.send(world.treasury, elsewhere, &members).await;
    world.client.post(Offramp, "/v1/settlements", "x", &manifest(tx_hash, elsewhere, &members)).await;
    assert_eq!(settlement(&world, elsewhere).await["reason"], "other_destination");

    pay(&world, id, USDC, tx_hash).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(is_pending(&world, id).await);
    assert_eq!(world.client.get(Offramp, "/v1/summary").await.1["tokens_received"], Value::Array(vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_that_cannot_be_one_are_refused_at_once() {
    let world = World::new().await;
    let id = Uuid::now_v7();
    let too_many: Vec<(Uuid, u128)> = (0..2_001).map(|_| (Uuid::now_v7(), 1)).collect();
    for members in [&[][..], &[(id, 0)], &[(id, 1), (id, 2)], &too_many] {
        let body = manifest(TxHash([1; 32]), Uuid::now_v7(), members);
        let (status, problem) = world.client.post(Offramp, "/v1/settlements", "x", &body).await;
        assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &"invalid_manifest".into()));
    }
}
