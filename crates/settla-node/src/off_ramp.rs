//! Off-ramp payouts.

use crate::provider::{
    Desk, Next, NotFound, Refusal, after_unknown, backoff_ms, begins, in_time, not_found, not_started, refused,
};
use crate::sightings::Sighted;
use crate::{Node, sell_back};
use async_trait::async_trait;
use settla_domain::effect::{Effect, EffectKind};
use settla_domain::finding::Finding;
use settla_rails::off_ramp::{OffRamp, Payout, PayoutBeneficiary, PayoutState};
use settla_rails::{Enquired, Started};
use settla_server::parties::OpenPartiesError;
use settla_store::outbox::Claim;
use settla_vault::Pii;
use uuid::Uuid;

/// Carries out [`Effect::OffRamp`].
pub(crate) struct OffRampDesk;

#[async_trait]
impl Desk for OffRampDesk {
    fn kind(&self) -> EffectKind {
        EffectKind::OffRamp
    }

    async fn handle(&self, node: &Node, claim: &Claim) -> Next {
        carry_out(node, claim).await
    }
}

/// Orders a payout, or asks how it stands: to the beneficiary, or to ourselves for tokens that are sold.
pub(crate) async fn carry_out(node: &Node, claim: &Claim) -> Next {
    let Some(provider) = claim.effect.provider() else { return Next::Later(60_000) };
    let Some(ramp) = node.off_ramps.get(provider) else {
        tracing::error!(provider, "no such off-ramp is configured");
        return Next::Later(60_000);
    };
    let Ok(terms) = node.sightings.terms(provider, ramp.terms()).await else {
        return Next::Later(backoff_ms(claim.attempt));
    };
    if begins(claim) {
        return start(node, ramp.as_ref(), claim, terms.acceptance_delay_ms).await;
    }
    match ramp.enquire(claim.id.0).await {
        Enquired::Known(state) => judge(node, ramp.as_ref(), claim.id.0, &claim.effect, state, claim.attempt).await,
        Enquired::Unknown => Next::Later(backoff_ms(claim.attempt)),
        Enquired::NotFound if claim.accepted => {
            tracing::error!(effect = %claim.id, "the off-ramp does not know a payout it had taken");
            Next::Later(backoff_ms(claim.attempt))
        }
        Enquired::NotFound => {
            match not_found(node, claim, terms.acceptance_delay_ms, terms.idempotency_lifetime_ms) {
                NotFound::TooEarly(delay_ms) => Next::Later(delay_ms),
                NotFound::StartAgain => start(node, ramp.as_ref(), claim, terms.acceptance_delay_ms).await,
                // It has our tokens and no order for them: people have to talk to it.
                NotFound::PastLifetime => {
                    Next::Found(Finding::Unresolved { reason: "off_ramp_not_reached".to_owned() })
                }
            }
        }
    }
}

async fn start(node: &Node, ramp: &dyn OffRamp, claim: &Claim, acceptance_delay_ms: i64) -> Next {
    let payout = match payout(node, claim).await {
        Ok(payout) => payout,
        Err(PayoutError::Later(error)) => {
            tracing::warn!(%error, effect = %claim.id, "the payout cannot be made ready now");
            return Next::Later(backoff_ms(claim.attempt));
        }
        Err(PayoutError::Never(reason)) => {
            tracing::error!(reason, effect = %claim.id, "the payout cannot be made ready");
            return Next::Found(Finding::Unresolved { reason: reason.to_owned() });
        }
    };
    if !in_time(node, claim) {
        return Next::Later(0);
    }
    match ramp.start(&payout).await {
        Started::Taken(state) => judge(node, ramp, payout.id, &claim.effect, state, claim.attempt).await,
        Started::Refused(reason) => match refused(node, claim, acceptance_delay_ms, ramp.enquire(payout.id)).await {
            Refusal::Final => not_started(claim, &reason),
            Refusal::Taken(state) => judge(node, ramp, payout.id, &claim.effect, state, claim.attempt).await,
            Refusal::Unclear => Next::Later(backoff_ms(claim.attempt)),
        },
        Started::Unknown => after_unknown(claim, acceptance_delay_ms),
    }
}

enum PayoutError {
    Later(OpenPartiesError),
    Never(&'static str),
}

/// The payout that an effect is for.
async fn payout(node: &Node, claim: &Claim) -> Result<Payout, PayoutError> {
    let (sent, destination, settlement_tx, beneficiary, remittance) = match &claim.effect {
        Effect::OffRamp { sent, destination, settlement_tx, country, .. } => {
            (sent, destination, settlement_tx, beneficiary(node, claim, country).await?, None)
        }
        Effect::SellBack { sent, proceeds, settlement_tx, remittance, .. } => {
            (sent, proceeds, settlement_tx, sell_back::ourselves(node), Some(remittance.clone()))
        }
        _ => return Err(PayoutError::Never("wrong_effect")),
    };
    Ok(Payout {
        id: claim.id.0,
        sent: *sent,
        destination: *destination,
        beneficiary,
        settlement_tx: settlement_tx.parse().map_err(|_| PayoutError::Never("settlement_tx_unreadable"))?,
        return_address: node.wallet,
        remittance,
    })
}

/// The beneficiary in clear, which exists from here to the provider's socket.
async fn beneficiary(node: &Node, claim: &Claim, country: &str) -> Result<PayoutBeneficiary, PayoutError> {
    let parties = node.payees.open(claim.tenant, claim.subject).await.map_err(|error| match error.lasting() {
        None => PayoutError::Later(error),
        Some(reason) => PayoutError::Never(reason),
    })?;
    Ok(PayoutBeneficiary {
        name: parties.recipient_name,
        account_number: parties.recipient_account,
        bank_code: parties.recipient_bank.unwrap_or_else(|| Pii::new(String::new())),
        country: country.to_owned(),
    })
}

/// What a payout's state means. A return counts once it is seen on chain.
pub(crate) async fn judge(
    node: &Node,
    ramp: &dyn OffRamp,
    id: Uuid,
    effect: &Effect,
    state: PayoutState,
    attempt: i32,
) -> Next {
    match state {
        PayoutState::Pending => Next::AcceptedThen(backoff_ms(attempt)),
        PayoutState::Paid { amount, reference } => Next::Found(Finding::PaidOut { amount, reference }),
        PayoutState::Returning(reason) => Next::Found(Finding::Returning { reason }),
        PayoutState::Refused(reason) => Next::Found(Finding::Refused { reason }),
        PayoutState::Returned { batch, tx, amount, reason } => match node.sightings.returned(node, ramp, batch).await {
            Sighted::Seen(batch) if batch.tx == tx && batch.share(id) == u128::try_from(amount.minor).ok() => {
                let offer = sell_back::offer(node, effect).await;
                Next::Found(Finding::Returned { amount, tx: tx.to_string(), reason, offer })
            }
            Sighted::Seen(_) => contradicted(id, "share"),
            Sighted::NotYet => Next::AcceptedThen(400),
            Sighted::Contradicted(reason) => contradicted(id, reason),
        },
    }
}

fn contradicted(id: Uuid, reason: &str) -> Next {
    tracing::error!(%id, reason, "the chain contradicts the off-ramp");
    Next::Found(Finding::Unresolved { reason: format!("return_{reason}") })
}
