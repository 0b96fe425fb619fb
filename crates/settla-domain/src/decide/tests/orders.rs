//! Any order of the same findings. The outside tells one true story a transfer; its parts arrive doubled,
//! late and out of order, amid things that belong to nobody, and are said again until nobody has anything
//! new to say, as workers do.

use super::books::Sums;
use super::cases;
use super::commands::{
    A, B, WIDE, delivered, free, gbp, paid, refused, report, returned, returning, settled, unresolved, usual,
};
use super::desk::Desk;
use super::guard::changes_nothing;
use crate::decide::{Command, Report};
use crate::effect::EffectKind::{BankPayment, OffRamp, OnRamp, Settle};
use crate::finding::Finding;
use crate::id::TransferId;
use crate::money::{Currency, Money};
use crate::tenant::TenantNo;
use crate::transfer::{Transfer, TransferState};
use crate::withdrawal::WithdrawalState;
use proptest::prelude::*;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Per tenant and currency: available, and what is held or travelling.
type Owed = BTreeMap<(TenantNo, Currency), (i128, i128)>;

/// Something that reaches the engine.
#[derive(Debug, Clone)]
enum Message {
    Said(Report),
    Cancel(TenantNo, TransferId),
}

/// How a transfer really goes.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Declined,
    DeliveredShort,
    OnRampLost,
    SettlementLost,
    Paid,
    PaidShort,
    SentBack,
    SentBackShort,
    PayoutLost,
}

const FATES: [Fate; 9] = [
    Fate::Declined,
    Fate::DeliveredShort,
    Fate::OnRampLost,
    Fate::SettlementLost,
    Fate::Paid,
    Fate::PaidShort,
    Fate::SentBack,
    Fate::SentBackShort,
    Fate::PayoutLost,
];

fn less(money: Money) -> Money {
    Money::new(money.currency, money.minor - 1)
}

impl Fate {
    fn story(self, transfer: &Transfer) -> Vec<Report> {
        let terms = &transfer.terms;
        let mut story = vec![(OnRamp, Finding::Accepted)];
        match self {
            Self::Declined => story.push((OnRamp, refused())),
            Self::DeliveredShort => story.push((OnRamp, delivered(less(terms.bought)))),
            Self::OnRampLost => story.push((OnRamp, unresolved())),
            _ => story.push((OnRamp, delivered(terms.bought))),
        }
        match self {
            Self::Declined | Self::DeliveredShort | Self::OnRampLost => {}
            Self::SettlementLost => story.push((Settle, unresolved())),
            _ => story.extend([(Settle, settled()), (OffRamp, Finding::Accepted)]),
        }
        match self {
            Self::Paid => story.push((OffRamp, paid(terms.destination))),
            Self::PaidShort => story.push((OffRamp, paid(less(terms.destination)))),
            Self::SentBack => story.extend([(OffRamp, returning()), (OffRamp, returned(terms.sent))]),
            Self::SentBackShort => story.extend([(OffRamp, returning()), (OffRamp, returned(less(terms.sent)))]),
            Self::PayoutLost => story.push((OffRamp, unresolved())),
            _ => {}
        }
        story.into_iter().map(|(kind, finding)| report(transfer.tenant, transfer.id.0, kind, finding)).collect()
    }

    fn end(self) -> TransferState {
        match self {
            Self::Declined | Self::SentBack => TransferState::Refunded,
            Self::Paid => TransferState::Completed,
            _ => TransferState::UnderReview,
        }
    }
}

/// Two tenants, and a transfer for each number, theirs in turn.
fn start(count: usize) -> (Desk, Vec<Transfer>) {
    let mut desk = Desk::new([(A, usual(WIDE)), (B, free(WIDE))]);
    let mut transfers = Vec::new();
    for index in 0..count {
        let tenant = [A, B][index % 2];
        desk.top_up(tenant, gbp(2_000_00));
        transfers.push(desk.transfer(tenant, gbp(1_000_00 + index as i128)));
    }
    (desk, transfers)
}

/// True about another effect, another tenant or nothing at all: never counts.
fn noise(transfer: &Transfer, other: TenantNo) -> Vec<Report> {
    let terms = &transfer.terms;
    let (tenant, id) = (transfer.tenant, transfer.id.0);
    vec![
        report(tenant, id, BankPayment, Finding::PaymentExecuted),
        report(tenant, id, Settle, delivered(terms.bought)),
        report(tenant, id, OnRamp, paid(terms.destination)),
        report(tenant, id, OnRamp, returned(terms.sent)),
        report(tenant, id, OffRamp, settled()),
        report(other, id, OnRamp, delivered(terms.bought)),
        report(tenant, Uuid::from_u128(77), OnRamp, delivered(terms.bought)),
        Report { tenant, subject: Uuid::from_u128(77), effect: OnRamp.id_for(id), finding: delivered(terms.bought) },
    ]
}

/// Delivers everything in this order, again and again, until a whole round changes nothing.
fn until_quiet(desk: &mut Desk, messages: &[Message]) {
    // Each round that changes something moves at least one effect on, and there are five steps to an effect.
    for _ in 0..=20 {
        let mut quiet = true;
        for message in messages {
            match message {
                Message::Said(report) => quiet &= changes_nothing(&desk.say(report.clone())),
                Message::Cancel(tenant, transfer) => {
                    quiet &= desk.run(&Command::CancelTransfer { tenant: *tenant, transfer: *transfer }).is_err();
                }
            }
        }
        if quiet {
            return;
        }
    }
    panic!("it never ends");
}

/// What tenants have, with held and travelling money as one, and what the platform has. Whether money whose
/// fate is unclear counts as held or as travelling depends on whether the acceptance was heard of.
fn outcome(desk: &Desk) -> (Owed, Sums) {
    let positions = desk.world.positions.iter().map(|(key, p)| (*key, (p.available, p.held + p.in_transit)));
    let positions = positions.filter(|(_, parts)| *parts != (0, 0)).collect();
    let platform = desk.books.sums().iter().filter(|((a, _), _)| a.owner() == TenantNo::PLATFORM);
    (positions, platform.map(|(key, sum)| (*key, *sum)).collect())
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    proptest::collection::vec(proptest::sample::select(&FATES), 1..5)
}

/// A shuffle of up to 200 things, by sorting them by these.
fn shuffle() -> impl Strategy<Value = Vec<u32>> {
    proptest::collection::vec(any::<u32>(), 200)
}

fn shuffled(mut messages: Vec<Message>, keys: &[u32]) -> Vec<Message> {
    let mut keys = keys.iter().cycle();
    messages.sort_by_cached_key(|_| keys.next().copied());
    messages
}

proptest! {
    #![proptest_config(cases(100))]

    /// The true findings, doubled and shuffled with noise, end exactly where they end in order.
    #[test]
    fn any_order_of_the_true_findings_ends_the_same(fates in fates(), keys in shuffle()) {
        let (start, transfers) = start(fates.len());
        let mut in_order = start.clone();
        let mut messages = Vec::new();
        for (fate, transfer) in fates.iter().zip(&transfers) {
            for report in fate.story(transfer) {
                in_order.say(report.clone());
                messages.extend([Message::Said(report.clone()), Message::Said(report)]);
            }
            let other = if transfer.tenant == A { B } else { A };
            messages.extend(noise(transfer, other).into_iter().map(Message::Said));
        }
        let mut any_order = start;
        until_quiet(&mut any_order, &shuffled(messages, &keys));
        for (fate, transfer) in fates.iter().zip(&transfers) {
            prop_assert_eq!(in_order.state(transfer), fate.end());
            prop_assert_eq!(any_order.state(transfer), fate.end());
        }
        prop_assert_eq!(outcome(&any_order), outcome(&in_order));
    }

    /// Contradictions too, and calls to cancel: every transfer ends or goes to people, money intact.
    #[test]
    fn any_order_of_contradictory_findings_ends_consistent(fates in proptest::collection::vec((0..9usize, 0..9usize), 1..4), keys in shuffle(), withdrawn in 1i128..500_00) {
        let (mut desk, transfers) = start(fates.len());
        let withdrawal = desk.withdraw(A, gbp(withdrawn), "W1").unwrap();
        let mut messages = Vec::new();
        for ((first, second), transfer) in fates.iter().zip(&transfers) {
            // A way to the end is always among them, so that nothing is left waiting.
            for fate in [FATES[*first], FATES[*second], Fate::Paid] {
                messages.extend(fate.story(transfer).into_iter().map(Message::Said));
            }
            messages.push(Message::Cancel(transfer.tenant, transfer.id));
        }
        for finding in [Finding::Accepted, Finding::PaymentExecuted, refused(), unresolved(), Finding::PaymentExecuted] {
            messages.push(Message::Said(report(A, withdrawal.id.0, BankPayment, finding)));
        }
        until_quiet(&mut desk, &shuffled(messages, &keys));
        for transfer in &transfers {
            let state = desk.state(transfer);
            prop_assert!(state.is_terminal() || state == TransferState::UnderReview, "{:?}", state);
        }
        prop_assert_ne!(desk.world.withdrawals[&(A, withdrawal.id)].state, WithdrawalState::Pending);
    }
}
