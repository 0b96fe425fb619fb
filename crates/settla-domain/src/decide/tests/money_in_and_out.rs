//! Traps 10 and 11: bank credits and withdrawals, each once.

use super::commands::{A, B, DAY_MS, SOURCES, WIDE, gbp, refused, report, unresolved, usual};
use super::desk::Desk;
use crate::account::AccountKind::{Bank, Suspense};
use crate::decide::Answer;
use crate::effect::Effect;
use crate::effect::EffectKind::BankPayment;
use crate::finding::Finding;
use crate::money::{Currency, Money};
use crate::refusal::Refusal;
use crate::withdrawal::{Withdrawal, WithdrawalState, bank_reference};
use crate::world::Change;

fn desk() -> Desk {
    Desk::new([(A, usual(WIDE)), (B, usual(WIDE))])
}

fn credited(desk: &Desk, reference: &str) -> i128 {
    desk.world.topups[reference].credited
}

#[test]
fn trap_10_an_announced_top_up_moves_no_money() {
    let mut desk = desk();
    desk.announce(A, gbp(100_00));
    assert_eq!(desk.parts(A, Currency::GBP), (0, 0, 0));
    assert_eq!(desk.books.len(), 0);
}

#[test]
fn trap_10_a_bank_entry_is_credited_once() {
    let mut desk = desk();
    let topup = desk.announce(A, gbp(100_00));
    assert_eq!(desk.bank_credit("e1", &topup.reference, gbp(100_00)), Answer::Applied);
    assert_eq!(desk.bank_credit("e1", &topup.reference, gbp(100_00)), Answer::Nothing);
    assert_eq!(desk.bank_credit("e1", "something else", gbp(7)), Answer::Nothing);
    assert_eq!(desk.parts(A, Currency::GBP), (100_00, 0, 0));
    assert_eq!((credited(&desk, &topup.reference), desk.books.platform(Bank, Currency::GBP)), (100_00, 100_00));
}

/// Seen and credited are one decision: there is no entry that is marked and not posted.
#[test]
fn trap_10_a_bank_entry_is_marked_in_the_decision_that_posts_it() {
    let mut desk = desk();
    let topup = desk.announce(A, gbp(100_00));
    for (entry, reference) in [("e1", topup.reference.as_str()), ("e2", "unknown")] {
        let credit = crate::topup::BankCredit { entry_id: entry.into(), reference: reference.into(), amount: gbp(5) };
        let id = desk.id();
        let decision = desk.run_unaudited(&crate::decide::Command::BankCredit { id, credit, sale_of: None }).unwrap();
        let marked = decision.changes.iter().filter(|c| **c == Change::BankEntryApplied(entry.into())).count();
        let posted = decision.changes.iter().filter(|c| matches!(c, Change::Posted(_))).count();
        assert_eq!((marked, posted), (1, 1));
    }
}

#[test]
fn trap_10_two_entries_with_one_reference_are_two_credits() {
    let mut desk = desk();
    let topup = desk.announce(A, gbp(100_00));
    desk.bank_credit("e1", &topup.reference, gbp(60_00));
    desk.bank_credit("e2", &topup.reference, gbp(60_00));
    assert_eq!(desk.parts(A, Currency::GBP), (120_00, 0, 0));
    assert_eq!(credited(&desk, &topup.reference), 120_00);
}

#[test]
fn trap_10_a_credit_without_a_known_reference_goes_to_suspense() {
    let mut desk = desk();
    for (entry, reference) in [("e1", ""), ("e2", "STU000000000000000")] {
        assert_eq!(desk.bank_credit(entry, reference, gbp(40_00)), Answer::Applied);
        assert_eq!(desk.bank_credit(entry, reference, gbp(40_00)), Answer::Nothing);
    }
    assert_eq!(
        (desk.books.platform(Suspense, Currency::GBP), desk.books.platform(Bank, Currency::GBP)),
        (80_00, 80_00)
    );
    assert!(desk.world.positions.is_empty());
}

#[test]
fn trap_10_a_credit_in_another_currency_goes_to_suspense() {
    let mut desk = desk();
    let topup = desk.announce(A, gbp(100_00));
    let euros = Money::new(Currency::EUR, 100_00);
    assert_eq!(desk.bank_credit("e1", &topup.reference, euros), Answer::Applied);
    assert_eq!((desk.parts(A, Currency::EUR), desk.parts(A, Currency::GBP)), ((0, 0, 0), (0, 0, 0)));
    assert_eq!((desk.books.platform(Suspense, Currency::EUR), credited(&desk, &topup.reference)), (100_00, 0));
    // The right money may still come.
    assert_eq!(desk.bank_credit("e2", &topup.reference, gbp(100_00)), Answer::Applied);
    assert_eq!(desk.parts(A, Currency::GBP), (100_00, 0, 0));
}

#[test]
fn trap_10_only_incoming_money_is_a_credit() {
    let mut desk = desk();
    let topup = desk.announce(A, gbp(100_00));
    for minor in [0, -1, -100_00] {
        assert_eq!(desk.bank_credit("e1", &topup.reference, gbp(minor)), Answer::Nothing);
    }
    assert_eq!(desk.bank_credit("e1", &topup.reference, gbp(1)), Answer::Applied, "the entry was not used up");
}

#[test]
fn a_top_up_is_of_a_fiat_currency_that_the_tenant_sends() {
    let mut desk = desk();
    // A limit on a stablecoin does not make it one that a bank keeps.
    desk.world.tenants.get_mut(&A).unwrap().limits.insert(Currency::USDC, WIDE);
    for currency in Currency::ALL {
        let topup = desk.clone().announce(A, gbp(1));
        let topup = crate::topup::Topup { expected: Money::new(currency, 1), ..topup };
        let answer = desk.run(&crate::decide::Command::CreateTopup(topup));
        assert_eq!(answer.is_ok(), SOURCES.contains(&currency), "{currency}");
    }
}

fn rich() -> Desk {
    let mut desk = desk();
    desk.top_up(A, gbp(100_00));
    desk.top_up(B, gbp(100_00));
    desk
}

fn state(desk: &Desk, withdrawal: &Withdrawal) -> WithdrawalState {
    desk.world.withdrawals[&(withdrawal.tenant, withdrawal.id)].state
}

/// Whatever idempotency keys do, and whatever became of the first: a reference pays once, for ever.
#[test]
fn trap_11_a_withdrawals_reference_is_unique_for_ever() {
    for finding in [None, Some(Finding::PaymentExecuted), Some(refused()), Some(unresolved())] {
        let mut desk = rich();
        let first = desk.withdraw(A, gbp(10_00), "rent").unwrap();
        if let Some(finding) = finding {
            assert_eq!(desk.say(report(A, first.id.0, BankPayment, finding)), Answer::Applied);
        }
        desk.now = desk.now.plus_ms(400 * DAY_MS);
        assert_eq!(desk.withdraw(A, gbp(10_00), "rent"), Err(Refusal::ReferenceUsed));
        assert_eq!(desk.withdraw(A, gbp(11_00), "rent"), Err(Refusal::ReferenceUsed));
        desk.withdraw(A, gbp(10_00), "rent 2").unwrap();
        desk.withdraw(B, gbp(10_00), "rent").unwrap();
    }
}

#[test]
fn trap_11_a_refused_withdrawal_leaves_its_reference_free() {
    let mut desk = rich();
    assert_eq!(desk.withdraw(A, gbp(100_01), "rent"), Err(Refusal::InsufficientFunds));
    desk.withdraw(A, gbp(100_00), "rent").unwrap();
    assert_eq!(desk.parts(A, Currency::GBP), (0, 100_00, 0));
}

#[test]
fn withdrawals_are_held_then_paid_released_or_looked_into() {
    let bank = 200_00;
    for (finding, parts, booked, after) in [
        (Finding::PaymentExecuted, (70_00, 0, 0), bank - 30_00, WithdrawalState::Paid),
        (refused(), (100_00, 0, 0), bank, WithdrawalState::Refused),
        (unresolved(), (70_00, 30_00, 0), bank, WithdrawalState::UnderReview),
    ] {
        for accepted_first in [true, false] {
            let mut desk = rich();
            let withdrawal = desk.withdraw(A, gbp(30_00), "rent").unwrap();
            assert_eq!(desk.parts(A, Currency::GBP), (70_00, 30_00, 0));
            if accepted_first {
                assert_eq!(desk.say(report(A, withdrawal.id.0, BankPayment, Finding::Accepted)), Answer::Applied);
                assert_eq!(state(&desk, &withdrawal), WithdrawalState::Pending);
            }
            assert_eq!(desk.say(report(A, withdrawal.id.0, BankPayment, finding.clone())), Answer::Applied);
            assert_eq!((desk.parts(A, Currency::GBP), state(&desk, &withdrawal)), (parts, after));
            assert_eq!(desk.books.platform(Bank, Currency::GBP), booked);
            assert_eq!(desk.parts(B, Currency::GBP), (100_00, 0, 0));
        }
    }
}

#[test]
fn a_withdrawal_orders_one_payment_under_its_own_reference() {
    let mut desk = rich();
    let id = crate::id::WithdrawalId(desk.id());
    let withdrawal = Withdrawal {
        id,
        tenant: A,
        amount: gbp(30_00),
        reference: "rent".into(),
        account_masked: "****1".into(),
        state: WithdrawalState::Pending,
        failure: None,
        created_at: desk.now,
        updated_at: desk.now,
    };
    let decision = desk.run_unaudited(&crate::decide::Command::CreateWithdrawal(withdrawal)).unwrap();
    let orders: Vec<_> = decision
        .changes
        .iter()
        .filter_map(|c| if let Change::EffectOrdered(o) = c { Some(&o.effect) } else { None })
        .collect();
    assert_eq!(orders, [&Effect::BankPayment { amount: gbp(30_00), reference: bank_reference(id) }]);
}

#[test]
fn stablecoins_are_not_withdrawn_through_the_bank() {
    let mut desk = rich();
    for currency in [Currency::USDC, Currency::USDT] {
        assert_eq!(desk.withdraw(A, Money::new(currency, 1), "W"), Err(Refusal::NotWithdrawable));
    }
}
