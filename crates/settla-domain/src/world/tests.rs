//! Applying changes: each kind does what it says, to its own tenant, and a defect is an error.

// 10_00 is GBP 10.00.
#![allow(clippy::inconsistent_digit_grouping)]

use super::*;
use crate::account::{AccountId, AccountKind};
use crate::effect::{Effect, EffectKind};
use crate::money::Money;
use crate::posting::{Journal, PostingCode};
use uuid::Uuid;

const A: TenantNo = TenantNo(7);
const B: TenantNo = TenantNo(8);
const SUBJECT: Uuid = Uuid::from_u128(0x0193_aaaa_0000_7000_8000_0000_0001_0000);

fn own(tenant: TenantNo, kind: AccountKind) -> AccountId {
    AccountId::tenant(tenant, kind)
}

fn posted(tenant: TenantNo, debit: AccountId, credit: AccountId, amount: Money) -> Change {
    let mut journal = Journal::new(tenant, SUBJECT);
    journal.post(PostingCode::Hold, debit, credit, amount);
    Change::Posted(journal.into_postings().remove(0))
}

fn gbp(minor: i128) -> Money {
    Money::new(Currency::GBP, minor)
}

fn parts(world: &World, tenant: TenantNo, currency: Currency) -> (i128, i128, i128) {
    let position = world.position(tenant, currency);
    (position.available, position.held, position.in_transit)
}

/// A world in which A has GBP 10.00.
fn world() -> World {
    let mut world = World::default();
    let bank = AccountId::platform(AccountKind::Bank);
    world.apply(&[posted(A, bank, own(A, AccountKind::Available), gbp(10_00))]).unwrap();
    world
}

#[test]
fn postings_move_the_tenants_own_parts_in_their_currency() {
    use AccountKind::{Available, Held, InTransit};
    let mut world = world();
    assert_eq!(parts(&world, A, Currency::GBP), (10_00, 0, 0));
    world
        .apply(&[
            posted(A, own(A, Available), own(A, Held), gbp(4_00)),
            posted(A, own(A, Held), own(A, InTransit), gbp(1_00)),
        ])
        .unwrap();
    assert_eq!(parts(&world, A, Currency::GBP), (6_00, 3_00, 1_00));
    assert_eq!(parts(&world, A, Currency::EUR), (0, 0, 0));
    assert_eq!(parts(&world, B, Currency::GBP), (0, 0, 0));
}

#[test]
fn changes_apply_in_order() {
    use AccountKind::{Available, Held, InTransit};
    let hold = posted(A, own(A, Available), own(A, Held), gbp(10_00));
    let go = posted(A, own(A, Held), own(A, InTransit), gbp(10_00));
    assert_eq!(world().apply(&[hold.clone(), go.clone()]), Ok(()));
    assert_eq!(world().apply(&[go, hold]), Err(Broken::Position));
}

#[test]
fn a_negative_part_is_broken() {
    use AccountKind::{Available, Fees, Held, InTransit};
    for kind in [Available, Held, InTransit] {
        let mut world = world();
        let over = gbp(if kind == Available { 10_01 } else { 1 });
        let change = posted(A, own(A, kind), AccountId::platform(Fees), over);
        assert_eq!(world.apply(&[change]), Err(Broken::Position), "{kind:?}");
    }
    // Another currency's money covers nothing, and neither does another tenant's.
    let dollars = Money::new(Currency::USD, 1);
    assert_eq!(world().apply(&[posted(A, own(A, Available), own(A, Held), dollars)]), Err(Broken::Position));
    assert_eq!(world().apply(&[posted(B, own(B, Available), own(B, Held), gbp(1))]), Err(Broken::Position));
}

#[test]
fn a_sum_that_overflows_is_broken() {
    let mut world = world();
    let change = posted(A, AccountId::platform(AccountKind::Bank), own(A, AccountKind::Available), gbp(i128::MAX));
    assert_eq!(world.apply(&[change]), Err(Broken::Position));
}

#[test]
fn a_posting_against_the_rules_is_broken() {
    use AccountKind::{Available, Bank, Held, Suspense};
    let bank = AccountId::platform(Bank);
    let cases = [
        (posted(A, bank, own(A, Available), gbp(-1)), PostingError::NotPositive),
        (posted(A, own(A, Held), own(A, Held), gbp(1)), PostingError::SameAccount),
        (posted(A, own(A, Available), own(B, Available), gbp(1)), PostingError::CrossTenant),
        (posted(B, own(A, Available), bank, gbp(1)), PostingError::CrossTenant),
        (posted(TenantNo::PLATFORM, bank, own(A, Available), gbp(1)), PostingError::CrossTenant),
    ];
    for (change, error) in cases {
        let mut world = world();
        assert_eq!(world.apply(&[change]), Err(Broken::Posting(error)));
        assert_eq!(parts(&world, A, Currency::GBP), (10_00, 0, 0));
    }
    let mut world = world();
    world.apply(&[posted(TenantNo::PLATFORM, bank, AccountId::platform(Suspense), gbp(1))]).unwrap();
    assert_eq!(world.positions.len(), 1, "the platform has no position");
}

#[test]
fn the_use_of_limits_is_kept_with_its_position_alone() {
    let mut world = world();
    let usage = Usage { day: 5, day_total: 70, pending: 30 };
    world.apply(&[Change::UsageChanged(A, Currency::GBP, usage)]).unwrap();
    assert_eq!((world.position(A, Currency::GBP).usage, parts(&world, A, Currency::GBP)), (usage, (10_00, 0, 0)));
    assert_eq!(world.position(A, Currency::EUR).usage, Usage::default());
    assert_eq!(world.position(B, Currency::GBP).usage, Usage::default());
    // A posting leaves it as it is.
    world.apply(&[posted(A, own(A, AccountKind::Available), own(A, AccountKind::Held), gbp(1))]).unwrap();
    assert_eq!(world.position(A, Currency::GBP).usage, usage);
}

#[test]
fn effects_are_ordered_untouched_and_then_moved_each_for_its_tenant() {
    let mut world = World::default();
    let effect = Effect::BankPayment { amount: gbp(1), reference: "WD1".into() };
    let order = EffectOrder::new(A, SUBJECT, 0, effect);
    let id = order.id;
    world.apply(&[Change::EffectOrdered(order)]).unwrap();
    assert_eq!(id, EffectKind::BankPayment.id_for(SUBJECT));
    assert_eq!(world.effects.get(&(A, id)), Some(&EffectStatus::Untouched));
    world.apply(&[Change::EffectMoved(A, id, EffectStatus::Done)]).unwrap();
    assert_eq!(world.effects.get(&(A, id)), Some(&EffectStatus::Done));
    assert_eq!(world.effects.get(&(B, id)), None);
}

#[test]
fn withdrawals_top_ups_and_bank_entries_are_found_again() {
    use crate::id::TopupId;
    use crate::time::Timestamp;
    use crate::withdrawal::WithdrawalState;
    let at = Timestamp(0);
    let withdrawal = Withdrawal {
        id: WithdrawalId(SUBJECT),
        tenant: A,
        amount: gbp(1),
        reference: "rent".into(),
        account_masked: "****1".into(),
        state: WithdrawalState::Pending,
        failure: None,
        created_at: at,
        updated_at: at,
    };
    let paid = Withdrawal { state: WithdrawalState::Paid, ..withdrawal.clone() };
    let topup = Topup {
        id: TopupId(SUBJECT),
        tenant: A,
        expected: gbp(5),
        credited: 0,
        reference: "STU1".into(),
        created_at: at,
    };
    let credited = Topup { credited: 5, ..topup.clone() };
    let mut world = World::default();
    world
        .apply(&[
            Change::WithdrawalCreated(withdrawal),
            Change::TopupCreated(topup),
            Change::BankEntryApplied("e1".into()),
        ])
        .unwrap();
    assert!(world.withdrawal_references.contains(&(A, "rent".into())));
    assert!(!world.withdrawal_references.contains(&(B, "rent".into())));
    assert!(world.bank_entries.contains("e1") && !world.bank_entries.contains("e2"));
    world.apply(&[Change::WithdrawalChanged(paid.clone()), Change::TopupChanged(credited.clone())]).unwrap();
    assert_eq!(world.withdrawals.get(&(A, paid.id)), Some(&paid));
    assert_eq!(world.withdrawals.get(&(B, paid.id)), None);
    assert_eq!(world.topups.get("STU1"), Some(&credited));
}
