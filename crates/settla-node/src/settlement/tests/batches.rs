//! When batches close, and whom they are for.

use super::ground::{Ground, eager, sent};
use crate::settlement::SettlementConfig;
use settla_domain::transfer::{Settlement as Mode, TransferState};
use settla_store::settlement::ALONE_MAX;
use std::time::Duration;

#[tokio::test]
async fn a_batch_is_one_transaction_that_every_member_names() {
    let mut ground = Ground::new(eager()).await;
    let transfers = ground.settling_many(3).await;
    ground.round().await;
    assert_eq!(ground.statuses().await, ["signed"]);
    assert_eq!((ground.paid().await, ground.state(&transfers[0]).await), (0, TransferState::Settling));
    // In a block, but not at depth: nobody is told.
    ground.mine(1).await;
    ground.round().await;
    assert_eq!((ground.statuses().await, ground.paid().await), (vec!["signed".to_owned()], sent(&transfers)));
    assert!(ground.off_ramp.told.lock().unwrap().is_empty());

    ground.mine(1).await;
    ground.round().await;
    assert_eq!(ground.statuses().await, ["done"]);
    ground.settled_once(&transfers).await;
    let told = ground.off_ramp.told.lock().unwrap().clone();
    assert_eq!((told.len(), told[0].members.len()), (1, 3));
    for transfer in &transfers {
        let progress = ground.now(transfer).await.progress;
        assert_eq!(progress.settlement_batch.map(|batch| batch.0), Some(told[0].id));
        assert_eq!(progress.settlement_tx, Some(told[0].tx.to_string()));
    }
}

#[tokio::test]
async fn a_member_that_does_not_wait_gets_a_transaction_of_its_own() {
    let mut ground = Ground::new(SettlementConfig { window: Duration::from_secs(3_600), ..eager() }).await;
    let waiting = ground.settling_many(2).await;
    let alone = [ground.settling(Mode::Alone).await, ground.settling(Mode::Alone).await];
    ground.rounds(2).await;
    let closed: Vec<_> = ground.batches().await.into_iter().map(|(status, by, nonce, _)| (status, by, nonce)).collect();
    let own = |nonce| ("done".to_owned(), "alone".to_owned(), Some(nonce));
    assert_eq!(closed, [own(0), own(1)]);
    ground.settled_once(&alone).await;
    for transfer in &waiting {
        assert_eq!(ground.state(transfer).await, TransferState::Settling);
    }
}

/// What a tenant has of them beyond its places joins the others: it neither waits for its own batches nor keeps anybody
/// else's from being followed.
#[tokio::test]
async fn a_tenant_has_so_many_transactions_of_its_own_at_a_time() {
    let mut ground = Ground::new(SettlementConfig { window: Duration::from_secs(3_600), ..eager() }).await;
    let mut alone = Vec::new();
    for _ in 0..ALONE_MAX + 2 {
        alone.push(ground.settling(Mode::Alone).await);
    }
    let by = async |ground: &Ground, closed_by| {
        ground.batches().await.into_iter().filter(|batch| batch.1 == closed_by).count()
    };
    for _ in 0..3 {
        ground.round().await;
        assert_eq!(by(&ground, "alone").await, ALONE_MAX);
    }
    // They are done: there are places again.
    for _ in 0..4 {
        ground.mine(1).await;
        ground.round().await;
    }
    ground.rounds(3).await;
    assert_eq!((by(&ground, "alone").await, ground.batches().await.len()), (ALONE_MAX + 2, ALONE_MAX + 2));
    ground.settled_once(&alone).await;
}

#[tokio::test]
async fn a_batch_closes_before_its_time_when_there_is_enough_of_it() {
    let hour = Duration::from_secs(3_600);
    let mut ground = Ground::new(SettlementConfig { window: hour, amount: 1, ..eager() }).await;
    let first = ground.settling(Mode::Batched).await;
    ground.rounds(2).await;
    assert_eq!(ground.batches().await[0].1, "amount");
    ground.settled_once(&[first]).await;
}
