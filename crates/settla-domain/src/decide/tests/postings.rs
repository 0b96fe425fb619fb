//! Traps 5 and 6: postings balance, reversals point the right way, and redelivery posts nothing.

use super::commands::{
    A, B, WIDE, delivered, gbp, paid, refused, report, returned, returning, settled, unresolved, usual,
};
use super::desk::Desk;
use super::guard::changes_nothing;
use crate::account::AccountKind::{Available, Held, InTransit};
use crate::account::{AccountId, AccountKind};
use crate::decide::{Answer, Command, Decision, decide};
use crate::effect::EffectKind::{OffRamp, OnRamp, Settle};
use crate::finding::Finding;
use crate::money::Currency;
use crate::posting::{Posting, PostingCode};
use crate::transfer::Transfer;
use crate::world::Change;

fn desk() -> (Desk, Transfer) {
    let mut desk = Desk::new([(A, usual(WIDE)), (B, usual(WIDE))]);
    desk.top_up(A, gbp(5_000_00));
    let transfer = desk.transfer(A, gbp(1_000_01));
    (desk, transfer)
}

fn postings(decision: &Decision) -> Vec<Posting> {
    decision.changes.iter().filter_map(|c| if let Change::Posted(p) = c { Some(p.clone()) } else { None }).collect()
}

fn own(kind: AccountKind) -> AccountId {
    AccountId::tenant(A, kind)
}

#[test]
fn trap_05_a_cancel_posts_the_hold_backwards() {
    let (mut desk, transfer) = desk();
    let cancel = Command::CancelTransfer { tenant: A, transfer: transfer.id };
    let posted = postings(&desk.run_unaudited(&cancel).unwrap());
    assert_eq!(posted.len(), 1);
    let release = &posted[0];
    assert_eq!((release.code, release.debit, release.credit), (PostingCode::Release, own(Held), own(Available)));
    assert_eq!(release.amount, transfer.terms.debit);
}

#[test]
fn trap_05_a_refusal_after_acceptance_posts_both_parts_backwards() {
    let (mut desk, transfer) = desk();
    desk.tell(&transfer, OnRamp, Finding::Accepted);
    let command = Command::Report(report(A, transfer.id.0, OnRamp, refused()));
    let posted = postings(&desk.run_unaudited(&command).unwrap());
    let lines: Vec<_> = posted.iter().map(|p| (p.code, p.debit, p.credit, p.amount)).collect();
    let release = PostingCode::Release;
    assert_eq!(
        lines,
        [(release, own(InTransit), own(Available), gbp(1_000_01)), (release, own(Held), own(Available), gbp(7_52))]
    );
    desk.audit();
}

#[test]
fn trap_05_a_return_posts_the_settlement_backwards() {
    use AccountKind::{OffRamp as AtOffRamp, Wallet};
    let (mut desk, transfer) = desk();
    desk.tell(&transfer, OnRamp, delivered(transfer.terms.bought));
    let mut said = |kind, finding| {
        postings(&desk.run_unaudited(&Command::Report(report(A, transfer.id.0, kind, finding))).unwrap())
    };
    let there = said(Settle, settled());
    let back = said(OffRamp, returned(transfer.terms.sent));
    assert_eq!((there[0].debit, there[0].credit), (AccountId::platform(AtOffRamp), AccountId::platform(Wallet)));
    assert_eq!((back[0].debit, back[0].credit), (there[0].credit, there[0].debit));
    assert_eq!(back[0].amount, there[0].amount);
}

#[test]
fn trap_06_posting_ids_are_the_same_at_every_delivery() {
    let (mut desk, transfer) = desk();
    let sent = transfer.terms.sent;
    for (kind, finding) in [
        (OnRamp, Finding::Accepted),
        (OnRamp, delivered(transfer.terms.bought)),
        (Settle, settled()),
        (OffRamp, returned(sent)),
    ] {
        let command = Command::Report(report(A, transfer.id.0, kind, finding));
        // The first delivery is decided and lost before it is applied, and comes again an hour later.
        let lost = decide(&desk.world, &command, desk.now).unwrap();
        desk.now = desk.now.plus_ms(3_600_000);
        let again = desk.run_unaudited(&command).unwrap();
        assert!(!postings(&lost).is_empty());
        assert_eq!(postings(&lost), postings(&again));
        desk.audit();
    }
}

#[test]
fn trap_06_a_redelivered_finding_posts_nothing() {
    let (mut desk, transfer) = desk();
    let terms = transfer.terms.clone();
    let mut told: Vec<(crate::effect::EffectKind, Finding)> = Vec::new();
    for (kind, finding) in [
        (OnRamp, Finding::Accepted),
        (OnRamp, delivered(terms.bought)),
        (Settle, settled()),
        (OffRamp, Finding::Accepted),
        (OffRamp, returning()),
        (OffRamp, returned(terms.sent)),
    ] {
        assert_eq!(desk.tell(&transfer, kind, finding.clone()), Answer::Applied, "{finding:?}");
        told.push((kind, finding));
        let (length, before) = (desk.books.len(), desk.now_of(&transfer).clone());
        for (kind, finding) in &told {
            assert_eq!(desk.tell(&transfer, *kind, finding.clone()), Answer::Nothing, "{finding:?}");
        }
        assert_eq!((desk.books.len(), desk.now_of(&transfer)), (length, &before));
    }
}

#[test]
fn trap_06_a_redelivered_finding_about_a_withdrawal_posts_nothing() {
    use crate::effect::EffectKind::BankPayment;
    for last in [Finding::PaymentExecuted, refused(), unresolved()] {
        let (mut desk, _) = desk();
        let withdrawal = desk.withdraw(A, gbp(10_00), "W1").unwrap();
        for finding in [Finding::Accepted, last] {
            assert_eq!(desk.say(report(A, withdrawal.id.0, BankPayment, finding.clone())), Answer::Applied);
            assert_eq!(
                desk.say(report(A, withdrawal.id.0, BankPayment, finding.clone())),
                Answer::Nothing,
                "{finding:?}"
            );
        }
        assert!(changes_nothing(&desk.say(report(A, withdrawal.id.0, BankPayment, Finding::PaymentExecuted))));
    }
}

/// Everything that the off-ramp may say after it has paid changes nothing any more.
#[test]
fn trap_06_nothing_follows_the_end() {
    let (mut desk, transfer) = desk();
    let terms = transfer.terms.clone();
    for (kind, finding) in [(OnRamp, delivered(terms.bought)), (Settle, settled()), (OffRamp, paid(terms.destination))]
    {
        desk.tell(&transfer, kind, finding);
    }
    let ended = desk.now_of(&transfer).clone();
    for finding in [
        Finding::Accepted,
        paid(terms.destination),
        paid(gbp(1)),
        returning(),
        returned(terms.sent),
        refused(),
        unresolved(),
    ] {
        for kind in [OnRamp, Settle, OffRamp] {
            assert_eq!(desk.tell(&transfer, kind, finding.clone()), Answer::Nothing);
        }
    }
    assert_eq!(desk.now_of(&transfer), &ended);
    assert_eq!(desk.parts(A, Currency::USDC), (0, 0, 0));
}
