//! The off-ramp rejects the payout. The pounds are gone, so the tokens come back on chain, and the tenant has them.

use super::outcome::{Change, Outcome, ensure, ensure_state};
use super::show;
use super::stage::{Stage, Tenant, Track};
use crate::failure::Failure;
use crate::local::Amount;
use settla_domain::money::Currency;
use settla_domain::transfer::TransferState;
use std::time::Instant;

/// The amount that the sandbox's off-ramp declines to pay.
const DECLINED: Amount<'_> = Amount::Destination("4000000.01");

/// Tells it.
pub(super) async fn tell(stage: &Stage, tenant: &Tenant, since: Instant) -> Result<Outcome, Failure> {
    let pounds = tenant.position(Currency::GBP).await?;
    let tokens = tenant.position(Currency::USDC).await?;
    let quote = tenant.quote("GBP", DECLINED).await?;
    let started = tenant.start(&quote, "INV-REJECTED").await?;
    let transfer = stage.follow(tenant, started, Track { label: "payout rejected", since }).await?.transfer;

    ensure_state(&transfer, TransferState::Refunded)?;
    let reason = transfer.failure.clone().unwrap_or_default();
    ensure(reason == "declined", || format!("the rejected payout's reason is {reason:?}, not \"declined\""))?;
    let hash = transfer.return_tx.ok_or_else(|| Failure::new("the returned tokens have no transaction"))?;
    let receipt = stage.chain.receipts(&[hash]).await?.into_iter().next().flatten();
    let sent = transfer.price.sent;
    let came_back = receipt.filter(|r| r.succeeded).is_some_and(|r| {
        r.transfers.iter().any(|log| log.to == stage.facts.wallet && i128::try_from(log.amount) == Ok(sent.minor))
    });
    ensure(came_back, || format!("{hash} does not bring the tokens back"))?;
    let pounds = Change { before: pounds, after: tenant.position(Currency::GBP).await? };
    let tokens = Change { before: tokens, after: tenant.position(Currency::USDC).await? };
    // The fee is not earned and the spread not taken: the tenant has all that its pounds have bought.
    pounds.ensure(-transfer.price.source.minor)?;
    tokens.ensure(transfer.price.bought.minor)?;

    Ok(Outcome {
        title: "The payout is rejected, and the tokens come back",
        facts: vec![
            format!("{}: REFUNDED, reason `{reason}`", transfer.id),
            format!("{} came back on chain: {hash}", show::money(sent)),
            "the tenant has all USDC that its pounds bought: no fee, no spread".to_owned(),
        ],
        positions: vec![pounds, tokens],
    })
}
