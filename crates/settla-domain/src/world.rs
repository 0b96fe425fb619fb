//! The state that one batch touches, in memory: loaded under locks, changed by decisions, written back.

use crate::effect::{EffectOrder, EffectStatus};
use crate::event::Event;
use crate::id::{EffectId, QuoteId, TransferId, WithdrawalId};
use crate::limit::Usage;
use crate::money::Currency;
use crate::position::Position;
use crate::posting::{Posting, PostingError};
use crate::quote::Quote;
use crate::tenant::{TenantNo, TenantTerms};
use crate::topup::Topup;
use crate::transfer::Transfer;
use crate::withdrawal::Withdrawal;
use std::collections::{HashMap, HashSet};

/// What a batch has loaded. Everything is keyed by tenant as well as by id, so that nothing of one tenant
/// can be found by a command of another.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// Prices, limits and status.
    pub tenants: HashMap<TenantNo, TenantTerms>,
    /// Positions; an absent one is empty.
    pub positions: HashMap<(TenantNo, Currency), Position>,
    /// Quotes.
    pub quotes: HashMap<(TenantNo, QuoteId), Quote>,
    /// Transfers.
    pub transfers: HashMap<(TenantNo, TransferId), Transfer>,
    /// Withdrawals.
    pub withdrawals: HashMap<(TenantNo, WithdrawalId), Withdrawal>,
    /// References of the tenants' withdrawals that exist already.
    pub withdrawal_references: HashSet<(TenantNo, String)>,
    /// Top-ups by the reference that the payer gives.
    pub topups: HashMap<String, Topup>,
    /// Effects by tenant and id.
    pub effects: HashMap<(TenantNo, EffectId), EffectStatus>,
    /// How often effects have been attempted.
    pub attempts: HashMap<(TenantNo, EffectId), i32>,
    /// Bank entries that have been applied.
    pub bank_entries: HashSet<String>,
}

/// One change that a decision makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A new quote.
    QuoteCreated(Quote),
    /// A quote was used up.
    QuoteUsed(TenantNo, QuoteId),
    /// A new transfer.
    TransferCreated(Transfer),
    /// A transfer as it is now.
    TransferChanged(Transfer),
    /// A new top-up.
    TopupCreated(Topup),
    /// A top-up as it is now.
    TopupChanged(Topup),
    /// A new withdrawal.
    WithdrawalCreated(Withdrawal),
    /// A withdrawal as it is now.
    WithdrawalChanged(Withdrawal),
    /// A bank entry was applied.
    BankEntryApplied(String),
    /// Money moved; positions follow.
    Posted(Posting),
    /// Use of limits.
    UsageChanged(TenantNo, Currency, Usage),
    /// Something to do outside.
    EffectOrdered(EffectOrder),
    /// An effect stands differently.
    EffectMoved(TenantNo, EffectId, EffectStatus),
    /// Something happened that the tenant may hear of.
    Happened(Event),
}

/// A change that breaks an invariant. It is a defect of the engine, never a caller's fault: the batch is
/// dropped and the command reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A part of a position would be negative.
    #[error("a position would become negative")]
    Position,
    /// A posting breaks a rule.
    #[error("bad posting: {0}")]
    Posting(#[from] PostingError),
}

impl World {
    /// The position of a tenant in a currency.
    pub fn position(&self, tenant: TenantNo, currency: Currency) -> Position {
        self.positions.get(&(tenant, currency)).copied().unwrap_or_default()
    }

    /// Applies changes in order. On an error the world is partly changed and must be dropped.
    pub fn apply(&mut self, changes: &[Change]) -> Result<(), Broken> {
        changes.iter().try_for_each(|change| self.apply_one(change))
    }

    fn apply_one(&mut self, change: &Change) -> Result<(), Broken> {
        match change {
            Change::QuoteCreated(quote) => {
                self.quotes.insert((quote.tenant, quote.id), quote.clone());
            }
            Change::QuoteUsed(tenant, id) => {
                if let Some(quote) = self.quotes.get_mut(&(*tenant, *id)) {
                    quote.used = true;
                }
            }
            Change::TransferCreated(transfer) | Change::TransferChanged(transfer) => {
                self.transfers.insert((transfer.tenant, transfer.id), transfer.clone());
            }
            Change::TopupCreated(topup) | Change::TopupChanged(topup) => {
                self.topups.insert(topup.reference.clone(), topup.clone());
            }
            Change::WithdrawalCreated(withdrawal) | Change::WithdrawalChanged(withdrawal) => {
                self.withdrawal_references.insert((withdrawal.tenant, withdrawal.reference.clone()));
                self.withdrawals.insert((withdrawal.tenant, withdrawal.id), withdrawal.clone());
            }
            Change::BankEntryApplied(id) => {
                self.bank_entries.insert(id.clone());
            }
            Change::Posted(posting) => self.apply_posting(posting)?,
            Change::UsageChanged(tenant, currency, usage) => {
                self.positions.entry((*tenant, *currency)).or_default().usage = *usage;
            }
            Change::EffectOrdered(order) => {
                self.effects.insert((order.tenant, order.id), EffectStatus::Untouched);
            }
            Change::EffectMoved(tenant, id, status) => {
                self.effects.insert((*tenant, *id), *status);
            }
            Change::Happened(_) => {}
        }
        Ok(())
    }

    fn apply_posting(&mut self, posting: &Posting) -> Result<(), Broken> {
        posting.check()?;
        if posting.tenant == TenantNo::PLATFORM {
            return Ok(());
        }
        let position = self.positions.entry((posting.tenant, posting.amount.currency)).or_default();
        for (account, debit, credit) in
            [(posting.debit, posting.amount.minor, 0), (posting.credit, 0, posting.amount.minor)]
        {
            position.apply(account, debit, credit).map_err(|_| Broken::Position)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
