//! A finding counts only for the effect, the subject and the tenant it is about.

use super::commands::{
    A, B, WIDE, delivered, gbp, paid, refused, report, returned, returning, settled, unresolved, usual,
};
use super::desk::Desk;
use crate::decide::{Answer, Report};
use crate::effect::EffectKind::{self, BankPayment, OffRamp, OnRamp, Settle};
use crate::effect::EffectStatus;
use crate::finding::Finding;
use crate::transfer::Transfer;

fn desk() -> (Desk, Transfer) {
    let mut desk = Desk::new([(A, usual(WIDE)), (B, usual(WIDE))]);
    desk.top_up(A, gbp(5_000_00));
    desk.top_up(B, gbp(5_000_00));
    let transfer = desk.transfer(A, gbp(1_000_01));
    (desk, transfer)
}

fn every_finding(transfer: &Transfer) -> [Finding; 9] {
    let terms = &transfer.terms;
    [
        Finding::Accepted,
        delivered(terms.bought),
        settled(),
        paid(terms.destination),
        returning(),
        returned(terms.sent),
        Finding::PaymentExecuted,
        refused(),
        unresolved(),
    ]
}

/// For each leg, the findings that may move it; all others change nothing.
#[test]
fn findings_that_do_not_belong_to_the_leg_change_nothing() {
    let (mut desk, transfer) = desk();
    let may_move = |kind: EffectKind, finding: &Finding| match finding {
        Finding::Refused { .. } | Finding::Unresolved { .. } => true,
        Finding::Accepted => kind != Settle,
        Finding::Delivered { .. } => kind == OnRamp,
        Finding::Settled { .. } => kind == Settle,
        Finding::PaidOut { .. } | Finding::Returning { .. } | Finding::Returned { .. } => kind == OffRamp,
        Finding::PaymentExecuted => kind == BankPayment,
    };
    for (leg, onward) in
        [(OnRamp, delivered(transfer.terms.bought)), (Settle, settled()), (OffRamp, paid(transfer.terms.destination))]
    {
        for kind in EffectKind::ALL {
            for finding in every_finding(&transfer) {
                let expected = if kind == leg && may_move(kind, &finding) { Answer::Applied } else { Answer::Nothing };
                assert_eq!(
                    desk.clone().tell(&transfer, kind, finding.clone()),
                    expected,
                    "{leg:?} {kind:?} {finding:?}"
                );
            }
        }
        desk.tell(&transfer, leg, onward);
    }
    let withdrawal = desk.withdraw(A, gbp(1_00), "W1").unwrap();
    for kind in EffectKind::ALL {
        for finding in every_finding(&transfer) {
            let expected =
                if kind == BankPayment && may_move(kind, &finding) { Answer::Applied } else { Answer::Nothing };
            let answer = desk.clone().say(report(A, withdrawal.id.0, kind, finding.clone()));
            assert_eq!(answer, expected, "withdrawal {kind:?} {finding:?}");
        }
    }
}

/// An effect that is open, but another subject's: a transfer's order says nothing about a withdrawal.
#[test]
fn a_finding_with_anothers_effect_changes_nothing() {
    let (mut desk, transfer) = desk();
    let other = desk.transfer(A, gbp(50_00));
    let withdrawal = desk.withdraw(A, gbp(70_00), "W1").unwrap();
    let subjects = [(transfer.id.0, OnRamp), (other.id.0, OnRamp), (withdrawal.id.0, BankPayment)];
    for (subject, _) in subjects {
        for (owner, kind) in subjects.into_iter().filter(|(owner, _)| *owner != subject) {
            for finding in every_finding(&transfer) {
                let report = Report { tenant: A, subject, effect: kind.id_for(owner), finding };
                assert_eq!(desk.say(report.clone()), Answer::Nothing, "{report:?}");
            }
        }
    }
}

#[test]
fn a_finding_under_another_tenant_changes_nothing() {
    let (mut desk, transfer) = desk();
    let theirs = desk.transfer(B, gbp(50_00));
    for finding in every_finding(&transfer) {
        assert_eq!(desk.say(report(B, transfer.id.0, OnRamp, finding.clone())), Answer::Nothing);
        let crossed =
            Report { tenant: B, subject: transfer.id.0, effect: OnRamp.id_for(theirs.id.0), finding: finding.clone() };
        assert_eq!(desk.say(crossed), Answer::Nothing);
        let crossed = Report { tenant: A, subject: theirs.id.0, effect: OnRamp.id_for(transfer.id.0), finding };
        assert_eq!(desk.say(crossed), Answer::Nothing);
    }
}

/// A finding that comes before its effect was ordered is not kept: the worker says it again.
#[test]
fn an_early_finding_changes_nothing_and_may_come_again() {
    let (mut desk, transfer) = desk();
    assert_eq!(desk.tell(&transfer, Settle, settled()), Answer::Nothing);
    assert_eq!(desk.tell(&transfer, OffRamp, paid(transfer.terms.destination)), Answer::Nothing);
    desk.tell(&transfer, OnRamp, delivered(transfer.terms.bought));
    assert_eq!(desk.tell(&transfer, Settle, settled()), Answer::Applied);
}

/// Even if the order's row were put back to where a worker starts.
#[test]
fn an_acceptance_moves_the_money_once() {
    let (mut desk, transfer) = desk();
    desk.tell(&transfer, OnRamp, Finding::Accepted);
    desk.world.effects.insert((A, OnRamp.id_for(transfer.id.0)), EffectStatus::Started);
    assert_eq!(desk.tell(&transfer, OnRamp, Finding::Accepted), Answer::Nothing);
    assert_eq!(desk.tell(&transfer, OnRamp, delivered(transfer.terms.bought)), Answer::Applied);
}
