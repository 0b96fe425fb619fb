//! The off-ramp takes the payout and never answers, nor sends a webhook. Unknown is neither success nor failure:
//! the platform asks until it knows, and pays nobody twice.

use super::outcome::{Change, Outcome, ensure, ensure_state};
use super::show;
use super::stage::{Stage, Tenant, Track, ask};
use crate::failure::Failure;
use crate::local::Amount;
use settla_domain::effect::EffectKind;
use settla_domain::money::Currency;
use settla_domain::transfer::TransferState;
use std::time::{Duration, Instant};

/// The amount to which the sandbox's off-ramp does not answer.
const NEVER_ANSWERED: Amount<'_> = Amount::Destination("4000000.03");

/// An answered payout is through in less, an unanswered one not before the call's time-out.
const UNANSWERED: Duration = Duration::from_secs(1);

/// Tells it.
pub(super) async fn tell(stage: &Stage, tenant: &Tenant, since: Instant) -> Result<Outcome, Failure> {
    let before = tenant.position(Currency::EUR).await?;
    let quote = tenant.quote("EUR", NEVER_ANSWERED).await?;
    let started = tenant.start(&quote, "INV-NO-ANSWER").await?;
    let ended = stage.follow(tenant, started, Track { label: "no answer", since }).await?;
    let transfer = &ended.transfer;

    ensure_state(transfer, TransferState::Completed)?;
    ensure(transfer.paid == Some(quote.price.destination), || "another amount was paid than was quoted".to_owned())?;
    ensure(ended.last_step() > UNANSWERED, || "the off-ramp has answered what it should not".to_owned())?;
    let payout = EffectKind::OffRamp.id_for(transfer.id.0).0.to_string();
    let book = ask(stage.off_ramp(&quote.price.off_ramp)?, "/v1/statement?limit=1000").await?;
    let entries = book["entries"].as_array().map(Vec::as_slice).unwrap_or_default();
    let paid = entries.iter().filter(|entry| entry["kind"] == "paid" && entry["id"] == *payout).count();
    ensure(paid == 1, || format!("the off-ramp's own book has this payout {paid} times"))?;
    let change = Change { before, after: tenant.position(Currency::EUR).await? };
    change.ensure(-transfer.price.debit.minor)?;

    Ok(Outcome {
        title: "The off-ramp never answers",
        facts: vec![
            format!("{}: COMPLETED, {:.1} s after OFF_RAMPING", transfer.id, ended.last_step().as_secs_f64()),
            "neither an answer nor a webhook ever came: the call timed out, and an enquiry found the payout".to_owned(),
            format!("the off-ramp's own book has paid {} once", show::money(quote.price.destination)),
        ],
        positions: vec![change],
    })
}
