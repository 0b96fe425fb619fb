//! The trail of postings that a transfer or withdrawal must have left by the state it is in: what its state and what
//! became known of it demand, worked out without the engine's own postings, so that the two can be compared.

use crate::account::AccountKind;
use crate::money::Money;
use crate::posting::PostingCode as Code;
use crate::transfer::{Sale, Transfer, TransferState as State};
use crate::withdrawal::{Withdrawal, WithdrawalState};
use AccountKind::{
    Available, Bank, Conversion, Exchange, Fees, Held, InTransit, OffRamp, Rounding, Spread, Suspense, Wallet,
};

/// A posting as far as the trail goes: why, from where to where, how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Why.
    pub code: Code,
    /// The kind of the account debited.
    pub debit: AccountKind,
    /// The kind of the account credited.
    pub credit: AccountKind,
    /// How much.
    pub amount: Money,
}

/// A posting that is not as the state demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfit {
    /// Demanded and not there.
    Missing(Step),
    /// There and not demanded: of another kind, of another amount, or once more.
    Surplus(Step),
}

/// What the postings of a transfer lack or have too much.
pub fn of_transfer(transfer: &Transfer, postings: &[Step]) -> Vec<Misfit> {
    compare(&demanded(transfer, postings), postings)
}

/// What the postings of a withdrawal lack or have too much.
pub fn of_withdrawal(withdrawal: &Withdrawal, postings: &[Step]) -> Vec<Misfit> {
    let step = |code, debit, credit| Step { code, debit, credit, amount: withdrawal.amount };
    let mut steps = vec![step(Code::WithdrawHold, Available, Held)];
    match withdrawal.state {
        WithdrawalState::Pending | WithdrawalState::UnderReview => {}
        WithdrawalState::Refused => steps.push(step(Code::WithdrawRelease, Held, Available)),
        WithdrawalState::Paid => steps.push(step(Code::WithdrawPaid, Held, Bank)),
    }
    compare(&steps, postings)
}

fn compare(demanded: &[Step], found: &[Step]) -> Vec<Misfit> {
    let mut surplus = found.to_vec();
    let mut misfits = Vec::new();
    for step in demanded.iter().filter(|step| step.amount.minor != 0) {
        match surplus.iter().position(|other| other == step) {
            Some(place) => drop(surplus.swap_remove(place)),
            None => misfits.push(Misfit::Missing(*step)),
        }
    }
    misfits.extend(surplus.into_iter().map(Misfit::Surplus));
    misfits
}

/// Three things a transfer does not say of itself are taken from the postings: whether a refund came before or after the
/// order, what came back, and whether a payment was disputed. Each is bounded by what the state allows.
fn demanded(t: &Transfer, postings: &[Step]) -> Vec<Step> {
    let (terms, progress) = (&t.terms, &t.progress);
    let has = |code| postings.iter().any(|step| step.code == code);
    let with_off_ramp = matches!(t.state, State::OffRamping | State::Refunding | State::Completed);
    let delivered = progress.delivered.or((with_off_ramp || t.state == State::Settling).then_some(terms.bought));
    let ordered = match t.state {
        State::Created | State::Funded | State::Cancelled | State::Failed => false,
        State::OnRamping | State::Settling | State::OffRamping | State::Refunding | State::Completed => true,
        State::Refunded => delivered.is_some() || has(Code::OnRampStart),
        State::UnderReview => delivered.is_some() || progress.reviewed_from != Some(State::Funded),
    };

    let mut steps = Vec::with_capacity(12);
    let mut step = |code, debit, credit, amount| steps.push(Step { code, debit, credit, amount });
    if t.state != State::Created && t.state != State::Failed {
        step(Code::Hold, Available, Held, terms.debit);
    }
    if ordered {
        step(Code::OnRampStart, Held, InTransit, terms.source);
    }
    if let Some(delivered) = delivered {
        step(Code::OnRampPaid, InTransit, Bank, terms.source);
        step(Code::OnRampDelivered, Wallet, InTransit, delivered);
    }
    // Legs that are over: what went there has come back.
    for leg in progress.returned_payouts.iter().filter(|leg| leg.settlement_tx.is_some()) {
        step(Code::Settle, OffRamp, Wallet, terms.sent);
        if leg.return_tx.is_some() {
            step(Code::Returned, Wallet, OffRamp, terms.sent);
        }
    }
    match &progress.sale {
        Some(sale) if sale.settlement_tx.is_some() => step(Code::Settle, OffRamp, Wallet, terms.bought),
        Some(_) => {}
        None if with_off_ramp || progress.settlement_tx.is_some() => step(Code::Settle, OffRamp, Wallet, terms.sent),
        None => {}
    }
    let paid = progress.paid.or((t.state == State::Completed).then_some(terms.destination));
    if let Some(paid) = paid {
        step(Code::PaidOut, Conversion, OffRamp, paid);
    }
    if progress.return_tx.is_some() {
        // Only people end one of which another amount came back, or nothing at all.
        let agreed = t.state == State::Refunded && progress.reviewed_from.is_none();
        let all = if progress.sale.is_some() { terms.bought } else { terms.sent };
        let nothing = Money::new(terms.sent.currency, 0);
        let earlier = progress.returned_payouts.iter().filter(|leg| leg.return_tx.is_some()).count();
        let came = came_back(postings, earlier, terms.sent);
        step(Code::Returned, Wallet, OffRamp, if agreed { all } else { came.unwrap_or(nothing) });
    }
    let disputed = paid.is_some() && (t.state != State::Completed || has(Code::Disputed));
    if disputed {
        step(Code::Disputed, Suspense, OffRamp, terms.sent);
    }
    match t.state {
        State::Completed => {
            if disputed {
                step(Code::DisputeSettled, InTransit, Suspense, terms.sent);
            } else {
                step(Code::OffRampUsed, InTransit, OffRamp, terms.sent);
            }
            step(Code::Spread, InTransit, Spread, terms.spread);
            step(Code::Rounding, InTransit, Rounding, terms.rounding);
            step(Code::Fee, Held, Fees, terms.fee());
        }
        State::Cancelled => step(Code::Release, Held, Available, terms.debit),
        State::Refunded => match delivered {
            Some(_) if progress.sale.as_ref().is_some_and(Sale::is_paid) => {
                let proceeds = progress.sale.as_ref().map_or(terms.source, |sale| sale.proceeds);
                let result = Money::new(proceeds.currency, (terms.source.minor - proceeds.minor).abs());
                let is_loss = proceeds.minor < terms.source.minor;
                step(Code::SoldBack, InTransit, OffRamp, terms.bought);
                step(Code::SaleProceeds, Bank, Available, if is_loss { proceeds } else { terms.source });
                let (debit, credit) = if is_loss { (Exchange, Available) } else { (Bank, Exchange) };
                step(Code::ExchangeResult, debit, credit, result);
                step(Code::Release, Held, Available, terms.fee());
            }
            Some(delivered) => {
                step(Code::CreditStable, InTransit, Available, delivered);
                step(Code::Release, Held, Available, terms.fee());
            }
            None if ordered => {
                step(Code::Release, InTransit, Available, terms.source);
                step(Code::Release, Held, Available, terms.fee());
            }
            None => step(Code::Release, Held, Available, terms.debit),
        },
        _ => {}
    }
    steps
}

/// What came back on the present leg, by its posting: the one that is left when those of earlier legs are taken away.
fn came_back(postings: &[Step], earlier: usize, sent: Money) -> Option<Money> {
    let mut amounts: Vec<Money> =
        postings.iter().filter(|step| step.code == Code::Returned).map(|step| step.amount).collect();
    for _ in 0..earlier {
        if let Some(place) = amounts.iter().position(|amount| *amount == sent) {
            amounts.remove(place);
        }
    }
    amounts.into_iter().next()
}
