//! A payment's main path, command by command.

use crate::commands::{A, beneficiary, delivered, gbp, paid, priced, report, settled, usual};
use crate::desk::Desk;
use settla_domain::decide::{Command, CreateTransfer, decide};
use settla_domain::effect::EffectKind;
use settla_domain::finding::Finding;
use settla_domain::id::{QuoteId, TransferId};
use settla_domain::limit::Limits;
use settla_domain::money::{Currency, Money};
use settla_domain::quote::Quote;
use settla_domain::time::Timestamp;
use settla_domain::transfer::{Settlement, TransferState};
use settla_domain::world::World;

/// Limits that are looked at and not reached.
pub const LIMITS: Limits = Limits { per_transfer: 1_000_000, per_day: 1_000_000_000, pending: 1_000_000_000 };
/// What the tenant has to begin with.
pub const FUNDS: Money = Money { minor: 1_000_000_000, currency: Currency::GBP };
/// As many payments side by side as a batch of the runner has commands at most, and fewer.
pub const SIDE_BY_SIDE: [usize; 4] = [1, 10, 100, 400];

/// The commands that a payment consists of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    Quote,
    Transfer,
    OrderAccepted,
    Delivered,
    Settled,
    PayoutAccepted,
    PaidOut,
}

impl Step {
    pub const ALL: [Self; 7] = [
        Self::Quote,
        Self::Transfer,
        Self::OrderAccepted,
        Self::Delivered,
        Self::Settled,
        Self::PayoutAccepted,
        Self::PaidOut,
    ];

    /// Where it leaves the transfer.
    fn state(self) -> Option<TransferState> {
        match self {
            Self::Quote => None,
            Self::Transfer => Some(TransferState::Funded),
            Self::OrderAccepted => Some(TransferState::OnRamping),
            Self::Delivered => Some(TransferState::Settling),
            Self::Settled | Self::PayoutAccepted => Some(TransferState::OffRamping),
            Self::PaidOut => Some(TransferState::Completed),
        }
    }
}

/// A desk with one tenant, funded.
pub fn desk(limits: Limits) -> Desk {
    let mut desk = Desk::new([(A, usual(limits))]);
    desk.top_up(A, FUNDS);
    desk
}

/// One payment of 1,000 pounds.
pub fn payment(desk: &mut Desk) -> [Command; 7] {
    let now = desk.now;
    let terms = priced(&desk.world.tenants[&A], gbp(100_000), Currency::NGN, Currency::USDC, now).unwrap();
    let (bought, destination) = (terms.bought, terms.destination);
    let id = QuoteId(desk.id());
    let quote = Quote { id, tenant: A, terms, created_at: now, expires_at: now.plus_ms(60_000), used: false };
    let create = CreateTransfer {
        tenant: A,
        id: TransferId(desk.id()),
        quote: quote.id,
        reference: "INV-1".into(),
        beneficiary: beneficiary(Currency::NGN),
        settlement: Settlement::Batched,
    };
    let subject = create.id.0;
    let told = |kind, finding| Command::Report(report(A, subject, kind, finding));
    [
        Command::CreateQuote(quote),
        Command::CreateTransfer(create),
        told(EffectKind::OnRamp, Finding::Accepted),
        told(EffectKind::OnRamp, delivered(bought)),
        told(EffectKind::Settle, settled()),
        told(EffectKind::OffRamp, Finding::Accepted),
        told(EffectKind::OffRamp, paid(destination)),
    ]
}

/// So many payments, all of them at the same step.
pub fn side_by_side(desk: &mut Desk, payments: usize) -> [Vec<Command>; 7] {
    let payments: Vec<_> = (0..payments).map(|_| payment(desk)).collect();
    Step::ALL.map(|step| payments.iter().map(|commands| commands[step as usize].clone()).collect())
}

/// Has the desk carry out what comes before a step; returns the step's commands.
pub fn up_to(desk: &mut Desk, step: Step, payments: usize) -> Vec<Command> {
    let mut commands = side_by_side(desk, payments);
    commands[..step as usize].iter().flatten().for_each(|command| drop(desk.run_unaudited(command).unwrap()));
    std::mem::take(&mut commands[step as usize])
}

/// Has the desk carry out a step; its transfers have to be where it leads.
pub fn carry_out(desk: &mut Desk, step: Step, commands: &[Command]) {
    commands.iter().for_each(|command| drop(desk.run_unaudited(command).unwrap()));
    desk.audit();
    assert!(desk.world.transfers.values().all(|transfer| Some(transfer.state) == step.state()));
    assert_eq!(desk.world.quotes.len(), desk.world.transfers.len().max(commands.len()));
}

/// As the runner folds a batch: each command sees what the ones before it did.
pub fn fold<'a>(world: &mut World, commands: impl IntoIterator<Item = &'a Command>, now: Timestamp) {
    for command in commands {
        let decision = decide(world, command, now).unwrap();
        world.apply(&decision.changes).unwrap();
    }
}

/// What a fold came to is what came of it at the desk.
pub fn assert_same(world: &World, desk: &Desk) {
    assert_eq!(world.positions, desk.world.positions);
    assert_eq!(world.quotes, desk.world.quotes);
    assert_eq!(world.transfers, desk.world.transfers);
    assert_eq!(world.effects, desk.world.effects);
}
