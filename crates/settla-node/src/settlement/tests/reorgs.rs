//! Blocks that are taken back: less deep than we wait, and deeper.

use super::ground::{Ground, eager, sent};
use serde_json::json;
use settla_domain::transfer::TransferState;

#[tokio::test]
async fn a_block_that_is_taken_back_before_our_depth_was_never_believed() {
    let mut ground = Ground::new(eager()).await;
    let transfers = ground.settling_many(2).await;
    ground.round().await;
    ground.mine(1).await;
    ground.round().await;
    assert_eq!(ground.paid().await, sent(&transfers));
    ground.control("anvil_reorg", json!([1, []])).await;
    assert_eq!(ground.paid().await, 0);
    ground.round().await;
    assert_eq!(
        (ground.statuses().await, ground.state(&transfers[0]).await),
        (vec!["signed".to_owned()], TransferState::Settling)
    );
    ground.rounds(2).await;
    assert_eq!(ground.batches().await[0].2, Some(0));
    ground.settled_once(&transfers).await;
}

#[tokio::test]
async fn a_block_that_is_taken_back_later_is_noticed_and_its_bytes_are_sent_again() {
    let mut ground = Ground::new(eager()).await;
    let transfers = ground.settling_many(2).await;
    ground.rounds(4).await;
    ground.settled_once(&transfers).await;
    ground.control("anvil_reorg", json!([4, []])).await;
    assert_eq!(ground.paid().await, 0, "the tokens are back with us");
    ground.rounds(2).await;
    assert_eq!(ground.batches().await.len(), 1, "no second batch pays for them");
    ground.settled_once(&transfers).await;

    // Deep enough it is final, and not looked at any more.
    ground.mine(6).await;
    ground.round().await;
    assert!(settla_store::settlement::not_final(&ground.store.worker, 10).await.unwrap().is_empty());
}
