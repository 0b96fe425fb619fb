//! Findings about a transfer's effects move it along, once each.

use super::{Answer, Decision, Report, money_out};
use crate::account::AccountKind::{
    Available, Conversion, Fees, Held, InTransit, OffRamp, Rounding, Spread, Suspense, Wallet,
};
use crate::account::{AccountId, AccountKind};
use crate::effect::{Effect, EffectKind, EffectOrder, EffectStatus};
use crate::event::Event;
use crate::finding::Finding;
use crate::id::{BatchId, TransferId, WithdrawalId};
use crate::limit::Usage;
use crate::posting::{Journal, PostingCode};
use crate::quote::QuoteTerms;
use crate::time::Timestamp;
use crate::transfer::{Progress, Transfer, TransferState};
use crate::withdrawal::WithdrawalState;
use crate::world::{Change, World};

/// Applies a finding. Nothing happens if the effect is not the subject's own, is unknown, done or called
/// off, or if an acceptance comes again.
pub(super) fn finding(world: &World, report: &Report, now: Timestamp) -> Decision {
    let tenant = report.tenant;
    let Some(kind) = EffectKind::ALL.into_iter().find(|k| k.id_for(report.subject) == report.effect) else {
        return Decision::nothing();
    };
    let news = match world.effects.get(&(tenant, report.effect)) {
        Some(EffectStatus::Untouched | EffectStatus::Started) => true,
        Some(EffectStatus::Accepted) => report.finding != Finding::Accepted,
        Some(EffectStatus::Done | EffectStatus::Cancelled) if contradicts(world, report, kind) => {
            return Decision { changes: Vec::new(), answer: Answer::Contradicts };
        }
        Some(EffectStatus::Done | EffectStatus::Cancelled) | None => false,
    };
    if !news {
        return Decision::nothing();
    }
    let transfer = world.transfers.get(&(tenant, TransferId(report.subject)));
    let step = transfer.map(|transfer| Step { world, transfer, report, now });
    let decision = match kind {
        EffectKind::OnRamp => step.map(|step| step.on_ramp()),
        EffectKind::Settle => step.map(|step| step.settle()),
        EffectKind::OffRamp => step.map(|step| step.off_ramp()),
        EffectKind::BankPayment => {
            let withdrawal = world.withdrawals.get(&(tenant, WithdrawalId(report.subject)));
            withdrawal.map(|withdrawal| money_out::finding(withdrawal, report, now))
        }
    };
    decision.unwrap_or_else(Decision::nothing)
}

/// Whether a finding about an effect that has ended says that it succeeded, although it was not success that ended it.
fn contradicts(world: &World, report: &Report, kind: EffectKind) -> bool {
    let transfer = world.transfers.get(&(report.tenant, TransferId(report.subject)));
    let withdrawal = world.withdrawals.get(&(report.tenant, WithdrawalId(report.subject)));
    match (kind, &report.finding) {
        (EffectKind::OnRamp, Finding::Delivered { .. }) => transfer.is_some_and(|t| t.progress.delivered.is_none()),
        (EffectKind::OffRamp, Finding::PaidOut { .. }) => transfer.is_some_and(|t| t.progress.paid.is_none()),
        (EffectKind::BankPayment, Finding::PaymentExecuted) => {
            withdrawal.is_some_and(|w| w.state != WithdrawalState::Paid)
        }
        _ => false,
    }
}

/// All of the debit is the tenant's again; once it was ordered, what was exchanged is in transit.
pub(super) fn release_debit(journal: &mut Journal, terms: &QuoteTerms, ordered: bool) {
    let held = if ordered {
        journal.within(PostingCode::Release, InTransit, Available, terms.source);
        terms.fee()
    } else {
        terms.debit
    };
    journal.within(PostingCode::Release, Held, Available, held);
}

struct Step<'a> {
    world: &'a World,
    transfer: &'a Transfer,
    report: &'a Report,
    now: Timestamp,
}

impl Step<'_> {
    fn on_ramp(&self) -> Decision {
        let t = self.transfer;
        let terms = &t.terms;
        let mut journal = self.journal();
        let started = t.state == TransferState::OnRamping;
        if !started && t.state != TransferState::Funded {
            return Decision::nothing();
        }
        match &self.report.finding {
            Finding::Accepted if started => Decision::nothing(),
            Finding::Accepted => {
                journal.within(PostingCode::OnRampStart, Held, InTransit, terms.source);
                self.waiting(TransferState::OnRamping, journal, |_| {})
            }
            Finding::Delivered { amount, tx } => {
                if !started {
                    journal.within(PostingCode::OnRampStart, Held, InTransit, terms.source);
                }
                journal.post(
                    PostingCode::OnRampPaid,
                    self.tenants(InTransit),
                    platform(AccountKind::Bank),
                    terms.source,
                );
                journal.post(PostingCode::OnRampDelivered, platform(Wallet), self.tenants(InTransit), *amount);
                let learn = |p: &mut Progress| {
                    p.delivered = Some(*amount);
                    p.delivery_tx = Some(tx.clone());
                };
                if *amount != terms.bought {
                    return self.under_review(journal, "on_ramp_amount_differs", learn);
                }
                let settle = Effect::Settle {
                    chain: terms.route.chain.clone(),
                    provider: terms.route.off_ramp.clone(),
                    amount: terms.sent,
                    settlement: t.settlement,
                };
                self.next(TransferState::Settling, journal, Some(settle), learn)
            }
            Finding::Refused { reason } => {
                release_debit(&mut journal, terms, started);
                self.end(TransferState::Refunded, journal, |p| p.failure = Some(reason.clone()))
            }
            Finding::Unresolved { reason } => self.under_review(journal, reason, |_| {}),
            _ => Decision::nothing(),
        }
    }

    fn settle(&self) -> Decision {
        let t = self.transfer;
        if t.state != TransferState::Settling {
            return Decision::nothing();
        }
        let mut journal = self.journal();
        match &self.report.finding {
            Finding::Settled { batch, tx } => {
                journal.post(PostingCode::Settle, platform(OffRamp), platform(Wallet), t.terms.sent);
                let off_ramp = Effect::OffRamp {
                    provider: t.terms.route.off_ramp.clone(),
                    sent: t.terms.sent,
                    destination: t.terms.destination,
                    settlement_tx: tx.clone(),
                    country: t.beneficiary.country.clone(),
                };
                let (batch, tx): (BatchId, String) = (*batch, tx.clone());
                self.next(TransferState::OffRamping, journal, Some(off_ramp), move |p| {
                    p.settlement_batch = Some(batch);
                    p.settlement_tx = Some(tx);
                })
            }
            Finding::Refused { reason } | Finding::Unresolved { reason } => self.under_review(journal, reason, |_| {}),
            _ => Decision::nothing(),
        }
    }

    fn off_ramp(&self) -> Decision {
        let t = self.transfer;
        if !matches!(t.state, TransferState::OffRamping | TransferState::Refunding) {
            return Decision::nothing();
        }
        let terms = &t.terms;
        let mut journal = self.journal();
        match &self.report.finding {
            Finding::Accepted => {
                let changes = vec![Change::EffectMoved(t.tenant, self.report.effect, EffectStatus::Accepted)];
                Decision { changes, answer: Answer::Applied }
            }
            Finding::PaidOut { amount, reference } => {
                journal.post(PostingCode::PaidOut, platform(Conversion), platform(OffRamp), *amount);
                let learn = |p: &mut Progress| {
                    p.paid = Some(*amount);
                    p.payout_reference = Some(reference.clone());
                };
                let dispute = if *amount != terms.destination {
                    Some("payout_amount_differs")
                } else {
                    (t.state == TransferState::Refunding).then_some("paid_while_returning")
                };
                if let Some(reason) = dispute {
                    // The provider's books say that the tokens are used; ours agree, and the tenant's claim stays.
                    journal.post(PostingCode::Disputed, platform(Suspense), platform(OffRamp), terms.sent);
                    return self.under_review(journal, reason, learn);
                }
                let in_transit = self.tenants(InTransit);
                journal.post(PostingCode::OffRampUsed, in_transit, platform(OffRamp), terms.sent);
                journal.post(PostingCode::Spread, in_transit, platform(Spread), terms.spread);
                journal.post(PostingCode::Rounding, in_transit, platform(Rounding), terms.rounding);
                journal.post(PostingCode::Fee, self.tenants(Held), platform(Fees), self.transfer.terms.fee());
                self.end(TransferState::Completed, journal, learn)
            }
            Finding::Returning { .. } if t.state == TransferState::Refunding => Decision::nothing(),
            Finding::Returning { reason } => {
                self.waiting(TransferState::Refunding, journal, |p| p.failure = Some(reason.clone()))
            }
            Finding::Returned { amount, tx, reason } => {
                journal.post(PostingCode::Returned, platform(Wallet), platform(OffRamp), *amount);
                let learn = |p: &mut Progress| {
                    p.return_tx = Some(tx.clone());
                    p.failure = Some(reason.clone());
                };
                if *amount != terms.sent {
                    return self.under_review(journal, "return_amount_differs", learn);
                }
                journal.within(PostingCode::CreditStable, InTransit, Available, terms.bought);
                journal.within(PostingCode::Release, Held, Available, self.transfer.terms.fee());
                self.end(TransferState::Refunded, journal, learn)
            }
            Finding::Refused { reason } | Finding::Unresolved { reason } => self.under_review(journal, reason, |_| {}),
            _ => Decision::nothing(),
        }
    }

    /// The effect has been taken; its result is awaited.
    fn waiting(&self, state: TransferState, journal: Journal, learn: impl FnOnce(&mut Progress)) -> Decision {
        let mut changes = vec![Change::EffectMoved(self.transfer.tenant, self.report.effect, EffectStatus::Accepted)];
        changes.extend(journal.into_postings().into_iter().map(Change::Posted));
        advance(self.transfer, state, self.now, learn, &mut changes);
        Decision { changes, answer: Answer::Applied }
    }

    /// The effect is done; perhaps another follows.
    fn next(
        &self,
        state: TransferState,
        journal: Journal,
        effect: Option<Effect>,
        learn: impl FnOnce(&mut Progress),
    ) -> Decision {
        let t = self.transfer;
        let mut changes = vec![Change::EffectMoved(t.tenant, self.report.effect, EffectStatus::Done)];
        changes.extend(journal.into_postings().into_iter().map(Change::Posted));
        changes.extend(effect.map(|e| Change::EffectOrdered(EffectOrder::new(t.tenant, t.id.0, e))));
        advance(t, state, self.now, learn, &mut changes);
        Decision { changes, answer: Answer::Applied }
    }

    /// The transfer has ended: it no longer counts as pending.
    fn end(&self, state: TransferState, journal: Journal, learn: impl FnOnce(&mut Progress)) -> Decision {
        let mut decision = self.next(state, journal, None, learn);
        let usage = usage_after_end(self.world, self.transfer);
        decision.changes.push(Change::UsageChanged(self.transfer.tenant, self.transfer.terms.debit.currency, usage));
        decision
    }

    fn under_review(&self, journal: Journal, reason: &str, learn: impl FnOnce(&mut Progress)) -> Decision {
        self.next(TransferState::UnderReview, journal, None, |p| {
            learn(p);
            p.failure = Some(reason.to_owned());
            p.reviewed_from = Some(self.transfer.state);
        })
    }

    fn journal(&self) -> Journal {
        Journal::new(self.transfer.tenant, self.transfer.id.0)
    }

    fn tenants(&self, kind: AccountKind) -> AccountId {
        AccountId::tenant(self.transfer.tenant, kind)
    }
}

pub(super) fn platform(kind: AccountKind) -> AccountId {
    AccountId::platform(kind)
}

/// The transfer in its new state, with the event that says so.
pub(super) fn advance(
    transfer: &Transfer,
    state: TransferState,
    now: Timestamp,
    learn: impl FnOnce(&mut Progress),
    changes: &mut Vec<Change>,
) -> Transfer {
    let mut after = transfer.clone();
    after.state = state;
    after.version += 1;
    after.updated_at = now;
    learn(&mut after.progress);
    changes.push(Change::TransferChanged(after.clone()));
    changes.push(Change::Happened(Event::of_transfer(&after)));
    after
}

/// The use of limits once the transfer is no longer pending.
pub(super) fn usage_after_end(world: &World, transfer: &Transfer) -> Usage {
    let mut usage = world.position(transfer.tenant, transfer.terms.debit.currency).usage;
    usage.pending = (usage.pending - transfer.terms.debit.minor).max(0);
    usage
}
