//! Tokens that nobody pays out, sold for the source currency: a payout of an off-ramp to ourselves.

use crate::provider::{Desk, Next};
use crate::{Node, off_ramp};
use async_trait::async_trait;
use settla_domain::effect::{Effect, EffectKind};
use settla_domain::finding::{Finding, SaleOffer};
use settla_domain::rate::Rounding;
use settla_rails::off_ramp::PayoutBeneficiary;
use settla_server::clock::now;
use settla_store::outbox::Claim;
use settla_vault::{Pii, PiiAccount, PiiName};

/// A buyer that has not paid into our bank account for so long is a matter for people.
const UNPAID_MS_MAX: i64 = 24 * 3_600_000;

/// Carries out [`Effect::SellBack`].
pub(crate) struct SellBackDesk;

#[async_trait]
impl Desk for SellBackDesk {
    fn kind(&self) -> EffectKind {
        EffectKind::SellBack
    }

    async fn handle(&self, node: &Node, claim: &Claim) -> Next {
        let next = off_ramp::carry_out(node, claim).await;
        // It is over when the bank's statement says so, and stays open until then.
        let is_overdue = now().ms_since(claim.first_attempt_at) > UNPAID_MS_MAX;
        match next {
            Next::Found(Finding::PaidOut { .. }) | Next::AcceptedThen(_) if is_overdue => {
                Next::Found(Finding::Unresolved { reason: "sale_not_credited".to_owned() })
            }
            next => next,
        }
    }
}

/// Our own account at our bank.
pub(crate) fn ourselves(node: &Node) -> PayoutBeneficiary {
    PayoutBeneficiary {
        name: PiiName::new("Settla".to_owned()),
        account_number: PiiAccount::new(node.bank.account().to_owned()),
        bank_code: Pii::new(String::new()),
        country: "GB".to_owned(),
    }
}

/// Who would give most for the tokens of a payout at the moment. Nobody, if it was a sale itself.
pub(crate) async fn offer(node: &Node, effect: &Effect) -> Option<SaleOffer> {
    let Effect::OffRamp { sent, refund_currency: Some(currency), .. } = effect else { return None };
    let mut best: Option<(i128, SaleOffer)> = None;
    for (name, ramp) in &node.off_ramps {
        if !crate::provider::is_on(node, name).await {
            continue;
        }
        let Ok(offer) = ramp.offer().await else { continue };
        let Some(rate) = offer.rates.get(&(sent.currency, *currency)) else { continue };
        let Ok(worth) = rate.rate.convert(*sent, *currency, Rounding::Down) else { continue };
        // What is sold is what was bought, a little more than was sent.
        let has_it = offer.liquidity.get(currency).is_some_and(|available| *available / 2 >= worth.minor);
        if has_it && best.as_ref().is_none_or(|(most, _)| worth.minor > *most) {
            best = Some((worth.minor, SaleOffer { provider: name.clone(), rate: rate.clone() }));
        }
    }
    best.map(|(_, offer)| offer)
}
