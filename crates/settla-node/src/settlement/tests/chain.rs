//! What a chain does to transactions, and that tokens move once whatever it does.

use super::ground::{DEPOSIT, Ground, ONE_COIN, eager, sent};
use crate::settlement::SettlementConfig;
use serde_json::json;
use settla_domain::transfer::{Settlement as Mode, TransferState};
use settla_evm::TOKEN_TRANSFER_GAS_LIMIT;
use settla_store::settlement;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// A base fee that is above what was offered, and below the ceiling: 30 gwei.
const DEAR: u64 = 30_000_000_000;

#[tokio::test]
async fn fees_are_raised_at_the_same_nonce_until_a_block_takes_it() {
    let mut ground = Ground::new(eager()).await;
    let transfers = ground.settling_many(2).await;
    ground.round().await;
    grow_dear(&ground).await;
    ground.round().await;
    let (status, _, nonce, signed) = ground.batches().await.remove(0);
    assert_eq!((status.as_str(), nonce, signed), ("signed", Some(0), 2));
    ground.rounds(2).await;
    assert_eq!(ground.statuses().await, ["done"]);
    ground.settled_once(&transfers).await;
    // What was told is the transaction that a block took, not the one signed first.
    let told = ground.off_ramp.told.lock().unwrap()[0].tx;
    assert!(ground.rpc.receipts(&[told]).await.unwrap()[0].as_ref().unwrap().succeeded);
}

#[tokio::test]
async fn a_payment_that_the_database_has_lost_is_not_made_again() {
    let mut ground = Ground::new(eager()).await;
    let transfers = ground.settling_many(2).await;
    ground.round().await;
    grow_dear(&ground).await;
    ground.round().await;
    assert_eq!(ground.batches().await[0].3, 2, "fees were raised");
    // The database is put back to before the raise, and the raised transaction is final before anybody looks.
    ground.forget_the_last_signature().await;
    assert_eq!(ground.batches().await[0].3, 1);
    ground.mine(7).await;
    assert_eq!(ground.paid().await, sent(&transfers));
    ground.rounds(2).await;
    let (status, _, _, signed) = ground.batches().await.remove(0);
    assert_eq!((status.as_str(), signed, ground.batches().await.len()), ("done", 2, 1));
    ground.settled_once(&transfers).await;
}

#[tokio::test]
async fn more_money_is_not_offered_for_what_is_in_a_block() {
    let mut ground = Ground::new(eager()).await;
    let transfers = ground.settling_many(1).await;
    ground.round().await;
    // It is forgotten, blocks are made, it comes in by another way and gets into one.
    ground.control("anvil_dropAllTransactions", json!([])).await;
    ground.mine(2).await;
    let batch = settlement::open(&ground.store.worker, 1).await.unwrap().remove(0).batch;
    let signed = settlement::transactions(&ground.store.worker, batch).await.unwrap().remove(0);
    ground.rpc.send_raw(&signed.raw).await.unwrap();
    ground.mine(1).await;
    assert_eq!(ground.paid().await, sent(&transfers));
    ground.round().await;
    let (status, _, _, signed) = ground.batches().await.remove(0);
    assert_eq!((status.as_str(), signed), ("signed", 1), "it has waited, blocks were made, and it is not deep enough");
}

#[tokio::test]
async fn more_money_is_not_offered_to_a_chain_that_stands_still() {
    let mut ground = Ground::new(eager()).await;
    ground.settling_many(1).await;
    for _ in 0..5 {
        ground.round().await;
    }
    assert_eq!(ground.batches().await[0].3, 1);
    // Nor once more to one that stands still after it was raised.
    grow_dear(&ground).await;
    for _ in 0..5 {
        ground.round().await;
    }
    assert_eq!(ground.batches().await[0].3, 2);
}

#[tokio::test]
async fn a_dropped_transaction_is_sent_again_as_it_was() {
    let mut ground = Ground::new(SettlementConfig { bump_after: Duration::from_secs(3_600), ..eager() }).await;
    let transfers = ground.settling_many(2).await;
    ground.round().await;
    ground.control("anvil_dropAllTransactions", json!([])).await;
    ground.mine(1).await;
    assert_eq!(ground.paid().await, 0);
    ground.rounds(2).await;
    let (status, _, nonce, signed) = ground.batches().await.remove(0);
    assert_eq!((status.as_str(), nonce, signed), ("done", Some(0), 1));
    ground.settled_once(&transfers).await;
}

#[tokio::test]
async fn a_revert_moves_nothing_and_frees_its_members_only_when_it_is_final() {
    let mut ground = Ground::new(eager()).await;
    let transfers = ground.settling_many(2).await;
    ground.control("evm_setAutomine", json!([true])).await;
    ground.token.pause(&ground.rpc, &ground.issuer).await.unwrap();
    ground.control("evm_setAutomine", json!([false])).await;
    ground.round().await;
    // At the depth that would do for a success, and short of the final one.
    ground.mine(5).await;
    ground.round().await;
    assert_eq!(ground.statuses().await, ["signed"], "a block that may be taken back frees nobody");
    ground.mine(1).await;
    ground.round().await;
    assert_eq!((ground.statuses().await, ground.paid().await), (vec!["failed".to_owned()], 0));
    assert_eq!(ground.state(&transfers[0]).await, TransferState::Settling);

    ground.control("evm_setAutomine", json!([true])).await;
    ground.token.unpause(&ground.rpc, &ground.issuer).await.unwrap();
    ground.control("evm_setAutomine", json!([false])).await;
    due(&ground).await;
    ground.rounds(2).await;
    assert_eq!(ground.statuses().await, ["failed", "done"]);
    ground.settled_once(&transfers).await;
}

#[tokio::test]
async fn a_nonce_that_another_transaction_used_frees_the_members() {
    let mut ground = Ground::new(eager()).await;
    let transfers = ground.settling_many(2).await;
    ground.round().await;
    ground.control("anvil_dropAllTransactions", json!([])).await;
    // Somebody else has the key: the same nonce pays one wei to nobody in particular.
    ground.control("anvil_impersonateAccount", json!([ground.wallet])).await;
    let other = json!([{ "from": ground.wallet, "to": DEPOSIT, "value": "0x1", "nonce": "0x0", "gas": "0x5208" }]);
    ground.control("eth_sendTransaction", other).await;
    ground.mine(5).await;
    ground.round().await;
    assert_eq!(ground.statuses().await, ["signed"], "not final");
    ground.mine(1).await;
    ground.round().await;
    assert_eq!(ground.statuses().await, ["failed"]);
    due(&ground).await;
    ground.rounds(2).await;
    let batches = ground.batches().await;
    assert_eq!((batches[1].0.as_str(), batches[1].2), ("done", Some(1)));
    ground.settled_once(&transfers).await;
}

#[tokio::test]
async fn without_money_for_gas_nothing_is_signed_and_with_it_all_goes_on() {
    let mut ground = Ground::new(eager()).await;
    let transfers = ground.settling_many(2).await;
    ground.control("anvil_setBalance", json!([ground.wallet, "0x1"])).await;
    ground.round().await;
    assert_eq!(ground.batches().await, [("closed".to_owned(), "window".to_owned(), None, 0)]);
    ground.control("anvil_setBalance", json!([ground.wallet, format!("{ONE_COIN:#x}")])).await;
    ground.rounds(2).await;
    ground.settled_once(&transfers).await;
}

#[tokio::test]
async fn with_money_for_the_gas_of_one_batch_one_is_signed() {
    let mut ground = Ground::new(eager()).await;
    let mut transfers = Vec::new();
    for _ in 0..2 {
        transfers.push(ground.settling(Mode::Alone).await);
    }
    let cost = ground.rpc.fees().await.unwrap().max_fee_per_gas * u128::from(TOKEN_TRANSFER_GAS_LIMIT);
    ground.control("anvil_setBalance", json!([ground.wallet, format!("{:#x}", cost * 3 / 2)])).await;
    ground.round().await;
    let mut statuses = ground.statuses().await;
    statuses.sort();
    assert_eq!(statuses, ["closed", "signed"]);
    ground.control("anvil_setBalance", json!([ground.wallet, format!("{ONE_COIN:#x}")])).await;
    ground.rounds(3).await;
    ground.settled_once(&transfers).await;
}

#[tokio::test]
async fn batches_behind_each_other_are_settled_in_their_order() {
    let mut ground = Ground::new(eager()).await;
    let mut transfers = Vec::new();
    for _ in 0..3 {
        transfers.push(ground.settling(Mode::Batched).await);
        ground.round().await;
    }
    ground.mine(2).await;
    ground.round().await;
    let nonces: Vec<_> = ground.batches().await.into_iter().map(|batch| (batch.0, batch.2)).collect();
    assert_eq!(nonces, [0, 1, 2].map(|nonce| ("done".to_owned(), Some(nonce))));
    ground.settled_once(&transfers).await;
}

/// The chain has become dear: blocks are made, and the transaction is in none of them.
async fn grow_dear(ground: &Ground) {
    for _ in 0..2 {
        ground.control("anvil_setNextBlockBaseFeePerGas", json!([format!("{DEAR:#x}")])).await;
        ground.mine(1).await;
    }
    assert_eq!(ground.paid().await, 0);
}

/// Members of a failed batch wait for a moment before they join another.
async fn due(ground: &Ground) {
    let waiting = async {
        while settlement::waiting(&ground.store.worker, 10, settlement::AlonePlaces::default())
            .await
            .unwrap()
            .is_empty()
        {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(15), waiting).await.expect("the members are not due again");
}

#[tokio::test]
async fn an_off_ramp_that_takes_its_time_keeps_no_other_batch_waiting() {
    let mut ground = Ground::new(eager()).await;
    let off_ramp = Arc::clone(&ground.off_ramp);
    let busy = off_ramp.busy.write().await;
    let mut transfers = Vec::new();
    for behind in 0..3 {
        transfers.extend(ground.settling_many(1).await);
        ground.desk.round().await.unwrap();
        ground.mine(2).await;
        ground.desk.round().await.unwrap();
        assert_eq!(ground.statuses().await, vec!["confirmed"; behind + 1]);
    }
    drop(busy);
    ground.round().await;
    assert_eq!(ground.statuses().await, ["done"; 3]);
    let told = off_ramp.told.lock().unwrap().iter().map(|batch| batch.id).collect::<BTreeSet<_>>();
    assert_eq!((told.len(), off_ramp.told.lock().unwrap().len()), (3, 3), "each once");
    ground.settled_once(&transfers).await;
}
