//! A finding counts only for the effect, the subject and the tenant it is about.

use super::commands::{
    A, B, WIDE, delivered, gbp, paid, refused, report, returned, returning, settled, unresolved, usual,
};
use super::desk::Desk;
use super::guard::changes_nothing;
use crate::decide::{Answer, Command, Report};
use crate::effect::EffectKind::{self, BankPayment, OffRamp, OnRamp, Settle};
use crate::effect::EffectStatus;
use crate::finding::Finding;
use crate::money::Currency;
use crate::tenant::TenantNo;
use crate::transfer::Transfer;
use uuid::Uuid;

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
        Finding::NotStarted { .. } => unreachable!("of an attempt, not of an effect"),
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

/// The effect's row and the subject's state both have to allow a finding: each alone keeps money from moving
/// twice, should the other be wrong.
#[test]
fn an_effect_that_is_over_or_unknown_takes_no_finding() {
    let (mut desk, transfer) = desk();
    let withdrawal = desk.withdraw(A, gbp(1_00), "W1").unwrap();
    for (subject, kind) in [(transfer.id.0, OnRamp), (withdrawal.id.0, BankPayment)] {
        for status in [None, Some(EffectStatus::Done), Some(EffectStatus::Cancelled)] {
            let mut desk = desk.clone();
            desk.world.effects.remove(&(A, kind.id_for(subject)));
            desk.world.effects.extend(status.map(|status| ((A, kind.id_for(subject)), status)));
            for finding in every_finding(&transfer) {
                let command = Command::Report(report(A, subject, kind, finding));
                let answer = desk.run_unaudited(&command).unwrap().answer;
                assert!(changes_nothing(&answer), "{status:?} {command:?}");
            }
        }
    }
}

/// What has ended without success and is then said to have succeeded moves nothing, and is not passed over either. A
/// success that was applied may be said again.
#[test]
fn a_success_after_another_end_is_a_contradiction() {
    let successes = |t: &Transfer| [(OnRamp, delivered(t.terms.bought)), (OffRamp, paid(t.terms.destination))];
    for end in [refused(), unresolved()] {
        let (mut desk, transfer) = desk();
        let [(kind, success), _] = successes(&transfer);
        desk.tell(&transfer, kind, end.clone());
        let before = desk.clone();
        assert_eq!(desk.tell(&transfer, kind, success), Answer::Contradicts, "{end:?}");
        assert_eq!(desk.parts(A, Currency::GBP), before.parts(A, Currency::GBP));

        let (mut desk, transfer) = self::desk();
        let [first, (kind, success)] = successes(&transfer);
        desk.tell(&transfer, first.0, first.1.clone());
        assert_eq!(desk.tell(&transfer, first.0, first.1), Answer::Nothing);
        desk.tell(&transfer, Settle, settled());
        desk.tell(&transfer, kind, returned(transfer.terms.sent));
        assert_eq!(desk.tell(&transfer, kind, success), Answer::Contradicts);

        let (mut desk, _) = self::desk();
        let withdrawal = desk.withdraw(A, gbp(1_00), "W1").unwrap();
        let say = |finding| report(A, withdrawal.id.0, BankPayment, finding);
        desk.say(say(end));
        assert_eq!(desk.say(say(Finding::PaymentExecuted)), Answer::Contradicts);
    }
    let (mut desk, _) = desk();
    let withdrawal = desk.withdraw(A, gbp(1_00), "W1").unwrap();
    let executed = report(A, withdrawal.id.0, BankPayment, Finding::PaymentExecuted);
    desk.say(executed.clone());
    assert_eq!(desk.say(executed), Answer::Nothing);
}

/// Every effect of the subject is put back to where a worker starts; nothing must come of it.
fn assert_deaf(desk: &Desk, transfer: &Transfer, tenant: TenantNo, subject: Uuid) {
    for kind in EffectKind::ALL {
        let mut desk = desk.clone();
        desk.finished.clear();
        desk.world.effects.insert((tenant, kind.id_for(subject)), EffectStatus::Started);
        for finding in every_finding(transfer) {
            let command = Command::Report(report(tenant, subject, kind, finding));
            assert_eq!(desk.run_unaudited(&command).unwrap().answer, Answer::Nothing, "{command:?}");
        }
    }
}

#[test]
fn a_subject_that_has_ended_or_is_under_review_takes_no_finding() {
    let (desk, transfer) = desk();
    let terms = &transfer.terms;
    let there = [(OnRamp, delivered(terms.bought)), (Settle, settled())];
    let endings = [
        vec![(OnRamp, refused())],
        vec![(OnRamp, unresolved())],
        vec![there[0].clone(), (Settle, unresolved())],
        [there.to_vec(), vec![(OffRamp, paid(terms.destination))]].concat(),
        [there.to_vec(), vec![(OffRamp, returned(terms.sent))]].concat(),
        [there.to_vec(), vec![(OffRamp, refused())]].concat(),
    ];
    for ending in endings {
        let mut desk = desk.clone();
        for (kind, finding) in ending {
            assert_eq!(desk.tell(&transfer, kind, finding), Answer::Applied);
        }
        assert_deaf(&desk, &transfer, A, transfer.id.0);
    }
    for finding in [Finding::PaymentExecuted, refused(), unresolved()] {
        let mut desk = desk.clone();
        let withdrawal = desk.withdraw(A, gbp(1_00), "W1").unwrap();
        desk.say(report(A, withdrawal.id.0, BankPayment, finding));
        // Another one is held meanwhile: its money must not be what pays the first again.
        desk.withdraw(A, gbp(1_00), "W2").unwrap();
        assert_deaf(&desk, &transfer, A, withdrawal.id.0);
    }
}

/// Even if the order's row were put back to where a worker starts.
#[test]
fn an_acceptance_moves_the_money_once() {
    let (mut desk, transfer) = desk();
    desk.tell(&transfer, OnRamp, Finding::Accepted);
    desk.world.effects.insert((A, OnRamp.id_for(transfer.id.0)), EffectStatus::Started);
    let (postings, parts) = (desk.books.len(), desk.parts(A, Currency::GBP));
    assert_eq!(desk.tell(&transfer, OnRamp, Finding::Accepted), Answer::Applied, "the row is put right");
    assert_eq!((desk.books.len(), desk.parts(A, Currency::GBP)), (postings, parts));
    assert_eq!(desk.tell(&transfer, OnRamp, delivered(transfer.terms.bought)), Answer::Applied);
}
