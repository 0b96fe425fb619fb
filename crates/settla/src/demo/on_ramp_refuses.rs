//! One on-ramp refuses the order, then the other: nothing has left our hands, and the tenant has its pounds back.

use super::outcome::{Change, Outcome, ensure, ensure_state};
use super::stage::{Stage, Tenant, Track, ask};
use crate::failure::Failure;
use crate::local::Amount;
use settla_domain::effect::EffectKind;
use settla_domain::money::Currency;
use settla_domain::transfer::TransferState;
use std::time::Instant;

/// The amount that the sandbox's on-ramps decline.
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
    // One after the other, each only when the one before had refused.
    let mut asked: Vec<&str> = transfer.refused_orders.iter().map(|order| order.provider.as_str()).collect();
    let all = stage.facts.on_ramps.iter().map(|ramp| ramp.name.as_str());
    asked.extend(all.filter(|name| !transfer.refused_orders.iter().any(|order| order.provider == *name)));
    ensure(asked.first() == Some(&transfer.price.on_ramp.as_str()), || format!("{} was not asked first", asked[0]))?;
    for (leg, name) in (0u8..).zip(&asked) {
        let order = EffectKind::OnRamp.id_on_leg(transfer.id.0, leg).0;
        let theirs = ask(stage.on_ramp(name)?, &format!("/v1/orders/{order}")).await?;
        let theirs = theirs["order"]["status"].as_str().unwrap_or_default();
        ensure(theirs == "rejected", || format!("{name}'s own book says {theirs}"))?;
    }
    let change = Change { before, after: tenant.position(Currency::GBP).await? };
    change.ensure(0)?;

    Ok(Outcome {
        title: "Every on-ramp refuses the order",
        facts: vec![
            format!("{}: REFUNDED, reason `{reason}`; the books of {} say rejected", transfer.id, asked.join(" and ")),
            "no tokens have moved, and the hold is released, fees included".to_owned(),
        ],
        positions: vec![change],
    })
}
