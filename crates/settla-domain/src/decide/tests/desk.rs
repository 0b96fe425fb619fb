//! The desk: runs commands, and after each one holds the engine to everything that must always be true.

use super::books::Books;
use super::commands::{NOON, beneficiary, priced, report, uuid};
use super::explained::{Memory, explained};
use crate::account::{AccountId, AccountKind};
use crate::decide::{Answer, Command, CreateTransfer, Decision, Report, decide};
use crate::effect::{EffectKind, EffectStatus};
use crate::event::{EVENT_TYPES, EventData};
use crate::finding::Finding;
use crate::id::{EffectId, QuoteId, TopupId, TransferId, WithdrawalId};
use crate::money::{Currency, Money};
use crate::position::Position;
use crate::quote::Quote;
use crate::refusal::Refusal;
use crate::tenant::{TenantNo, TenantTerms};
use crate::time::Timestamp;
use crate::topup::{BankCredit, Topup, reference_for};
use crate::transfer::{Progress, Transfer, TransferState};
use crate::withdrawal::{Withdrawal, WithdrawalState};
use crate::world::{Change, World};
use std::collections::{BTreeMap, HashSet};
use uuid::Uuid;

/// A world with books beside it.
#[derive(Default, Clone)]
pub(super) struct Desk {
    pub world: World,
    pub books: Books,
    pub now: Timestamp,
    memory: Memory,
    /// Effects whose final finding was applied.
    finished: HashSet<EffectId>,
    ids: u64,
}

impl Desk {
    pub fn new(tenants: impl IntoIterator<Item = (TenantNo, TenantTerms)>) -> Self {
        let world = World { tenants: tenants.into_iter().collect(), ..World::default() };
        Self { world, now: NOON, ..Self::default() }
    }

    pub fn id(&mut self) -> Uuid {
        self.ids += 1;
        uuid(self.ids)
    }

    /// Decides, applies and audits.
    pub fn run(&mut self, command: &Command) -> Result<Answer, Refusal> {
        let decision = self.run_unaudited(command)?;
        self.audit();
        Ok(decision.answer)
    }

    /// Decides and applies; the caller audits.
    pub fn run_unaudited(&mut self, command: &Command) -> Result<Decision, Refusal> {
        let decision = decide(&self.world, command, self.now);
        assert_eq!(decision, decide(&self.world, command, self.now), "the engine is pure");
        let decision = decision?;
        self.check(command, &decision);
        self.remember(command, &decision);
        self.world.apply(&decision.changes).unwrap_or_else(|broken| panic!("{broken}: {command:?} -> {decision:?}"));
        for change in &decision.changes {
            if let Change::Posted(posting) = change {
                self.books.post(posting);
            }
        }
        Ok(decision)
    }

    /// A priced quote of a tenant, for a minute.
    pub fn quote_over(&mut self, tenant: TenantNo, amount: Money, destination: Currency, stable: Currency) -> Result<QuoteId, Refusal> {
        let terms = priced(&self.world.tenants[&tenant], amount, destination, stable, self.now)?;
        let id = QuoteId(self.id());
        let quote = Quote { id, tenant, terms, created_at: self.now, expires_at: self.now.plus_ms(60_000), used: false };
        self.run_unaudited(&Command::CreateQuote(quote))?;
        Ok(id)
    }

    pub fn quote(&mut self, tenant: TenantNo, amount: Money) -> QuoteId {
        self.quote_over(tenant, amount, Currency::NGN, Currency::USDC).unwrap()
    }

    pub fn create(&mut self, tenant: TenantNo, quote: QuoteId) -> Result<Transfer, Refusal> {
        let create = CreateTransfer { tenant, id: TransferId(self.id()), quote, reference: "INV-1".into(), beneficiary: beneficiary() };
        match self.run_unaudited(&Command::CreateTransfer(create))?.answer {
            Answer::Transfer(transfer) => Ok(transfer),
            other => panic!("{other:?}"),
        }
    }

    /// A funded transfer of so much.
    pub fn transfer(&mut self, tenant: TenantNo, amount: Money) -> Transfer {
        let quote = self.quote(tenant, amount);
        let transfer = self.create(tenant, quote).unwrap();
        self.audit();
        transfer
    }

    pub fn cancel(&mut self, transfer: &Transfer) -> Result<Answer, Refusal> {
        self.run(&Command::CancelTransfer { tenant: transfer.tenant, transfer: transfer.id })
    }

    pub fn announce(&mut self, tenant: TenantNo, expected: Money) -> Topup {
        let id = TopupId(self.id());
        let topup = Topup { id, tenant, expected, credited: 0, reference: reference_for(id), created_at: self.now };
        self.run(&Command::CreateTopup(topup.clone())).unwrap();
        topup
    }

    pub fn bank_credit(&mut self, entry: &str, reference: &str, amount: Money) -> Answer {
        let credit = BankCredit { entry_id: entry.into(), reference: reference.into(), amount };
        let id = self.id();
        self.run(&Command::BankCredit { id, credit }).unwrap()
    }

    /// Announced, and credited by the bank.
    pub fn top_up(&mut self, tenant: TenantNo, amount: Money) {
        let topup = self.announce(tenant, amount);
        assert_eq!(self.bank_credit(&topup.reference, &topup.reference, amount), Answer::Applied);
    }

    pub fn withdraw(&mut self, tenant: TenantNo, amount: Money, reference: &str) -> Result<Withdrawal, Refusal> {
        let id = WithdrawalId(self.id());
        let (state, at) = (WithdrawalState::Pending, self.now);
        let withdrawal = Withdrawal { id, tenant, amount, reference: reference.into(), account_masked: "****1".into(), state, failure: None, created_at: at, updated_at: at };
        self.run(&Command::CreateWithdrawal(withdrawal.clone())).map(|_| withdrawal)
    }

    /// What the store does when a worker takes an effect.
    pub fn claim(&mut self, tenant: TenantNo, effect: EffectId) {
        if self.world.effects.get(&(tenant, effect)) == Some(&EffectStatus::Untouched) {
            self.world.apply(&[Change::EffectMoved(tenant, effect, EffectStatus::Started)]).unwrap();
        }
    }

    pub fn tell(&mut self, transfer: &Transfer, kind: EffectKind, finding: Finding) -> Answer {
        self.say(report(transfer.tenant, transfer.id.0, kind, finding))
    }

    pub fn say(&mut self, report: Report) -> Answer {
        self.run(&Command::Report(report)).unwrap()
    }

    pub fn state(&self, transfer: &Transfer) -> TransferState {
        self.now_of(transfer).state
    }

    pub fn now_of(&self, transfer: &Transfer) -> &Transfer {
        &self.world.transfers[&(transfer.tenant, transfer.id)]
    }

    /// Available, held and in transit.
    pub fn parts(&self, tenant: TenantNo, currency: Currency) -> (i128, i128, i128) {
        let Position { available, held, in_transit, .. } = self.world.position(tenant, currency);
        (available, held, in_transit)
    }

    /// What must hold of a decision, before it is applied.
    fn check(&self, command: &Command, decision: &Decision) {
        let owner = self.owner(command);
        assert_eq!(decision.changes.is_empty(), decision.answer == Answer::Nothing, "{decision:?}");
        for change in &decision.changes {
            let of = match change {
                Change::Posted(posting) => {
                    assert!([posting.debit, posting.credit].iter().all(|a| [TenantNo::PLATFORM, owner].contains(&a.owner())), "{posting:?}");
                    posting.tenant
                }
                Change::EffectMoved(tenant, effect, status) => {
                    self.check_moved(*tenant, *effect, *status);
                    *tenant
                }
                Change::EffectOrdered(order) => {
                    assert!(!self.world.effects.contains_key(&(order.tenant, order.id)), "ordered twice: {order:?}");
                    assert_eq!(order.id, order.effect.kind().id_for(order.subject));
                    order.tenant
                }
                Change::TransferChanged(after) => {
                    self.check_advanced(after);
                    after.tenant
                }
                Change::Happened(event) => {
                    assert!(EVENT_TYPES.contains(&event.kind) && event.at == self.now, "{event:?}");
                    event.tenant
                }
                Change::TransferCreated(transfer) => transfer.tenant,
                Change::QuoteCreated(quote) => quote.tenant,
                Change::QuoteUsed(tenant, _) | Change::UsageChanged(tenant, _, _) => *tenant,
                Change::TopupCreated(topup) | Change::TopupChanged(topup) => topup.tenant,
                Change::WithdrawalCreated(withdrawal) | Change::WithdrawalChanged(withdrawal) => withdrawal.tenant,
                Change::BankEntryApplied(id) => {
                    assert!(!self.world.bank_entries.contains(id), "applied twice: {id}");
                    owner
                }
            };
            assert_eq!(of, owner, "{command:?} touches another tenant: {change:?}");
        }
    }

    fn owner(&self, command: &Command) -> TenantNo {
        match command {
            Command::CreateQuote(quote) => quote.tenant,
            Command::CreateTransfer(create) => create.tenant,
            Command::CancelTransfer { tenant, .. } => *tenant,
            Command::CreateTopup(topup) => topup.tenant,
            Command::BankCredit { credit, .. } => match self.world.topups.get(&credit.reference) {
                Some(topup) if topup.expected.currency == credit.amount.currency => topup.tenant,
                _ => TenantNo::PLATFORM,
            },
            Command::CreateWithdrawal(withdrawal) => withdrawal.tenant,
            Command::Report(report) => report.tenant,
        }
    }

    /// An effect only moves forward, and not at all once it is done or called off.
    fn check_moved(&self, tenant: TenantNo, effect: EffectId, to: EffectStatus) {
        let rank = |status: EffectStatus| match status {
            EffectStatus::Untouched => 0,
            EffectStatus::Started => 1,
            EffectStatus::Accepted => 2,
            EffectStatus::Done | EffectStatus::Cancelled => 3,
        };
        let from = self.world.effects[&(tenant, effect)];
        assert!(rank(from) < 3, "{effect} was over");
        assert!(rank(to) > rank(from) || to == from, "{effect} from {from:?} to {to:?}");
        assert!(!self.finished.contains(&effect), "{effect} finished twice");
    }

    /// A transfer moves on one version at a time, never once it has ended, and forgets nothing.
    fn check_advanced(&self, after: &Transfer) {
        let before = self.now_of(after);
        assert!(!before.state.is_terminal(), "{before:?} had ended");
        assert_ne!(before.state, TransferState::UnderReview, "only people end a review");
        assert_eq!((after.version, after.updated_at), (before.version + 1, self.now));
        let mut same = before.clone();
        (same.state, same.version, same.updated_at, same.progress) = (after.state, after.version, after.updated_at, after.progress.clone());
        assert_eq!(&same, after, "only state and progress move");
        let Progress { delivered, delivery_tx, settlement_batch, settlement_tx, paid, payout_reference, return_tx, failure: _ } = &before.progress;
        let later = &after.progress;
        assert!(delivered.is_none() || *delivered == later.delivered);
        assert!(delivery_tx.is_none() || *delivery_tx == later.delivery_tx);
        assert!(settlement_batch.is_none() || *settlement_batch == later.settlement_batch);
        assert!(settlement_tx.is_none() || *settlement_tx == later.settlement_tx);
        assert!(paid.is_none() || *paid == later.paid);
        assert!(payout_reference.is_none() || *payout_reference == later.payout_reference);
        assert!(return_tx.is_none() || *return_tx == later.return_tx);
    }

    fn remember(&mut self, command: &Command, decision: &Decision) {
        if let (Command::BankCredit { credit, .. }, Answer::Applied) = (command, &decision.answer) {
            let owner = Some(self.owner(command)).filter(|t| *t != TenantNo::PLATFORM);
            self.memory.credited.push((owner, credit.amount));
        }
        for change in &decision.changes {
            match change {
                Change::TransferChanged(after) if after.state == TransferState::UnderReview => {
                    self.memory.reviewed_from.insert(after.id, self.state(after));
                }
                Change::EffectMoved(_, effect, EffectStatus::Done | EffectStatus::Cancelled) => {
                    self.finished.insert(*effect);
                }
                _ => {}
            }
            if let (Change::TransferChanged(after), Command::Report(report)) = (change, command)
                && let Finding::Returned { amount, .. } = &report.finding
            {
                self.memory.returned.insert(after.id, *amount);
            }
            if let Change::Happened(event) = change
                && let EventData::Transfer { transfer_id, .. } = &event.data
            {
                assert_eq!(event.subject, transfer_id.0);
            }
        }
    }

    /// What must hold of the whole world, always.
    pub fn audit(&self) {
        self.books.assert_balanced();
        assert_eq!(self.books.sums(), &explained(&self.world, &self.memory), "accounts hold what nothing explains");
        self.audit_positions();
        self.audit_usage();
        self.audit_effects();
    }

    /// No part negative, and each equal to its account.
    fn audit_positions(&self) {
        for ((tenant, currency), position) in &self.world.positions {
            let booked = |kind| self.books.tenants(*tenant, kind, *currency);
            let parts = (position.available, position.held, position.in_transit);
            assert!(parts.0 >= 0 && parts.1 >= 0 && parts.2 >= 0, "{tenant:?} {currency} {position:?}");
            assert_eq!(parts, (booked(AccountKind::Available), booked(AccountKind::Held), booked(AccountKind::InTransit)), "{tenant:?} {currency}");
        }
        for (account, currency) in self.books.sums().keys().filter(|(a, _)| a.owner() != TenantNo::PLATFORM) {
            assert!(self.world.positions.contains_key(&(account.owner(), *currency)), "{account:?} has no position");
        }
    }

    /// Pending is what has not ended; today's total is what was created today and not cancelled.
    fn audit_usage(&self) {
        let today = self.now.utc_day();
        let mut pending: BTreeMap<(TenantNo, Currency), i128> = BTreeMap::new();
        let mut created: BTreeMap<(TenantNo, Currency), i128> = BTreeMap::new();
        for transfer in self.world.transfers.values() {
            let key = (transfer.tenant, transfer.terms.debit.currency);
            let ended = matches!(transfer.state, TransferState::Completed | TransferState::Cancelled | TransferState::Refunded | TransferState::Failed);
            if !ended {
                *pending.entry(key).or_default() += transfer.terms.debit.minor;
            }
            if transfer.created_at.utc_day() == today && transfer.state != TransferState::Cancelled {
                *created.entry(key).or_default() += transfer.terms.debit.minor;
            }
        }
        for (key, position) in &self.world.positions {
            assert_eq!(position.usage.pending, pending.remove(key).unwrap_or(0), "{key:?}");
            assert_eq!(position.usage.on_day(today), created.remove(key).unwrap_or(0), "{key:?}");
        }
        assert!(pending.is_empty() && created.is_empty());
    }

    /// What is under way waits for exactly one thing, and what has ended or is under review for nothing.
    fn audit_effects(&self) {
        let open = |tenant: TenantNo, subject: Uuid| {
            let status = |kind: &EffectKind| self.world.effects.get(&(tenant, kind.id_for(subject)));
            EffectKind::ALL.into_iter().filter(|k| status(k).is_some_and(|s| !matches!(s, EffectStatus::Done | EffectStatus::Cancelled))).collect::<Vec<_>>()
        };
        for transfer in self.world.transfers.values() {
            let waits_for: &[EffectKind] = match transfer.state {
                TransferState::Funded | TransferState::OnRamping => &[EffectKind::OnRamp],
                TransferState::Settling => &[EffectKind::Settle],
                TransferState::OffRamping | TransferState::Refunding => &[EffectKind::OffRamp],
                _ => &[],
            };
            assert_eq!(open(transfer.tenant, transfer.id.0), waits_for, "{:?} {}", transfer.state, transfer.id);
        }
        for withdrawal in self.world.withdrawals.values() {
            let waits = withdrawal.state == WithdrawalState::Pending;
            assert_eq!(open(withdrawal.tenant, withdrawal.id.0).len(), usize::from(waits), "{withdrawal:?}");
        }
    }

    /// A tenant's account, as the books have it.
    pub fn account(&self, tenant: TenantNo, kind: AccountKind, currency: Currency) -> i128 {
        self.books.sums().get(&(AccountId::tenant(tenant, kind), currency)).copied().unwrap_or(0)
    }
}
