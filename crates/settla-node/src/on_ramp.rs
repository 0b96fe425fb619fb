//! On-ramp orders.

use crate::Node;
use crate::provider::{
    Desk, Next, NotFound, Refusal, after_unknown, backoff_ms, begins, in_time, is_on, not_found, not_started, refused,
};
use crate::sightings::Sighted;
use async_trait::async_trait;
use settla_domain::effect::{Effect, EffectKind};
use settla_domain::finding::{Finding, PROVIDER_OFF};
use settla_rails::on_ramp::{OnRamp, Order, OrderState};
use settla_rails::{Enquired, Started};
use settla_store::outbox::Claim;
use uuid::Uuid;

/// Carries out [`Effect::OnRamp`].
pub(crate) struct OnRampDesk;

#[async_trait]
impl Desk for OnRampDesk {
    fn kind(&self) -> EffectKind {
        EffectKind::OnRamp
    }

    async fn handle(&self, node: &Node, claim: &Claim) -> Next {
        let Effect::OnRamp { provider, source, expected } = &claim.effect else { return Next::Later(60_000) };
        let ramp = node.on_ramps.get(provider);
        // Nobody has been asked anything yet, and nobody is in this attempt: the proof that it has failed.
        if begins(claim) && (ramp.is_none() || !is_on(node, provider).await) {
            return not_started(claim, PROVIDER_OFF);
        }
        let Some(ramp) = ramp else {
            tracing::error!(provider, "no such on-ramp is configured");
            return Next::Later(60_000);
        };
        let Ok(terms) = node.sightings.terms(provider, ramp.terms()).await else {
            return Next::Later(backoff_ms(claim.attempt));
        };
        let order = Order {
            id: claim.id.0,
            source: *source,
            expected: *expected,
            wallet: node.wallet,
            bank_account: node.bank.account().to_owned(),
        };
        if begins(claim) {
            return start(node, ramp.as_ref(), &order, terms.acceptance_delay_ms, claim).await;
        }
        match ramp.enquire(claim.id.0).await {
            Enquired::Known(state) => judge(node, ramp.as_ref(), claim.id.0, state, claim.attempt).await,
            Enquired::Unknown => Next::Later(backoff_ms(claim.attempt)),
            Enquired::NotFound if claim.accepted => {
                tracing::error!(effect = %claim.id, "the on-ramp does not know an order it had taken");
                Next::Later(backoff_ms(claim.attempt))
            }
            Enquired::NotFound => {
                match not_found(node, claim, terms.acceptance_delay_ms, terms.idempotency_lifetime_ms) {
                    NotFound::TooEarly(delay_ms) => Next::Later(delay_ms),
                    NotFound::StartAgain => start(node, ramp.as_ref(), &order, terms.acceptance_delay_ms, claim).await,
                    NotFound::PastLifetime => {
                        Next::Found(Finding::Unresolved { reason: "on_ramp_not_reached".to_owned() })
                    }
                }
            }
        }
    }
}

async fn start(node: &Node, ramp: &dyn OnRamp, order: &Order, acceptance_delay_ms: i64, claim: &Claim) -> Next {
    if !in_time(node, claim) {
        return Next::Later(0);
    }
    match ramp.start(order).await {
        Started::Taken(state) => judge(node, ramp, order.id, state, claim.attempt).await,
        Started::Refused(reason) => match refused(node, claim, acceptance_delay_ms, ramp.enquire(order.id)).await {
            Refusal::Final => not_started(claim, &reason),
            Refusal::Taken(state) => judge(node, ramp, order.id, state, claim.attempt).await,
            Refusal::Unclear => Next::Later(backoff_ms(claim.attempt)),
        },
        Started::Unknown => after_unknown(claim, acceptance_delay_ms),
    }
}

/// What an order's state means. A delivery counts once it is seen on chain, and for as much as its manifest
/// says.
pub(crate) async fn judge(node: &Node, ramp: &dyn OnRamp, id: Uuid, state: OrderState, attempt: i32) -> Next {
    match state {
        OrderState::Pending => Next::AcceptedThen(backoff_ms(attempt)),
        OrderState::Rejected(reason) => Next::Found(Finding::Refused { reason }),
        OrderState::Delivered { delivery, tx, amount } => match node.sightings.delivery(node, ramp, delivery).await {
            Sighted::Seen(batch) if batch.tx == tx && batch.share(id) == u128::try_from(amount.minor).ok() => {
                Next::Found(Finding::Delivered { amount, tx: tx.to_string() })
            }
            Sighted::Seen(_) => contradicted(id, "share"),
            Sighted::NotYet => Next::AcceptedThen(400),
            Sighted::Contradicted(reason) => contradicted(id, reason),
        },
    }
}

fn contradicted(id: Uuid, reason: &str) -> Next {
    tracing::error!(%id, reason, "the chain contradicts the on-ramp");
    Next::Found(Finding::Unresolved { reason: format!("delivery_{reason}") })
}
