//! Findings about a transfer's effects move it along, once each.

use super::{Answer, Decision, Report, money_out};
use crate::account::AccountKind::{
    Available, Conversion, Fees, Held, InTransit, OffRamp, Rounding, Spread, Suspense, Wallet,
};
use crate::account::{AccountId, AccountKind};
use crate::effect::{Effect, EffectKind, EffectOrder, EffectStatus};
use crate::event::Event;
use crate::finding::{Finding, PROVIDER_OFF};
use crate::id::{BatchId, TransferId, WithdrawalId};
use crate::limit::Usage;
use crate::posting::{Journal, PostingCode};
use crate::quote::QuoteTerms;
use crate::time::Timestamp;
use crate::transfer::{Progress, RefusedOrder, Transfer, TransferState};
use crate::withdrawal::WithdrawalState;
use crate::world::{Change, World};

/// Applies a finding. Nothing happens if the effect is not the subject's own, is unknown, done or called
/// off, or if an acceptance comes again.
pub(super) fn finding(world: &World, report: &Report, now: Timestamp) -> Decision {
    let tenant = report.tenant;
    if let Finding::NotStarted { reason, attempt } = &report.finding {
        let key = (tenant, report.effect);
        let is_last = world.attempts.get(&key) == Some(attempt)
            && matches!(world.effects.get(&key), Some(EffectStatus::Untouched | EffectStatus::Started));
        let refused = Report { finding: Finding::Refused { reason: reason.clone() }, ..report.clone() };
        return if is_last { finding(world, &refused, now) } else { Decision::nothing() };
    }
    let Some((kind, leg)) = EffectKind::of(report.subject, report.effect) else {
        return Decision::nothing();
    };
    let news = match world.effects.get(&(tenant, report.effect)) {
        Some(EffectStatus::Untouched | EffectStatus::Started) => true,
        Some(EffectStatus::Accepted) => report.finding != Finding::Accepted,
        Some(EffectStatus::Done | EffectStatus::Cancelled) if contradicts(world, report, kind, leg) => {
            return Decision { changes: Vec::new(), answer: Answer::Contradicts };
        }
        Some(EffectStatus::Done | EffectStatus::Cancelled) | None => false,
    };
    if !news {
        return Decision::nothing();
    }
    let transfer = world.transfers.get(&(tenant, TransferId(report.subject)));
    let step = transfer.map(|transfer| Step { world, transfer, report, leg, now });
    let decision = match kind {
        EffectKind::OnRamp => step.map(|step| step.on_ramp()),
        EffectKind::Settle => step.map(|step| step.settle()),
        EffectKind::OffRamp => step.map(|step| step.off_ramp()),
        EffectKind::SellBack => step.map(|step| step.sell_back()),
        EffectKind::BankPayment => {
            let withdrawal = world.withdrawals.get(&(tenant, WithdrawalId(report.subject)));
            withdrawal.map(|withdrawal| money_out::finding(withdrawal, report, now))
        }
    };
    decision.unwrap_or_else(Decision::nothing)
}

/// Whether a finding about an effect that has ended says that it succeeded, although it was not success that ended it:
/// only the last leg can have been a success.
fn contradicts(world: &World, report: &Report, kind: EffectKind, leg: u8) -> bool {
    let transfer = world.transfers.get(&(report.tenant, TransferId(report.subject)));
    let withdrawal = world.withdrawals.get(&(report.tenant, WithdrawalId(report.subject)));
    match (kind, &report.finding) {
        (EffectKind::OnRamp, Finding::Delivered { .. }) => {
            transfer.is_some_and(|t| t.progress.delivered.is_none() || leg != t.progress.order_leg())
        }
        (EffectKind::OffRamp, Finding::PaidOut { .. }) => {
            transfer.is_some_and(|t| t.progress.paid.is_none() || leg != t.progress.payout_leg())
        }
        (EffectKind::SellBack, Finding::PaidOut { .. }) => {
            transfer.is_some_and(|t| t.progress.sale.as_ref().is_some_and(|sale| !sale.is_paid()))
        }
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

/// A finding about a step of a transfer.
pub(super) struct Step<'a> {
    pub(super) world: &'a World,
    pub(super) transfer: &'a Transfer,
    pub(super) report: &'a Report,
    pub(super) leg: u8,
    pub(super) now: Timestamp,
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
            Finding::Accepted if started => self.accepted(),
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
                let settle = self.order(0, self.settlement(0, &terms.route.off_ramp));
                self.next(TransferState::Settling, journal, Some(settle), learn)
            }
            Finding::Refused { reason } if terms.on_ramp(self.leg + 1).is_some() => self.order_elsewhere(reason),
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
        if let Some(sale) = &t.progress.sale {
            return self.settle_for_sale(sale);
        }
        let (TransferState::Settling, Some(provider)) = (t.state, t.terms.off_ramp(self.leg)) else {
            return Decision::nothing();
        };
        let mut journal = self.journal();
        match &self.report.finding {
            Finding::Settled { batch, tx } => {
                journal.post_on_leg(self.leg, PostingCode::Settle, platform(OffRamp), platform(Wallet), t.terms.sent);
                let off_ramp = Effect::OffRamp {
                    provider: provider.to_owned(),
                    sent: t.terms.sent,
                    destination: t.terms.destination,
                    settlement_tx: tx.clone(),
                    country: t.beneficiary.country.clone(),
                    refund_currency: Some(t.terms.source.currency),
                };
                let off_ramp = self.order(self.leg, off_ramp);
                let (batch, tx): (BatchId, String) = (*batch, tx.clone());
                self.next(TransferState::OffRamping, journal, Some(off_ramp), move |p| {
                    p.settlement_batch = Some(batch);
                    p.settlement_tx = Some(tx);
                })
            }
            Finding::Refused { reason } if reason == PROVIDER_OFF => self.settle_elsewhere(reason),
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
            Finding::Accepted => self.accepted(),
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
            Finding::Returned { amount, tx, reason, offer } => {
                journal.post_on_leg(self.leg, PostingCode::Returned, platform(Wallet), platform(OffRamp), *amount);
                if *amount != terms.sent {
                    return self.under_review(journal, "return_amount_differs", |p| p.return_tx = Some(tx.clone()));
                }
                self.tokens_are_back(journal, tx, reason, offer.as_ref())
            }
            Finding::Refused { reason } | Finding::Unresolved { reason } => self.under_review(journal, reason, |_| {}),
            _ => Decision::nothing(),
        }
    }

    /// Another on-ramp gets the order: this one has definitely taken nothing.
    fn order_elsewhere(&self, reason: &str) -> Decision {
        let (t, leg) = (self.transfer, self.leg + 1);
        let (Some(refused), Some(next)) = (t.terms.on_ramp(self.leg), t.terms.on_ramp(leg)) else {
            return Decision::nothing();
        };
        let refused = RefusedOrder { provider: refused.to_owned(), reason: reason.to_owned() };
        let order = Effect::OnRamp { provider: next.to_owned(), source: t.terms.source, expected: t.terms.bought };
        let order = self.order(leg, order);
        self.next(t.state, self.journal(), Some(order), |p| p.refused_orders.push(refused))
    }

    /// The tokens of this leg's payout go to its off-ramp.
    pub(super) fn settlement(&self, leg: u8, provider: &str) -> Effect {
        Effect::Settle {
            chain: self.transfer.terms.route.chain.clone(),
            provider: provider.to_owned(),
            amount: self.transfer.terms.sent,
            settlement: self.transfer.settlement,
            payout: Some(EffectKind::OffRamp.id_on_leg(self.transfer.id.0, leg)),
        }
    }

    pub(super) fn order(&self, leg: u8, effect: Effect) -> EffectOrder {
        EffectOrder::new(self.transfer.tenant, self.transfer.id.0, leg, effect)
    }

    /// The effect has been taken, and nothing else is new.
    pub(super) fn accepted(&self) -> Decision {
        let changes = vec![Change::EffectMoved(self.transfer.tenant, self.report.effect, EffectStatus::Accepted)];
        Decision { changes, answer: Answer::Applied }
    }

    /// The effect has been taken; its result is awaited.
    fn waiting(&self, state: TransferState, journal: Journal, learn: impl FnOnce(&mut Progress)) -> Decision {
        let mut changes = vec![Change::EffectMoved(self.transfer.tenant, self.report.effect, EffectStatus::Accepted)];
        changes.extend(journal.into_postings().into_iter().map(Change::Posted));
        advance(self.transfer, state, self.now, learn, &mut changes);
        Decision { changes, answer: Answer::Applied }
    }

    /// The effect is done; perhaps another follows.
    pub(super) fn next(
        &self,
        state: TransferState,
        journal: Journal,
        order: Option<EffectOrder>,
        learn: impl FnOnce(&mut Progress),
    ) -> Decision {
        let t = self.transfer;
        let mut changes = vec![Change::EffectMoved(t.tenant, self.report.effect, EffectStatus::Done)];
        changes.extend(journal.into_postings().into_iter().map(Change::Posted));
        changes.extend(order.map(Change::EffectOrdered));
        advance(t, state, self.now, learn, &mut changes);
        Decision { changes, answer: Answer::Applied }
    }

    /// The transfer has ended: it no longer counts as pending.
    pub(super) fn end(&self, state: TransferState, journal: Journal, learn: impl FnOnce(&mut Progress)) -> Decision {
        let mut decision = self.next(state, journal, None, learn);
        let usage = usage_after_end(self.world, self.transfer);
        decision.changes.push(Change::UsageChanged(self.transfer.tenant, self.transfer.terms.debit.currency, usage));
        decision
    }

    pub(super) fn under_review(&self, journal: Journal, reason: &str, learn: impl FnOnce(&mut Progress)) -> Decision {
        self.next(TransferState::UnderReview, journal, None, |p| {
            learn(p);
            p.failure = Some(reason.to_owned());
            p.reviewed_from = Some(self.transfer.state);
        })
    }

    pub(super) fn journal(&self) -> Journal {
        Journal::new(self.transfer.tenant, self.transfer.id.0)
    }

    pub(super) fn tenants(&self, kind: AccountKind) -> AccountId {
        AccountId::tenant(self.transfer.tenant, kind)
    }
}

pub(super) fn platform(kind: AccountKind) -> AccountId {
    AccountId::platform(kind)
}

/// The transfer in its new state, with the event that says so if it is another one.
pub(super) fn advance(
    transfer: &Transfer,
    state: TransferState,
    now: Timestamp,
    learn: impl FnOnce(&mut Progress),
    changes: &mut Vec<Change>,
) -> Transfer {
    let mut after = transfer.clone();
    after.state = state;
    after.updated_at = now;
    learn(&mut after.progress);
    // Whoever follows the events sees every version.
    let is_news = after.state != transfer.state;
    after.version += u32::from(is_news);
    changes.push(Change::TransferChanged(after.clone()));
    if is_news {
        changes.push(Change::Happened(Event::of_transfer(&after)));
    }
    after
}

/// The use of limits once the transfer is no longer pending.
pub(super) fn usage_after_end(world: &World, transfer: &Transfer) -> Usage {
    let mut usage = world.position(transfer.tenant, transfer.terms.debit.currency).usage;
    usage.pending = (usage.pending - transfer.terms.debit.minor).max(0);
    usage
}
