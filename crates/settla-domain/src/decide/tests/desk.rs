//! The desk: runs commands, and after each one holds the engine to everything that must always be true.

use super::books::Books;
use super::commands::{NOON, beneficiary, priced, report, uuid};
use super::explained::Memory;
use crate::beneficiary::MaskedBeneficiary;
use crate::decide::{Answer, Command, CreateTransfer, Decision, Report, decide};
use crate::effect::{EffectKind, EffectStatus};
use crate::finding::Finding;
use crate::id::{EffectId, QuoteId, TopupId, TransferId, WithdrawalId};
use crate::money::{Currency, Money};
use crate::position::Position;
use crate::quote::{Fallbacks, Quote};
use crate::refusal::Refusal;
use crate::tenant::{TenantNo, TenantTerms};
use crate::time::Timestamp;
use crate::topup::{BankCredit, Topup, reference_for};
use crate::transfer::{Settlement, Transfer, TransferState, sale_named_by};
use crate::withdrawal::{Withdrawal, WithdrawalState};
use crate::world::{Change, World};
use std::collections::HashSet;
use uuid::Uuid;

/// A world with books beside it.
#[derive(Clone)]
pub(super) struct Desk {
    pub world: World,
    pub books: Books,
    pub now: Timestamp,
    pub memory: Memory,
    /// Effects whose final finding was applied.
    pub finished: HashSet<EffectId>,
    ids: u64,
}

impl Desk {
    pub fn new(tenants: impl IntoIterator<Item = (TenantNo, TenantTerms)>) -> Self {
        let world = World { tenants: tenants.into_iter().collect(), ..World::default() };
        Self { world, now: NOON, books: Books::default(), memory: Memory::default(), finished: HashSet::new(), ids: 0 }
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
    pub fn quote_over(
        &mut self,
        tenant: TenantNo,
        amount: Money,
        destination: Currency,
        stable: Currency,
    ) -> Result<QuoteId, Refusal> {
        self.quote_with(tenant, amount, (destination, stable), Fallbacks::default())
    }

    /// With providers that take over.
    pub fn quote_with(
        &mut self,
        tenant: TenantNo,
        amount: Money,
        (destination, stable): (Currency, Currency),
        fallbacks: Fallbacks,
    ) -> Result<QuoteId, Refusal> {
        let mut terms = priced(&self.world.tenants[&tenant], amount, destination, stable, self.now)?;
        terms.fallbacks = fallbacks;
        let id = QuoteId(self.id());
        let quote =
            Quote { id, tenant, terms, created_at: self.now, expires_at: self.now.plus_ms(60_000), used: false };
        self.run_unaudited(&Command::CreateQuote(quote))?;
        Ok(id)
    }

    pub fn quote(&mut self, tenant: TenantNo, amount: Money) -> QuoteId {
        self.quote_over(tenant, amount, Currency::NGN, Currency::USDC).unwrap()
    }

    pub fn create(&mut self, tenant: TenantNo, quote: QuoteId) -> Result<Transfer, Refusal> {
        let paid = self.world.quotes.get(&(tenant, quote)).map_or(Currency::NGN, |q| q.terms.destination.currency);
        self.create_for(tenant, quote, beneficiary(paid))
    }

    /// As [`Desk::create`], for this beneficiary.
    pub fn create_for(
        &mut self,
        tenant: TenantNo,
        quote: QuoteId,
        beneficiary: MaskedBeneficiary,
    ) -> Result<Transfer, Refusal> {
        let create = CreateTransfer {
            tenant,
            id: TransferId(self.id()),
            quote,
            reference: "INV-1".into(),
            beneficiary,
            settlement: Settlement::Batched,
        };
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
        // As a worker does: whose sale it names is looked up.
        let named = sale_named_by(reference);
        let sale_of = self.world.transfers.keys().find(|(_, id)| Some(*id) == named).map(|(tenant, _)| *tenant);
        self.run(&Command::BankCredit { id, credit, sale_of }).unwrap()
    }

    /// Announced, and credited by the bank.
    pub fn top_up(&mut self, tenant: TenantNo, amount: Money) {
        let topup = self.announce(tenant, amount);
        assert_eq!(self.bank_credit(&topup.reference, &topup.reference, amount), Answer::Applied);
    }

    pub fn withdraw(&mut self, tenant: TenantNo, amount: Money, reference: &str) -> Result<Withdrawal, Refusal> {
        let id = WithdrawalId(self.id());
        let (state, at) = (WithdrawalState::Pending, self.now);
        let withdrawal = Withdrawal {
            id,
            tenant,
            amount,
            reference: reference.into(),
            account_masked: "****1".into(),
            state,
            failure: None,
            created_at: at,
            updated_at: at,
        };
        self.run(&Command::CreateWithdrawal(withdrawal.clone())).map(|_| withdrawal)
    }

    /// What the store does when a worker takes an effect.
    pub fn claim(&mut self, tenant: TenantNo, effect: EffectId) {
        *self.world.attempts.entry((tenant, effect)).or_default() += 1;
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
}
