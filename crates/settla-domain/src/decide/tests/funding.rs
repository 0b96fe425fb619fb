//! Traps 3, 4, 7 and 8: money is set aside first, and freed only when it cannot leave any more.

use super::commands::{
    A, B, WIDE, delivered, gbp, paid, refused, report, returned, returning, settled, unresolved, usual,
};
use super::desk::Desk;
use super::guard::changes_nothing;
use crate::decide::{Answer, Command, CreateTransfer};
use crate::effect::EffectKind::{OffRamp, OnRamp, Settle};
use crate::effect::{Effect, EffectStatus};
use crate::event::EventData;
use crate::finding::Finding;
use crate::money::Currency;
use crate::posting::PostingCode;
use crate::refusal::Refusal;
use crate::transfer::{Settlement, Transfer, TransferState};
use crate::world::{Broken, Change};

const FUNDS: i128 = 5_000_00;

fn desk() -> (Desk, Transfer) {
    let mut desk = Desk::new([(A, usual(WIDE)), (B, usual(WIDE))]);
    desk.top_up(A, gbp(FUNDS));
    let transfer = desk.transfer(A, gbp(1_000_01));
    (desk, transfer)
}

/// "Funded" is said in the decision that holds the money, after the hold, and the order follows from it.
#[test]
fn trap_03_funded_is_announced_only_with_the_reservation() {
    let mut desk = Desk::new([(A, usual(WIDE))]);
    desk.top_up(A, gbp(FUNDS));
    let quote = desk.quote(A, gbp(1_000_01));
    let id = crate::id::TransferId(desk.id());
    let create = CreateTransfer {
        tenant: A,
        id,
        quote,
        reference: "INV-1".into(),
        beneficiary: super::commands::beneficiary(Currency::NGN),
        settlement: Settlement::Batched,
    };
    let decision = desk.run_unaudited(&Command::CreateTransfer(create)).unwrap();
    let at = |want: fn(&Change) -> bool| decision.changes.iter().position(want).expect("is there");
    let held = at(|c| matches!(c, Change::Posted(p) if p.code == PostingCode::Hold && p.amount == gbp(1_007_53)));
    let ordered = at(
        |c| matches!(c, Change::EffectOrdered(order) if matches!(order.effect, Effect::OnRamp { source, .. } if source == gbp(1_000_01))),
    );
    let said = at(|c| matches!(c, Change::Happened(event) if event.kind == "transfer.funded"));
    assert!(held < ordered && held < said);
    let Answer::Transfer(transfer) = decision.answer else { panic!("a transfer") };
    assert_eq!((transfer.state, transfer.version), (TransferState::Funded, 1));
    let Some(Change::Happened(event)) = decision.changes.last() else { panic!("an event") };
    assert!(matches!(&event.data, EventData::Transfer { version: 1, state: TransferState::Funded, .. }));
}

#[test]
fn trap_03_without_cover_there_is_no_transfer_no_order_and_no_event() {
    let mut desk = Desk::new([(A, usual(WIDE))]);
    desk.top_up(A, gbp(1_007_52));
    let quote = desk.quote(A, gbp(1_000_01));
    let before = desk.books.len();
    assert_eq!(desk.create(A, quote), Err(Refusal::InsufficientFunds));
    assert!(desk.world.transfers.is_empty() && desk.world.effects.is_empty());
    assert_eq!(desk.books.len(), before);
}

/// What is held for one transfer, or on its way, covers no other one and no withdrawal.
#[test]
fn trap_03_held_and_travelling_money_is_not_available() {
    let (mut desk, transfer) = desk();
    let rest = FUNDS - transfer.terms.debit.minor;
    assert_eq!(desk.withdraw(A, gbp(rest + 1), "W1"), Err(Refusal::InsufficientFunds));
    desk.tell(&transfer, OnRamp, Finding::Accepted);
    assert_eq!(desk.withdraw(A, gbp(rest + 1), "W1"), Err(Refusal::InsufficientFunds));
    desk.withdraw(A, gbp(rest), "W1").unwrap();
    assert_eq!(desk.parts(A, Currency::GBP).0, 0);
}

#[test]
fn trap_04_cancel_releases_exactly_the_hold_and_calls_the_order_off() {
    let (mut desk, transfer) = desk();
    let Answer::Transfer(cancelled) = desk.cancel(&transfer).unwrap() else { panic!("a transfer") };
    assert_eq!((cancelled.state, cancelled.version), (TransferState::Cancelled, 2));
    assert_eq!(desk.parts(A, Currency::GBP), (FUNDS, 0, 0));
    assert_eq!(desk.world.effects[&(A, OnRamp.id_for(transfer.id.0))], EffectStatus::Cancelled);
    for finding in [Finding::Accepted, delivered(transfer.terms.bought), refused(), unresolved()] {
        assert!(changes_nothing(&desk.tell(&transfer, OnRamp, finding)));
    }
    assert_eq!(desk.cancel(&transfer), Err(Refusal::NotCancellable));
}

#[test]
fn an_expired_hold_is_released_as_by_a_cancel_and_says_why() {
    let (mut desk, transfer) = desk();
    let expire = Command::ExpireHold { tenant: A, transfer: transfer.id };
    let Ok(Answer::Transfer(expired)) = desk.run(&expire) else { panic!("a transfer") };
    assert_eq!((expired.state, expired.progress.failure.as_deref()), (TransferState::Cancelled, Some("hold_expired")));
    assert_eq!(desk.parts(A, Currency::GBP), (FUNDS, 0, 0));
    assert_eq!(desk.run(&expire), Err(Refusal::NotCancellable));
    let other = desk.transfer(A, gbp(50_00));
    desk.claim(A, OnRamp.id_for(other.id.0));
    assert_eq!(desk.run(&Command::ExpireHold { tenant: A, transfer: other.id }), Err(Refusal::NotCancellable));
}

/// The claim and the cancel contend on the effect: once a worker has it, the payout may go on.
#[test]
fn trap_04_cancel_is_refused_once_the_order_is_claimed() {
    let (mut desk, transfer) = desk();
    let effect = OnRamp.id_for(transfer.id.0);
    for status in [EffectStatus::Started, EffectStatus::Accepted, EffectStatus::Done, EffectStatus::Cancelled] {
        let mut desk = desk.clone();
        desk.world.effects.insert((A, effect), status);
        let command = Command::CancelTransfer { tenant: A, transfer: transfer.id };
        assert_eq!(desk.run_unaudited(&command), Err(Refusal::NotCancellable), "{status:?}");
    }
    desk.claim(A, effect);
    assert_eq!(desk.cancel(&transfer), Err(Refusal::NotCancellable));
    assert_eq!(desk.parts(A, Currency::GBP), (FUNDS - 1_007_53, 1_007_53, 0));
    assert_eq!(desk.tell(&transfer, OnRamp, delivered(transfer.terms.bought)), Answer::Applied);
}

#[test]
fn trap_04_cancel_is_refused_in_every_later_state() {
    let (mut desk, transfer) = desk();
    let sent = transfer.terms.sent;
    for (kind, finding) in [
        (OnRamp, Finding::Accepted),
        (OnRamp, delivered(transfer.terms.bought)),
        (Settle, settled()),
        (OffRamp, returning()),
        (OffRamp, returned(sent)),
    ] {
        desk.tell(&transfer, kind, finding);
        // Even if the row of the first order said that nobody had touched it.
        let mut odd = desk.clone();
        odd.world.effects.insert((A, OnRamp.id_for(transfer.id.0)), EffectStatus::Untouched);
        let command = Command::CancelTransfer { tenant: A, transfer: transfer.id };
        assert_eq!(odd.run_unaudited(&command), Err(Refusal::NotCancellable));
    }
}

#[test]
fn trap_04_nobody_cancels_anothers_transfer() {
    let (mut desk, transfer) = desk();
    let theirs = Command::CancelTransfer { tenant: B, transfer: transfer.id };
    assert_eq!(desk.run(&theirs), Err(Refusal::TransferNotFound));
    assert_eq!(desk.state(&transfer), TransferState::Funded);
}

/// The engine cannot write a negative position down: it is a defect, and the batch is dropped.
#[test]
fn trap_07_no_part_of_a_position_can_become_negative() {
    let (mut desk, transfer) = desk();
    let decision = desk.run_unaudited(&Command::CancelTransfer { tenant: A, transfer: transfer.id }).unwrap();
    let release: Vec<_> = decision.changes.into_iter().filter(|c| matches!(c, Change::Posted(_))).collect();
    assert_eq!(release.len(), 1);
    assert_eq!(desk.world.apply(&release), Err(Broken::Position));
}

/// Positions come from postings alone: a restart that reads the ledger finds the same.
#[test]
fn trap_07_positions_rebuilt_from_postings_are_the_same() {
    let (mut desk, first) = desk();
    let second = desk.transfer(A, gbp(777_77));
    let mut postings = Vec::new();
    for (transfer, kind, finding) in [
        (&first, OnRamp, Finding::Accepted),
        (&second, OnRamp, refused()),
        (&first, OnRamp, delivered(first.terms.bought)),
        (&first, Settle, settled()),
        (&first, OffRamp, returned(first.terms.sent)),
    ] {
        let report = report(A, transfer.id.0, kind, finding);
        let decision = desk.run_unaudited(&Command::Report(report)).unwrap();
        postings.extend(decision.changes.into_iter().filter(|c| matches!(c, Change::Posted(_))));
    }
    let mut rebuilt = crate::world::World::default();
    let mut start = self::desk().0;
    start.transfer(A, gbp(777_77));
    rebuilt.positions = start.world.positions;
    rebuilt.apply(&postings).unwrap();
    for currency in [Currency::GBP, Currency::USDC] {
        let (a, b) = (rebuilt.position(A, currency), desk.world.position(A, currency));
        assert_eq!((a.available, a.held, a.in_transit), (b.available, b.held, b.in_transit));
    }
}

/// "Pending" is no success, and an unclear outcome neither frees the money nor orders anything anew.
#[test]
fn trap_08_unclear_is_neither_success_nor_failure() {
    let (mut desk, transfer) = desk();
    desk.tell(&transfer, OnRamp, Finding::Accepted);
    let parts = desk.parts(A, Currency::GBP);
    assert_eq!(desk.tell(&transfer, OnRamp, unresolved()), Answer::Applied);
    assert_eq!(desk.state(&transfer), TransferState::UnderReview);
    assert_eq!(desk.parts(A, Currency::GBP), parts);
    assert_eq!(desk.world.effects.len(), 1, "no second order");

    let (mut desk, transfer) = self::desk();
    desk.tell(&transfer, OnRamp, delivered(transfer.terms.bought));
    desk.tell(&transfer, Settle, settled());
    assert_eq!(desk.tell(&transfer, OffRamp, Finding::Accepted), Answer::Applied);
    assert_eq!(desk.state(&transfer), TransferState::OffRamping);
    assert_eq!(desk.tell(&transfer, OffRamp, paid(transfer.terms.destination)), Answer::Applied);
    assert_eq!(desk.state(&transfer), TransferState::Completed);
}

/// A refund is a state that is left again, with the money where the tenant can use it.
#[test]
fn trap_09_a_refund_ends_with_the_money_in_the_position() {
    let (mut desk, transfer) = desk();
    for (kind, finding) in [(OnRamp, delivered(transfer.terms.bought)), (Settle, settled()), (OffRamp, returning())] {
        desk.tell(&transfer, kind, finding);
    }
    assert_eq!(desk.state(&transfer), TransferState::Refunding);
    assert_eq!(desk.parts(A, Currency::USDC), (0, 0, transfer.terms.bought.minor));
    desk.tell(&transfer, OffRamp, returned(transfer.terms.sent));
    assert_eq!(desk.state(&transfer), TransferState::Refunded);
    assert_eq!(desk.parts(A, Currency::USDC), (transfer.terms.bought.minor, 0, 0));
    assert_eq!(desk.parts(A, Currency::GBP), (FUNDS - transfer.terms.source.minor, 0, 0), "the fee is given back");
}
