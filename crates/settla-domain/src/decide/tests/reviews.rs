//! What people decide moves the money; every way into a review has a way out.

use super::commands::{
    A, WIDE, delivered, gbp, paid, refused, report, returned, returning, settled, unresolved, usual,
};
use super::desk::Desk;
use crate::decide::{Answer, Command};
use crate::effect::EffectKind::{self, BankPayment, OffRamp, OnRamp, Settle};
use crate::finding::Finding;
use crate::money::{Currency, Money};
use crate::refusal::Refusal;
use crate::review::{Decided, Decision};
use crate::transfer::{Transfer, TransferState};
use crate::withdrawal::WithdrawalState;
use uuid::Uuid;

const FUNDS: i128 = 1_000_00;

fn desk() -> (Desk, Transfer) {
    let mut desk = Desk::new([(A, usual(WIDE))]);
    desk.top_up(A, gbp(FUNDS));
    let transfer = desk.transfer(A, gbp(500_00));
    (desk, transfer)
}

fn complete() -> Decision {
    Decision::Complete { reference: "P7".into() }
}

impl Desk {
    fn decide(&mut self, subject: Uuid, decision: Decision) -> Result<Answer, Refusal> {
        let (proposed_by, approved_by) = ("ada".into(), "grace".into());
        self.run(&Command::Decide(Decided { tenant: A, subject, decision, proposed_by, approved_by }))
    }
}

type Story = fn(&Transfer) -> Vec<(EffectKind, Finding)>;

fn odd(money: Money) -> Money {
    Money::new(money.currency, money.minor - 1)
}

fn settled_with(t: &Transfer) -> Vec<(EffectKind, Finding)> {
    vec![(OnRamp, delivered(t.terms.bought)), (Settle, settled())]
}

/// Each way into a review, whether it can be tried again, and whether it may turn out to have been paid.
const WAYS: [(&str, Story, Option<TransferState>, bool); 9] = [
    ("the on-ramp was never reached", |_| vec![(OnRamp, unresolved())], Some(TransferState::Funded), false),
    (
        "an order that was taken is lost",
        |_| vec![(OnRamp, Finding::Accepted), (OnRamp, unresolved())],
        Some(TransferState::OnRamping),
        false,
    ),
    ("another amount was delivered", |t| vec![(OnRamp, delivered(odd(t.terms.bought)))], None, false),
    (
        "the batches were reverted",
        |t| vec![(OnRamp, delivered(t.terms.bought)), (Settle, unresolved())],
        Some(TransferState::Settling),
        false,
    ),
    (
        "the off-ramp was never reached",
        |t| [settled_with(t), vec![(OffRamp, unresolved())]].concat(),
        Some(TransferState::OffRamping),
        true,
    ),
    (
        "the off-ramp refuses and keeps the tokens",
        |t| [settled_with(t), vec![(OffRamp, returning()), (OffRamp, refused())]].concat(),
        Some(TransferState::OffRamping),
        true,
    ),
    (
        "another amount was paid",
        |t| [settled_with(t), vec![(OffRamp, paid(odd(t.terms.destination)))]].concat(),
        None,
        true,
    ),
    (
        "paid after a return was announced",
        |t| [settled_with(t), vec![(OffRamp, returning()), (OffRamp, paid(t.terms.destination))]].concat(),
        None,
        true,
    ),
    (
        "another amount came back",
        |t| [settled_with(t), vec![(OffRamp, returned(odd(t.terms.sent)))]].concat(),
        None,
        false,
    ),
];

fn under_review(story: Story) -> (Desk, Transfer) {
    let (mut desk, transfer) = desk();
    for (kind, finding) in story(&transfer) {
        assert_eq!(desk.tell(&transfer, kind, finding), Answer::Applied);
    }
    assert_eq!(desk.state(&transfer), TransferState::UnderReview);
    (desk, transfer)
}

#[test]
fn trap_09_every_review_can_end_with_the_money_in_the_position() {
    for (name, story, _, _) in WAYS {
        let (mut desk, transfer) = under_review(story);
        let delivered = desk.now_of(&transfer).progress.delivered;
        desk.decide(transfer.id.0, Decision::Refund).unwrap();
        assert_eq!(desk.state(&transfer), TransferState::Refunded, "{name}");
        // All of the fiat if it never left, else all of what it became and the fee.
        let pounds = if delivered.is_none() { FUNDS } else { FUNDS - transfer.terms.source.minor };
        assert_eq!(desk.parts(A, Currency::GBP), (pounds, 0, 0), "{name}");
        assert_eq!(desk.parts(A, Currency::USDC), (delivered.map_or(0, |d| d.minor), 0, 0), "{name}");
        assert_eq!(desk.world.position(A, Currency::GBP).usage.pending, 0, "{name}");
        assert_eq!(desk.decide(transfer.id.0, Decision::Refund), Err(Refusal::NotUnderReview), "{name}");
    }
}

#[test]
fn what_can_go_on_goes_on_under_the_same_effect_and_completes() {
    for (name, story, again, _) in WAYS {
        let (mut desk, transfer) = under_review(story);
        let Some(state) = again else {
            assert_eq!(desk.decide(transfer.id.0, Decision::Retry), Err(Refusal::DecisionNotPossible), "{name}");
            continue;
        };
        desk.decide(transfer.id.0, Decision::Retry).unwrap();
        assert_eq!(desk.state(&transfer), state, "{name}");
        assert_eq!(desk.now_of(&transfer).progress.failure, None);
        let rest = [settled_with(&transfer), vec![(OffRamp, paid(transfer.terms.destination))]].concat();
        let done =
            if state == TransferState::Settling { 1 } else { 2 * usize::from(state == TransferState::OffRamping) };
        for (kind, finding) in rest.into_iter().skip(done) {
            assert_eq!(desk.tell(&transfer, kind, finding), Answer::Applied, "{name}");
        }
        assert_eq!(desk.state(&transfer), TransferState::Completed, "{name}");
    }
}

/// It may stop again at the same place, and be decided again.
#[test]
fn a_second_review_of_the_same_step_is_decided_like_the_first() {
    let (mut desk, transfer) = under_review(WAYS[4].1);
    for _ in 0..3 {
        desk.decide(transfer.id.0, Decision::Retry).unwrap();
        desk.tell(&transfer, OffRamp, unresolved());
    }
    desk.decide(transfer.id.0, Decision::Refund).unwrap();
    assert_eq!(desk.state(&transfer), TransferState::Refunded);
}

#[test]
fn what_turns_out_to_have_been_paid_is_completed() {
    for (name, story, _, payable) in WAYS {
        let (mut desk, transfer) = under_review(story);
        let result = desk.decide(transfer.id.0, complete());
        if !payable {
            assert_eq!(result, Err(Refusal::DecisionNotPossible), "{name}");
            continue;
        }
        result.unwrap();
        assert_eq!(desk.state(&transfer), TransferState::Completed, "{name}");
        assert_eq!(desk.parts(A, Currency::GBP), (FUNDS - transfer.terms.debit.minor, 0, 0), "{name}");
        assert_eq!(desk.parts(A, Currency::USDC), (0, 0, 0), "{name}");
    }
}

#[test]
fn a_decision_needs_two_people_and_a_payment_that_waits_for_it() {
    let (mut desk, transfer) = under_review(WAYS[4].1);
    for (proposed_by, approved_by) in [("ada", "ada"), ("", "ada"), ("ada", "")] {
        let (proposed_by, approved_by) = (proposed_by.into(), approved_by.into());
        let alone = Decided { tenant: A, subject: transfer.id.0, decision: Decision::Refund, proposed_by, approved_by };
        assert_eq!(desk.run(&Command::Decide(alone)), Err(Refusal::SecondPersonNeeded));
    }
    let other = desk.transfer(A, gbp(50_00));
    for decision in [Decision::Retry, Decision::Refund, complete()] {
        assert_eq!(desk.decide(other.id.0, decision.clone()), Err(Refusal::NotUnderReview));
        assert_eq!(desk.decide(Uuid::from_u128(9), decision), Err(Refusal::TransferNotFound));
    }
}

#[test]
fn a_withdrawal_under_review_is_tried_again_given_back_or_paid() {
    for (decision, state, held) in [
        (Decision::Retry, WithdrawalState::Pending, 100_00),
        (Decision::Refund, WithdrawalState::Refused, 0),
        (complete(), WithdrawalState::Paid, 0),
    ] {
        let mut desk = Desk::new([(A, usual(WIDE))]);
        desk.top_up(A, gbp(FUNDS));
        let withdrawal = desk.withdraw(A, gbp(100_00), "W1").unwrap();
        let say = |finding| report(A, withdrawal.id.0, BankPayment, finding);
        desk.say(say(unresolved()));
        desk.decide(withdrawal.id.0, decision.clone()).unwrap();
        let after = &desk.world.withdrawals[&(A, withdrawal.id)];
        assert_eq!(after.state, state);
        let available = if state == WithdrawalState::Refused { FUNDS } else { FUNDS - 100_00 };
        assert_eq!(desk.parts(A, Currency::GBP), (available, held, 0));
        assert_eq!(desk.decide(withdrawal.id.0, Decision::Refund), Err(Refusal::NotUnderReview));
        if decision == Decision::Retry {
            assert_eq!(desk.say(say(Finding::PaymentExecuted)), Answer::Applied);
            assert_eq!(desk.parts(A, Currency::GBP), (FUNDS - 100_00, 0, 0));
        }
    }
}
