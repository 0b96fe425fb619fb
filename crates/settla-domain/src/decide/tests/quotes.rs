//! Traps 1, 2 and 13: prices and amounts.

use super::commands::{A, B, NOON, SOURCES, WIDE, free, gbp, paid, priced, settled, usual};
use super::commands::{beneficiary, delivered, terms};
use super::desk::Desk;
use crate::decide::Answer;
use crate::effect::EffectKind::{OffRamp, OnRamp, Settle};
use crate::fee::FeeSchedule;
use crate::money::{Currency, Money};
use crate::refusal::Refusal;
use crate::tenant::TenantStatus;
use crate::transfer::TransferState;

fn desk() -> Desk {
    let mut desk = Desk::new([(A, usual(WIDE)), (B, usual(WIDE))]);
    desk.top_up(A, gbp(100_000_000));
    desk.top_up(B, gbp(100_000_000));
    desk
}

#[test]
fn a_currency_is_paid_only_where_it_is_money() {
    let mut desk = desk();
    let quote = desk.quote(A, gbp(1_00));
    for elsewhere in [Currency::KES, Currency::JPY] {
        let refused = desk.create_for(A, quote, beneficiary(elsewhere));
        assert_eq!(refused, Err(Refusal::CurrencyNotPaidHere));
    }
    // It was not used up.
    desk.create_for(A, quote, beneficiary(Currency::NGN)).unwrap();
}

#[test]
fn trap_01_a_transfer_is_for_the_amount_that_was_quoted() {
    let mut desk = desk();
    let (large, small) = (desk.quote(A, gbp(10_000_000)), desk.quote(A, gbp(1_00)));
    for (quote, amount) in [(small, 1_00), (large, 10_000_000)] {
        let agreed = desk.world.quotes[&(A, quote)].terms.clone();
        let before = desk.parts(A, Currency::GBP);
        let transfer = desk.create(A, quote).unwrap();
        assert_eq!((transfer.quote, transfer.terms.source), (quote, gbp(amount)));
        assert_eq!(transfer.terms, agreed);
        let debit = agreed.debit.minor;
        assert_eq!(desk.parts(A, Currency::GBP), (before.0 - debit, before.1 + debit, 0));
    }
    desk.audit();
}

#[test]
fn trap_01_a_quote_is_used_once() {
    let mut desk = desk();
    let quote = desk.quote(A, gbp(100_00));
    desk.create(A, quote).unwrap();
    let before = desk.parts(A, Currency::GBP);
    assert_eq!(desk.create(A, quote), Err(Refusal::QuoteUsed));
    assert_eq!((desk.parts(A, Currency::GBP), desk.world.transfers.len()), (before, 1));
}

#[test]
fn trap_01_a_quote_stays_used_when_its_transfer_is_cancelled() {
    let mut desk = desk();
    let quote = desk.quote(A, gbp(100_00));
    let transfer = desk.create(A, quote).unwrap();
    desk.cancel(&transfer).unwrap();
    assert_eq!(desk.create(A, quote), Err(Refusal::QuoteUsed));
}

#[test]
fn trap_01_a_quote_expires_at_its_instant() {
    let mut desk = desk();
    let (first, second) = (desk.quote(A, gbp(100_00)), desk.quote(A, gbp(100_00)));
    desk.now.0 = desk.world.quotes[&(A, first)].expires_at.0 - 1;
    desk.create(A, first).unwrap();
    desk.now.0 += 1;
    assert_eq!(desk.create(A, second), Err(Refusal::QuoteExpired));
}

#[test]
fn trap_01_a_quote_is_its_tenants_own() {
    let mut desk = desk();
    let quote = desk.quote(A, gbp(100_00));
    assert_eq!(desk.create(B, quote), Err(Refusal::QuoteNotFound));
    assert!(!desk.world.quotes[&(A, quote)].used);
    desk.create(A, quote).unwrap();
}

#[test]
fn trap_01_a_refused_create_leaves_the_quote_unused() {
    let mut desk = Desk::new([(A, usual(WIDE))]);
    let quote = desk.quote(A, gbp(100_00));
    assert_eq!(desk.create(A, quote), Err(Refusal::InsufficientFunds));
    desk.top_up(A, gbp(200_00));
    desk.create(A, quote).unwrap();
}

#[test]
fn trap_02_fees_are_one_currency_and_add_up() {
    let mut desk = desk();
    let transfer = desk.transfer(A, gbp(1_000_01));
    let terms = &transfer.terms;
    assert!([terms.on_ramp_fee, terms.off_ramp_fee, terms.debit].iter().all(|m| m.currency == Currency::GBP));
    assert_eq!((terms.on_ramp_fee.minor, terms.off_ramp_fee.minor, terms.debit.minor), (401, 351, 1_007_53));
    for (kind, finding) in [(OnRamp, delivered(terms.bought)), (Settle, settled()), (OffRamp, paid(terms.destination))]
    {
        desk.tell(&transfer, kind, finding);
    }
    use crate::account::AccountKind::Fees;
    let earned: Vec<_> = Currency::ALL.into_iter().filter(|c| desk.books.platform(Fees, *c) != 0).collect();
    assert_eq!((earned, desk.books.platform(Fees, Currency::GBP)), (vec![Currency::GBP], 752));
}

#[test]
fn trap_02_the_rate_is_applied_once() {
    let transfer = desk().transfer(A, gbp(1_000_01));
    let terms = &transfer.terms;
    assert_eq!(terms.bought.decimal(), "1273.112731", "1000.01 * 1.2731");
    assert_eq!(terms.spread.decimal(), "6.365563", "half a per cent of it");
    assert_eq!(terms.destination.decimal(), "1954856.89", "1266.747168 * 1543.21");
    assert_eq!(terms.sent.minor + terms.spread.minor + terms.rounding.minor, terms.bought.minor);
}

/// From scale 0, 2 and 3, over scale 6, to scale 0, 2 and 3: to the end, with nothing left over anywhere.
#[test]
fn trap_13_amounts_are_exact_at_every_scale() {
    let odd = FeeSchedule { on_ramp_bps: 37, off_ramp_bps: 41, minimum: 0, maximum: i64::MAX };
    for (tenant, terms) in [(A, terms(33, odd, WIDE)), (B, free(WIDE))] {
        for source in SOURCES {
            for destination in [Currency::NGN, Currency::JPY, Currency::KWD] {
                let mut desk = Desk::new([(tenant, terms.clone())]);
                let stable = if source == Currency::EUR { Currency::USDT } else { Currency::USDC };
                let quote = desk.quote_over(tenant, Money::new(source, 1_234_567), destination, stable).unwrap();
                let debit = desk.world.quotes[&(tenant, quote)].terms.debit;
                desk.top_up(tenant, debit);
                let transfer = desk.create(tenant, quote).unwrap();
                desk.tell(&transfer, OnRamp, delivered(transfer.terms.bought));
                desk.tell(&transfer, Settle, settled());
                assert_eq!(desk.tell(&transfer, OffRamp, paid(transfer.terms.destination)), Answer::Applied);
                assert_eq!(desk.state(&transfer), TransferState::Completed);
                assert_eq!(desk.parts(tenant, source), (0, 0, 0));
                assert_eq!(desk.parts(tenant, stable), (0, 0, 0));
            }
        }
    }
}

/// One yen short is one yen short: at scale 0 nothing is rounded into cover.
#[test]
fn trap_13_cover_is_exact_to_the_minor_unit() {
    for currency in [Currency::JPY, Currency::GBP, Currency::KWD] {
        let mut desk = Desk::new([(A, usual(WIDE))]);
        let quote = desk.quote_over(A, Money::new(currency, 999_999), Currency::NGN, Currency::USDC).unwrap();
        let debit = desk.world.quotes[&(A, quote)].terms.debit.minor;
        desk.top_up(A, Money::new(currency, debit - 1));
        assert_eq!(desk.create(A, quote), Err(Refusal::InsufficientFunds));
        desk.top_up(A, Money::new(currency, 1));
        desk.create(A, quote).unwrap();
        assert_eq!(desk.parts(A, currency), (0, debit, 0));
    }
}

#[test]
fn the_largest_amounts_are_counted_exactly() {
    let mut desk = Desk::new([(A, free(WIDE))]);
    let largest = Money::new(Currency::JPY, Currency::JPY.amount_max());
    for _ in 0..3 {
        desk.top_up(A, largest);
    }
    let quotes: Vec<_> = (0..3).map(|_| desk.quote_over(A, largest, Currency::KWD, Currency::USDC)).collect();
    // 10^15 yen are more tokens than an amount may be: refused, not wrapped.
    assert!(quotes.iter().all(|quote| *quote == Err(Refusal::AmountOutOfRange)));
    assert_eq!(desk.parts(A, Currency::JPY).0, 3 * Currency::JPY.amount_max());
}

#[test]
fn only_an_active_tenant_starts_new_money() {
    for status in [TenantStatus::Onboarding, TenantStatus::Suspended, TenantStatus::Closed] {
        let mut desk = desk();
        let (quote, running) = (desk.quote(A, gbp(100_00)), desk.transfer(A, gbp(100_00)));
        let topup = desk.announce(A, gbp(5_00));
        desk.world.tenants.get_mut(&A).unwrap().status = status;
        assert_eq!(desk.create(A, quote), Err(Refusal::TenantNotActive));
        assert_eq!(desk.withdraw(A, gbp(1), "W"), Err(Refusal::TenantNotActive));
        assert_eq!(desk.quote_over(A, gbp(1_00), Currency::NGN, Currency::USDC), Err(Refusal::TenantNotActive));
        // What is in flight completes, and money that arrives is the tenant's.
        assert_eq!(desk.bank_credit("e1", &topup.reference, gbp(5_00)), Answer::Applied);
        assert_eq!(desk.tell(&running, OnRamp, delivered(running.terms.bought)), Answer::Applied);
    }
}

#[test]
fn a_currency_without_limits_is_not_offered() {
    let mut desk = desk();
    let quote = desk.quote(A, gbp(100_00));
    desk.world.tenants.get_mut(&A).unwrap().limits.remove(&Currency::GBP);
    assert_eq!(desk.create(A, quote), Err(Refusal::CorridorNotOffered));
    let mut unpriced = usual(WIDE);
    unpriced.fees.clear();
    assert_eq!(priced(&unpriced, gbp(1_00), Currency::NGN, Currency::USDC, NOON), Err(Refusal::CorridorNotOffered));
}
