//! The on-ramp refuses the order: nothing has left our hands, and the tenant has its pounds back.

use super::outcome::{Change, Outcome, ensure, ensure_state};
use super::stage::{Stage, Tenant, Track, ask};
use crate::failure::Failure;
use crate::local::Amount;
use settla_domain::effect::EffectKind;
use settla_domain::money::Currency;
use settla_domain::transfer::TransferState;
use std::time::Instant;

/// The amount that the sandbox's on-ramp declines.
const DECLINED: Amount<'_> = Amount::Source("4000.01");

/// Tells it.
pub(super) async fn tell(stage: &Stage, tenant: &Tenant, since: Instant) -> Result<Outcome, Failure> {
    let before = tenant.position(Currency::GBP).await?;
    let quote = tenant.quote("GBP", DECLINED).await?;
    let started = tenant.start(&quote, "INV-REFUSED").await?;
    let transfer = stage.follow(tenant, started, Track { label: "on-ramp refuses", since }).await?.transfer;

    ensure_state(&transfer, TransferState::Refunded)?;
    let reason = transfer.failure.clone().unwrap_or_default();
    ensure(reason == "declined", || format!("the refused order's reason is {reason:?}, not \"declined\""))?;
    let untouched = transfer.delivery_tx.is_none() && transfer.settlement_tx.is_none();
    ensure(untouched, || "tokens have moved for a refused order".to_owned())?;
    let order = EffectKind::OnRamp.id_for(transfer.id.0).0;
    let theirs = ask(&stage.facts.on_ramp, &format!("/v1/orders/{order}")).await?;
    let theirs = theirs["order"]["status"].as_str().unwrap_or_default();
    ensure(theirs == "rejected", || format!("the on-ramp's own book says {theirs}"))?;
    let change = Change { before, after: tenant.position(Currency::GBP).await? };
    change.ensure(0)?;

    Ok(Outcome {
        title: "The on-ramp refuses the order",
        facts: vec![
            format!("{}: REFUNDED, reason `{reason}`; the on-ramp's own book says {theirs}", transfer.id),
            "no tokens have moved, and the hold is released, fees included".to_owned(),
        ],
        positions: vec![change],
    })
}
