//! Withdrawals: held when asked for, gone when the bank says so, released when it refuses.

use super::create::active;
use super::{Answer, Decision, Report};
use crate::account::{AccountId, AccountKind};
use crate::effect::{Effect, EffectOrder, EffectStatus};
use crate::event::{Event, EventData};
use crate::finding::Finding;
use crate::posting::{Journal, PostingCode};
use crate::refusal::Refusal;
use crate::time::Timestamp;
use crate::withdrawal::{Withdrawal, WithdrawalState, bank_reference};
use crate::world::{Change, World};

/// Holds the amount and orders the payment. The reference is unique for ever, whatever idempotency keys do.
pub(super) fn create(world: &World, withdrawal: &Withdrawal) -> Result<Decision, Refusal> {
    let tenant = withdrawal.tenant;
    active(world, tenant)?;
    if withdrawal.amount.currency.is_stable() {
        return Err(Refusal::NotWithdrawable);
    }
    if world.withdrawal_references.contains(&(tenant, withdrawal.reference.clone())) {
        return Err(Refusal::ReferenceUsed);
    }
    if world.position(tenant, withdrawal.amount.currency).available < withdrawal.amount.minor {
        return Err(Refusal::InsufficientFunds);
    }
    let mut journal = Journal::new(tenant, withdrawal.id.0);
    journal.within(PostingCode::WithdrawHold, AccountKind::Available, AccountKind::Held, withdrawal.amount);
    let effect = Effect::BankPayment { amount: withdrawal.amount, reference: bank_reference(withdrawal.id) };
    let mut changes = vec![Change::WithdrawalCreated(withdrawal.clone())];
    changes.extend(journal.into_postings().into_iter().map(Change::Posted));
    changes.push(Change::EffectOrdered(EffectOrder::new(tenant, withdrawal.id.0, 0, effect)));
    Ok(Decision { changes, answer: Answer::Withdrawal(withdrawal.clone()) })
}

/// Applies what the bank said about the payment.
pub(super) fn finding(withdrawal: &Withdrawal, report: &Report, now: Timestamp) -> Decision {
    if withdrawal.state != WithdrawalState::Pending {
        return Decision::nothing();
    }
    let tenant = withdrawal.tenant;
    let mut journal = Journal::new(tenant, withdrawal.id.0);
    let held = AccountId::tenant(tenant, AccountKind::Held);
    let (state, failure, event) = match &report.finding {
        Finding::Accepted => {
            let moved = Change::EffectMoved(tenant, report.effect, EffectStatus::Accepted);
            return Decision { changes: vec![moved], answer: Answer::Applied };
        }
        Finding::PaymentExecuted => {
            let bank = AccountId::platform(AccountKind::Bank);
            journal.post(PostingCode::WithdrawPaid, held, bank, withdrawal.amount);
            (WithdrawalState::Paid, None, Some("withdrawal.paid"))
        }
        Finding::Refused { reason } => {
            journal.within(PostingCode::WithdrawRelease, AccountKind::Held, AccountKind::Available, withdrawal.amount);
            (WithdrawalState::Refused, Some(reason.clone()), Some("withdrawal.refused"))
        }
        Finding::Unresolved { reason } => (WithdrawalState::UnderReview, Some(reason.clone()), None),
        _ => return Decision::nothing(),
    };
    let after = Withdrawal { state, failure: failure.clone(), updated_at: now, ..withdrawal.clone() };
    let mut changes =
        vec![Change::EffectMoved(tenant, report.effect, EffectStatus::Done), Change::WithdrawalChanged(after)];
    changes.extend(journal.into_postings().into_iter().map(Change::Posted));
    if let Some(kind) = event {
        let data = EventData::Withdrawal { withdrawal_id: withdrawal.id, amount: withdrawal.amount, failure };
        changes.push(Change::Happened(Event { tenant, subject: withdrawal.id.0, kind, at: now, data }));
    }
    Decision { changes, answer: Answer::Applied }
}
