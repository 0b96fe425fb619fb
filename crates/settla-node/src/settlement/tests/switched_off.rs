//! Off-ramps that operators have switched off get no tokens.

use super::ground::{Ground, eager};
use crate::settlement::SettlementConfig;
use settla_domain::transfer::{Settlement as Mode, TransferState};
use settla_store::routes::{SwitchKind, switch_off, switch_on};
use std::time::Duration;

#[tokio::test]
async fn tokens_wait_for_an_off_ramp_that_is_off_and_go_when_it_is_on_again() {
    let mut ground = Ground::new(SettlementConfig { window: Duration::ZERO, ..eager() }).await;
    switch_off(&ground.store.operator, SwitchKind::Provider, "meridian", "under repair", "ada").await.unwrap();
    let transfer = ground.settling(Mode::Batched).await;
    ground.rounds(4).await;
    assert!(ground.batches().await.is_empty());
    assert_eq!((ground.state(&transfer).await, ground.paid().await), (TransferState::Settling, 0));

    switch_on(&ground.store.operator, SwitchKind::Provider, "meridian", "ada").await.unwrap();
    ground.until_settled(&transfer).await;
    ground.settled_once(&[transfer]).await;
}

#[tokio::test]
async fn with_a_fallback_they_go_there_instead() {
    let mut ground = Ground::new(eager()).await;
    switch_off(&ground.store.operator, SwitchKind::Provider, "meridian", "under repair", "ada").await.unwrap();
    let transfer = ground.settling_with_fallback("solano").await;
    ground.until_settled(&transfer).await;
    let after = ground.now(&transfer).await;
    assert_eq!(after.progress.returned_payouts[0].provider, "meridian");
    assert_eq!(after.progress.returned_payouts[0].reason, "provider_off");
    let told = ground.other.told.lock().unwrap().clone();
    // Named as the second payout, under which the second off-ramp will be asked to pay.
    let payout = settla_domain::effect::EffectKind::OffRamp.id_on_leg(transfer.id.0, 1).0;
    assert_eq!(told[0].members[0].0, payout);
    assert!(ground.off_ramp.told.lock().unwrap().is_empty());
    ground.settled_once(&[transfer]).await;
}
