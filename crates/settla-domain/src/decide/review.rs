//! Decisions about what is under review. Where the money is follows from what is known of the payment, never from the
//! decision; a decision that does not fit it is refused.

use super::report::{advance, platform, release_debit, usage_after_end};
use super::{Answer, Decision};
use crate::account::AccountId;
use crate::account::AccountKind::{
    Available, Bank, Conversion, Fees, Held, InTransit, OffRamp, Rounding, Spread, Suspense,
};
use crate::effect::{EffectKind, EffectStatus};
use crate::event::{Event, EventData};
use crate::id::{TransferId, WithdrawalId};
use crate::money::Money;
use crate::posting::{Journal, PostingCode};
use crate::refusal::Refusal;
use crate::review::{Decided, Decision as Verdict};
use crate::time::Timestamp;
use crate::transfer::{Progress, Transfer, TransferState};
use crate::withdrawal::{Withdrawal, WithdrawalState};
use crate::world::{Change, World};

/// Carries a decision out.
pub(super) fn decided(world: &World, decided: &Decided, now: Timestamp) -> Result<Decision, Refusal> {
    if decided.proposed_by.is_empty() || decided.proposed_by == decided.approved_by || decided.approved_by.is_empty() {
        return Err(Refusal::SecondPersonNeeded);
    }
    if let Some(transfer) = world.transfers.get(&(decided.tenant, TransferId(decided.subject))) {
        return Review { world, transfer, now }.decide(&decided.decision);
    }
    let withdrawal = world.withdrawals.get(&(decided.tenant, WithdrawalId(decided.subject)));
    withdrawal_decided(withdrawal.ok_or(Refusal::TransferNotFound)?, &decided.decision, now)
}

struct Review<'a> {
    world: &'a World,
    transfer: &'a Transfer,
    now: Timestamp,
}

/// Where a transfer's money is.
enum Stands {
    /// With us still, or with the on-ramp that gave nothing for it.
    BeforeDelivery { ordered: bool },
    /// The on-ramp gave another amount than was bought.
    OddDelivery(Money),
    /// The tokens are in our wallet.
    InWallet,
    /// The off-ramp has them and has said nothing that ends it.
    WithOffRamp,
    /// The off-ramp has paid, otherwise than agreed.
    PaidOtherwise,
    /// The off-ramp has sent tokens back, other than it got.
    OddReturn,
    /// They are being sold: in our wallet still, or with the buyer.
    ForSale { settled: bool },
}

impl Review<'_> {
    fn decide(&self, verdict: &Verdict) -> Result<Decision, Refusal> {
        let t = self.transfer;
        if t.state != TransferState::UnderReview {
            return Err(Refusal::NotUnderReview);
        }
        match (self.stands()?, verdict) {
            (Stands::BeforeDelivery { ordered }, Verdict::Retry) => {
                let state = if ordered { TransferState::OnRamping } else { TransferState::Funded };
                Ok(self.again(EffectKind::OnRamp, t.progress.order_leg(), state))
            }
            (Stands::InWallet, Verdict::Retry) => {
                Ok(self.again(EffectKind::Settle, t.progress.payout_leg(), TransferState::Settling))
            }
            (Stands::WithOffRamp, Verdict::Retry) => {
                Ok(self.again(EffectKind::OffRamp, t.progress.payout_leg(), TransferState::OffRamping))
            }
            (Stands::ForSale { settled: false }, Verdict::Retry) => {
                Ok(self.again(EffectKind::Settle, t.progress.payout_leg(), TransferState::Refunding))
            }
            (Stands::ForSale { settled: true }, Verdict::Retry) => {
                Ok(self.again(EffectKind::SellBack, 0, TransferState::Refunding))
            }
            (Stands::BeforeDelivery { ordered }, Verdict::Refund) => Ok(self.release(ordered)),
            (Stands::OddDelivery(delivered), Verdict::Refund) => Ok(self.credit(delivered)),
            (
                Stands::InWallet
                | Stands::WithOffRamp
                | Stands::PaidOtherwise
                | Stands::OddReturn
                | Stands::ForSale { .. },
                Verdict::Refund,
            ) => Ok(self.credit(t.terms.bought)),
            (Stands::WithOffRamp, Verdict::Complete { reference }) => Ok(self.paid_as_agreed(reference)),
            (Stands::PaidOtherwise, Verdict::Complete { .. }) => Ok(self.accept_payment()),
            _ => Err(Refusal::DecisionNotPossible),
        }
    }

    fn stands(&self) -> Result<Stands, Refusal> {
        let progress = &self.transfer.progress;
        // Written when it came under review.
        let from = progress.reviewed_from.ok_or(Refusal::DecisionNotPossible)?;
        Ok(match (from, progress.delivered) {
            (TransferState::Funded, None) => Stands::BeforeDelivery { ordered: false },
            (TransferState::OnRamping, None) => Stands::BeforeDelivery { ordered: true },
            (TransferState::Funded | TransferState::OnRamping, Some(delivered)) => Stands::OddDelivery(delivered),
            (TransferState::Settling, _) => Stands::InWallet,
            (TransferState::OffRamping | TransferState::Refunding, _) if progress.paid.is_some() => {
                Stands::PaidOtherwise
            }
            (TransferState::OffRamping | TransferState::Refunding, _) if progress.return_tx.is_some() => {
                Stands::OddReturn
            }
            (TransferState::OffRamping | TransferState::Refunding, _) => match &progress.sale {
                Some(sale) => Stands::ForSale { settled: sale.settlement_tx.is_some() },
                None => Stands::WithOffRamp,
            },
            _ => return Err(Refusal::DecisionNotPossible),
        })
    }

    /// The step is open again, as one that may have been started before.
    fn again(&self, kind: EffectKind, leg: u8, state: TransferState) -> Decision {
        let t = self.transfer;
        let mut changes = vec![Change::EffectMoved(t.tenant, kind.id_on_leg(t.id.0, leg), EffectStatus::Started)];
        let learn = |p: &mut Progress| {
            p.failure = None;
            p.reviewed_from = None;
        };
        let after = advance(t, state, self.now, learn, &mut changes);
        Decision { changes, answer: Answer::Transfer(after) }
    }

    fn release(&self, ordered: bool) -> Decision {
        let mut journal = Journal::new(self.transfer.tenant, self.transfer.id.0);
        release_debit(&mut journal, &self.transfer.terms, ordered);
        self.end(TransferState::Refunded, journal, |_| {})
    }

    /// The stablecoin is the tenant's, and the fee is given back.
    fn credit(&self, amount: Money) -> Decision {
        let mut journal = Journal::new(self.transfer.tenant, self.transfer.id.0);
        journal.within(PostingCode::CreditStable, InTransit, Available, amount);
        journal.within(PostingCode::Release, Held, Available, self.transfer.terms.fee());
        self.end(TransferState::Refunded, journal, |_| {})
    }

    /// As if the off-ramp had said so itself.
    fn paid_as_agreed(&self, reference: &str) -> Decision {
        let terms = &self.transfer.terms;
        let mut journal = Journal::new(self.transfer.tenant, self.transfer.id.0);
        journal.post(PostingCode::PaidOut, platform(Conversion), platform(OffRamp), terms.destination);
        journal.post(
            PostingCode::OffRampUsed,
            AccountId::tenant(self.transfer.tenant, InTransit),
            platform(OffRamp),
            terms.sent,
        );
        self.earn(&mut journal);
        self.end(TransferState::Completed, journal, |p| {
            p.paid = Some(terms.destination);
            p.payout_reference = Some(reference.to_owned());
        })
    }

    /// What was disputed is what it cost.
    fn accept_payment(&self) -> Decision {
        let mut journal = Journal::new(self.transfer.tenant, self.transfer.id.0);
        journal.post(
            PostingCode::DisputeSettled,
            AccountId::tenant(self.transfer.tenant, InTransit),
            platform(Suspense),
            self.transfer.terms.sent,
        );
        self.earn(&mut journal);
        self.end(TransferState::Completed, journal, |_| {})
    }

    fn earn(&self, journal: &mut Journal) {
        let terms = &self.transfer.terms;
        journal.post(
            PostingCode::Spread,
            AccountId::tenant(self.transfer.tenant, InTransit),
            platform(Spread),
            terms.spread,
        );
        journal.post(
            PostingCode::Rounding,
            AccountId::tenant(self.transfer.tenant, InTransit),
            platform(Rounding),
            terms.rounding,
        );
        journal.post(PostingCode::Fee, AccountId::tenant(self.transfer.tenant, Held), platform(Fees), terms.fee());
    }

    fn end(&self, state: TransferState, journal: Journal, learn: impl FnOnce(&mut Progress)) -> Decision {
        let t = self.transfer;
        let mut changes: Vec<Change> = journal.into_postings().into_iter().map(Change::Posted).collect();
        changes.push(Change::UsageChanged(t.tenant, t.terms.debit.currency, usage_after_end(self.world, t)));
        let after = advance(t, state, self.now, learn, &mut changes);
        Decision { changes, answer: Answer::Transfer(after) }
    }
}

/// A withdrawal that the bank was never heard of about.
fn withdrawal_decided(withdrawal: &Withdrawal, verdict: &Verdict, now: Timestamp) -> Result<Decision, Refusal> {
    if withdrawal.state != WithdrawalState::UnderReview {
        return Err(Refusal::NotUnderReview);
    }
    let tenant = withdrawal.tenant;
    let mut journal = Journal::new(tenant, withdrawal.id.0);
    let mut changes = Vec::new();
    let (state, event) = match verdict {
        Verdict::Retry => {
            let effect = EffectKind::BankPayment.id_for(withdrawal.id.0);
            changes.push(Change::EffectMoved(tenant, effect, EffectStatus::Started));
            (WithdrawalState::Pending, None)
        }
        Verdict::Refund => {
            journal.within(PostingCode::WithdrawRelease, Held, Available, withdrawal.amount);
            (WithdrawalState::Refused, Some("withdrawal.refused"))
        }
        Verdict::Complete { .. } => {
            let held = AccountId::tenant(tenant, Held);
            journal.post(PostingCode::WithdrawPaid, held, AccountId::platform(Bank), withdrawal.amount);
            (WithdrawalState::Paid, Some("withdrawal.paid"))
        }
    };
    let failure = if state == WithdrawalState::Refused { withdrawal.failure.clone() } else { None };
    let after = Withdrawal { state, failure: failure.clone(), updated_at: now, ..withdrawal.clone() };
    changes.push(Change::WithdrawalChanged(after.clone()));
    changes.extend(journal.into_postings().into_iter().map(Change::Posted));
    if let Some(kind) = event {
        let data = EventData::Withdrawal { withdrawal_id: withdrawal.id, amount: withdrawal.amount, failure };
        changes.push(Change::Happened(Event { tenant, subject: withdrawal.id.0, kind, at: now, data }));
    }
    Ok(Decision { changes, answer: Answer::Withdrawal(after) })
}
