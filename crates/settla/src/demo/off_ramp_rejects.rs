//! One off-ramp rejects the payout, and then the other. Each time the tokens come back on chain; in the end they are sold,
//! and the tenant has its pounds.

use super::outcome::{Change, Outcome, ensure, ensure_state};
use super::show;
use super::stage::{Stage, Tenant, Track};
use crate::failure::Failure;
use crate::local::Amount;
use settla_domain::money::Currency;
use settla_domain::transfer::TransferState;
use std::time::Instant;

/// The amount that the sandbox's off-ramps decline to pay.
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
    let sent = transfer.price.sent;
    ensure(transfer.returned_payouts.len() == stage.facts.off_ramps.len(), || {
        format!("{} off-ramps have given the tokens back", transfer.returned_payouts.len())
    })?;
    for returned in &transfer.returned_payouts {
        let hash = returned.return_tx.ok_or_else(|| Failure::new("returned tokens have no transaction"))?;
        let receipt = stage.chain.receipts(&[hash]).await?.into_iter().next().flatten();
        let came_back = receipt.filter(|r| r.succeeded).is_some_and(|r| {
            r.transfers.iter().any(|log| log.to == stage.facts.wallet && i128::try_from(log.amount) == Ok(sent.minor))
        });
        ensure(came_back, || format!("{hash} does not bring the tokens back"))?;
    }
    let sale = transfer.sale.as_ref().filter(|sale| sale.paid);
    let sale = sale.ok_or_else(|| Failure::new("the tokens were not sold back"))?;
    let pounds = Change { before: pounds, after: tenant.position(Currency::GBP).await? };
    let tokens = Change { before: tokens, after: tenant.position(Currency::USDC).await? };
    pounds.ensure(0)?;
    tokens.ensure(0)?;
    let providers: Vec<&str> = transfer.returned_payouts.iter().map(|leg| leg.provider.as_str()).collect();

    Ok(Outcome {
        title: "The payout is rejected everywhere, and the tokens are sold back",
        facts: vec![
            format!("{}: REFUNDED, reason `{reason}`", transfer.id),
            format!("{} came back on chain from {}", show::money(sent), providers.join(", then from ")),
            format!(
                "{} has bought the tokens for {}; the {} {} that this cost is the platform's",
                sale.provider,
                show::money(sale.proceeds),
                transfer.price.source.currency,
                sale.fx_loss
            ),
            "the tenant has all its pounds back, fees included".to_owned(),
        ],
        positions: vec![pounds, tokens],
    })
}
