//! Withdrawals, paid by our bank.

use crate::Node;
use crate::provider::{
    Desk, Next, NotFound, Refusal, after_unknown, backoff_ms, begins, in_time, not_found, not_started, refused,
};
use async_trait::async_trait;
use settla_domain::effect::{Effect, EffectKind};
use settla_domain::finding::Finding;
use settla_rails::bank::{Payment, PaymentState};
use settla_rails::{Enquired, Started};
use settla_store::outbox::Claim;
use settla_vault::PiiAccount;

/// Until this long after a payment was ordered, "not found" proves nothing.
const ACCEPTANCE_DELAY_MS: i64 = 2_000;
/// The reference is the payment's name for ever, so a repeat is recognised for ever.
const IDEMPOTENCY_LIFETIME_MS: i64 = i64::MAX;

/// Carries out [`Effect::BankPayment`].
pub(crate) struct BankDesk;

#[async_trait]
impl Desk for BankDesk {
    fn kind(&self) -> EffectKind {
        EffectKind::BankPayment
    }

    async fn handle(&self, node: &Node, claim: &Claim) -> Next {
        let Effect::BankPayment { reference, .. } = &claim.effect else { return Next::Later(60_000) };
        if begins(claim) {
            return start(node, claim).await;
        }
        match node.bank.enquire(reference).await {
            Enquired::Known(state) => judge(state, claim.attempt),
            Enquired::NotFound if !claim.accepted => {
                match not_found(node, claim, ACCEPTANCE_DELAY_MS, IDEMPOTENCY_LIFETIME_MS) {
                    NotFound::TooEarly(delay_ms) => Next::Later(delay_ms),
                    NotFound::StartAgain => start(node, claim).await,
                    NotFound::PastLifetime => {
                        Next::Found(Finding::Unresolved { reason: "bank_not_reached".to_owned() })
                    }
                }
            }
            Enquired::NotFound | Enquired::Unknown => Next::Later(backoff_ms(claim.attempt)),
        }
    }
}

async fn start(node: &Node, claim: &Claim) -> Next {
    let Effect::BankPayment { amount, reference } = &claim.effect else { return Next::Later(60_000) };
    let parties = match node.payees.open(claim.tenant, claim.subject).await {
        Ok(parties) => parties,
        Err(error) => {
            tracing::error!(%error, effect = %claim.id, "the payee does not open");
            return match error.lasting() {
                None => Next::Later(backoff_ms(claim.attempt)),
                Some(reason) => Next::Found(Finding::Unresolved { reason: reason.to_owned() }),
            };
        }
    };
    const WHY: &str = "a UK account is named by sort code and number together";
    let account = match parties.recipient_bank {
        Some(bank) => PiiAccount::new(format!("{}{}", bank.reveal_pii(WHY), parties.recipient_account.reveal_pii(WHY))),
        None => parties.recipient_account,
    };
    let payment = Payment { reference: reference.clone(), amount: *amount, name: parties.recipient_name, account };
    if !in_time(node, claim) {
        return Next::Later(0);
    }
    match node.bank.pay(&payment).await {
        Started::Taken(state) => judge(state, claim.attempt),
        Started::Refused(reason) => {
            match refused(node, claim, ACCEPTANCE_DELAY_MS, node.bank.enquire(reference)).await {
                Refusal::Final => not_started(claim, &reason),
                Refusal::Taken(state) => judge(state, claim.attempt),
                Refusal::Unclear => Next::Later(backoff_ms(claim.attempt)),
            }
        }
        Started::Unknown => after_unknown(claim, ACCEPTANCE_DELAY_MS),
    }
}

fn judge(state: PaymentState, attempt: i32) -> Next {
    match state {
        PaymentState::Pending => Next::AcceptedThen(backoff_ms(attempt)),
        PaymentState::Executed => Next::Found(Finding::PaymentExecuted),
        PaymentState::Rejected => Next::Found(Finding::Refused { reason: "rejected_by_bank".to_owned() }),
    }
}
