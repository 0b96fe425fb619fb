//! Trap 12: limits are exact, in the source currency, with what is in flight counted.

use super::commands::{A, B, DAY_MS, WIDE, delivered, free, gbp, paid, refused, returned, settled, unresolved};
use super::desk::Desk;
use crate::decide::Command;
use crate::effect::EffectKind::{OffRamp, OnRamp, Settle};
use crate::limit::Limits;
use crate::money::{Currency, Money};
use crate::refusal::Refusal;
use crate::transfer::Transfer;

const EACH: i128 = 1_000_00;

/// A tenant without fees, so that a debit is the amount, with far more money than limits.
fn desk(limits: Limits) -> Desk {
    let mut desk = Desk::new([(A, free(limits)), (B, free(limits))]);
    desk.top_up(A, gbp(10_000 * EACH));
    desk.top_up(B, gbp(10_000 * EACH));
    desk
}

fn create(desk: &mut Desk, amount: i128) -> Result<Transfer, Refusal> {
    let quote = desk.quote(A, gbp(amount));
    desk.create(A, quote)
}

/// How many of 1,000 creates are taken, and what the others hear.
fn thousand(desk: &mut Desk) -> (usize, Option<Refusal>) {
    let results: Vec<_> = (0..1_000).map(|_| create(desk, EACH)).collect();
    let refusal = results.iter().find_map(|r| r.as_ref().err().copied());
    assert!(results.iter().all(|r| r.as_ref().err().is_none_or(|e| Some(*e) == refusal)));
    desk.audit();
    (results.iter().filter(|r| r.is_ok()).count(), refusal)
}

#[test]
fn trap_12_of_1000_creates_the_position_covers_5() {
    let mut desk = Desk::new([(A, free(WIDE))]);
    desk.top_up(A, gbp(5 * EACH + EACH - 1));
    assert_eq!(thousand(&mut desk), (5, Some(Refusal::InsufficientFunds)));
    assert_eq!(desk.parts(A, Currency::GBP), (EACH - 1, 5 * EACH, 0));
}

#[test]
fn trap_12_of_1000_creates_the_pending_limit_takes_5() {
    let mut desk = desk(Limits { pending: 5 * EACH as i64, ..WIDE });
    assert_eq!(thousand(&mut desk), (5, Some(Refusal::LimitPending)));
}

#[test]
fn trap_12_of_1000_creates_the_day_takes_5() {
    let mut desk = desk(Limits { per_day: (6 * EACH - 1) as i64, ..WIDE });
    assert_eq!(thousand(&mut desk), (5, Some(Refusal::LimitPerDay)));
}

#[test]
fn trap_12_the_limit_of_one_transfer_is_exact_and_includes_the_fee() {
    let mut desk = desk(Limits { per_transfer: EACH as i64, ..WIDE });
    assert_eq!(create(&mut desk, EACH + 1), Err(Refusal::LimitPerTransfer));
    create(&mut desk, EACH).unwrap();
    let fees = &mut desk.world.tenants.get_mut(&A).unwrap().fees;
    let schedule = fees.get_mut(&Currency::GBP).unwrap();
    (schedule.minimum, schedule.maximum) = (1, 1);
    assert_eq!(create(&mut desk, EACH), Err(Refusal::LimitPerTransfer));
    create(&mut desk, EACH - 1).unwrap();
    desk.audit();
}

#[test]
fn trap_12_the_day_is_exact_to_the_minor_unit() {
    let mut desk = desk(Limits { per_day: EACH as i64, ..WIDE });
    create(&mut desk, EACH - 1_00).unwrap();
    assert_eq!(create(&mut desk, 1_01), Err(Refusal::LimitPerDay));
    create(&mut desk, 1_00).unwrap();
    assert_eq!(create(&mut desk, 1_00), Err(Refusal::LimitPerDay));
}

#[test]
fn trap_12_each_currency_and_each_tenant_has_its_own() {
    let mut desk = desk(Limits { pending: EACH as i64, per_day: EACH as i64, ..WIDE });
    create(&mut desk, EACH).unwrap();
    desk.top_up(A, Money::new(Currency::EUR, EACH));
    let euros = desk.quote(A, Money::new(Currency::EUR, EACH));
    desk.create(A, euros).unwrap();
    let others = desk.quote(B, gbp(EACH));
    desk.create(B, others).unwrap();
    assert_eq!(create(&mut desk, 1_00), Err(Refusal::LimitPerDay));
    desk.audit();
}

#[test]
fn trap_12_a_new_day_starts_at_midnight_utc() {
    let mut desk = desk(Limits { per_day: EACH as i64, ..WIDE });
    desk.now.0 = desk.now.0 / (DAY_MS * 1_000) * DAY_MS * 1_000 + DAY_MS * 1_000 - 1;
    create(&mut desk, EACH).unwrap();
    assert_eq!(create(&mut desk, 1_00), Err(Refusal::LimitPerDay));
    desk.now.0 += 1;
    create(&mut desk, EACH).unwrap();
    assert_eq!(create(&mut desk, 1_00), Err(Refusal::LimitPerDay));
    desk.audit();
}

/// Two servers' clocks differ by a moment around midnight: the new day's total is not forgotten.
#[test]
fn trap_12_a_clock_that_lags_behind_midnight_does_not_reset_the_day() {
    let mut desk = desk(Limits { per_day: EACH as i64, ..WIDE });
    let midnight = (desk.now.0 / (DAY_MS * 1_000) + 1) * DAY_MS * 1_000;
    desk.now.0 = midnight;
    let first = create(&mut desk, EACH).unwrap();
    desk.now.0 = midnight - 1;
    assert_eq!(create(&mut desk, 1_00), Err(Refusal::LimitPerDay));
    desk.now.0 = midnight;
    assert_eq!(create(&mut desk, 1_00), Err(Refusal::LimitPerDay));
    // And the lagging one gives back what was counted.
    desk.now.0 = midnight - 1;
    desk.run_unaudited(&Command::CancelTransfer { tenant: A, transfer: first.id }).unwrap();
    let late = create(&mut desk, EACH).unwrap();
    // What it creates counts on the day that is counted, and is not given back to another.
    desk.run_unaudited(&Command::CancelTransfer { tenant: A, transfer: late.id }).unwrap();
    desk.now.0 = midnight;
    assert_eq!(create(&mut desk, 1_00), Err(Refusal::LimitPerDay));
}

/// A server whose clock was far ahead for a moment does not keep the day's total standing until that day comes.
#[test]
fn a_day_from_a_wrong_clock_does_not_stand() {
    let mut desk = desk(Limits { per_day: EACH as i64, ..WIDE });
    let now = desk.now;
    desk.now = now.plus_ms(400 * DAY_MS);
    create(&mut desk, EACH).unwrap();
    desk.now = now;
    create(&mut desk, EACH).unwrap();
    assert_eq!(create(&mut desk, 1_00), Err(Refusal::LimitPerDay));
    desk.now = now.plus_ms(DAY_MS);
    create(&mut desk, EACH).unwrap();
}

#[test]
fn trap_12_what_is_pending_counts_over_days() {
    let mut desk = desk(Limits { pending: EACH as i64, ..WIDE });
    create(&mut desk, EACH).unwrap();
    desk.now = desk.now.plus_ms(3 * DAY_MS);
    assert_eq!(create(&mut desk, 1_00), Err(Refusal::LimitPending));
}

#[test]
fn trap_12_cancel_gives_the_day_back() {
    let mut desk = desk(Limits { per_day: 2 * EACH as i64, ..WIDE });
    let first = create(&mut desk, EACH).unwrap();
    create(&mut desk, EACH).unwrap();
    assert_eq!(create(&mut desk, EACH), Err(Refusal::LimitPerDay));
    desk.cancel(&first).unwrap();
    create(&mut desk, EACH).unwrap();
    assert_eq!(create(&mut desk, 1_00), Err(Refusal::LimitPerDay));
    desk.audit();
}

#[test]
fn trap_12_cancelling_yesterdays_transfer_gives_back_nothing_of_today() {
    let mut desk = desk(Limits { per_day: EACH as i64, ..WIDE });
    let old = create(&mut desk, EACH).unwrap();
    desk.now = desk.now.plus_ms(DAY_MS);
    create(&mut desk, EACH).unwrap();
    desk.cancel(&old).unwrap();
    assert_eq!(create(&mut desk, 1_00), Err(Refusal::LimitPerDay));
    assert_eq!(desk.world.position(A, Currency::GBP).usage.pending, EACH);
}

/// Every end frees the pending limit; none but cancelling frees the day, and a review frees neither.
#[test]
fn trap_12_pending_is_freed_by_every_end_and_by_no_review() {
    type Story = fn(&Transfer) -> Vec<(crate::effect::EffectKind, crate::finding::Finding)>;
    let stories: [(Story, bool); 5] = [
        (|_| vec![(OnRamp, refused())], true),
        (
            |t| vec![(OnRamp, delivered(t.terms.bought)), (Settle, settled()), (OffRamp, paid(t.terms.destination))],
            true,
        ),
        (|t| vec![(OnRamp, delivered(t.terms.bought)), (Settle, settled()), (OffRamp, returned(t.terms.sent))], true),
        (|_| vec![(OnRamp, unresolved())], false),
        (|t| vec![(OnRamp, delivered(t.terms.bought)), (Settle, unresolved())], false),
    ];
    for (story, frees) in stories {
        let mut desk = desk(Limits { pending: EACH as i64, ..WIDE });
        let transfer = create(&mut desk, EACH).unwrap();
        for (kind, finding) in story(&transfer) {
            assert_eq!(create(&mut desk, 1_00), Err(Refusal::LimitPending));
            desk.tell(&transfer, kind, finding);
        }
        assert_eq!(desk.world.position(A, Currency::GBP).usage.day_total, EACH);
        assert_eq!(create(&mut desk, EACH).is_ok(), frees, "{:?}", desk.state(&transfer));
        desk.audit();
    }
}
