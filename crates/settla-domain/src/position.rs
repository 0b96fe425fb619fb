//! A tenant's position in one currency. It changes only by postings, so it equals the ledger by construction.

use crate::account::{AccountId, AccountKind};
use crate::limit::Usage;

/// What a tenant has with us in one currency, in minor units. No part is ever negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Free to spend.
    pub available: i128,
    /// Set aside for live transfers and withdrawals.
    pub held: i128,
    /// Out of our hands, on its way.
    pub in_transit: i128,
    /// What has been used of the limits in this currency.
    pub usage: Usage,
}

/// A part of a position would become negative (or overflow).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the position does not cover the amount")]
pub struct NotCovered;

impl Position {
    /// Applies one side of a posting. A tenant's accounts are what we owe it: credits add, debits take away.
    /// Accounts of the platform leave it as it is.
    pub fn apply(&mut self, account: AccountId, debit: i128, credit: i128) -> Result<(), NotCovered> {
        let part = match account.kind() {
            Some(AccountKind::Available) => &mut self.available,
            Some(AccountKind::Held) => &mut self.held,
            Some(AccountKind::InTransit) => &mut self.in_transit,
            _ => return Ok(()),
        };
        let value = part.checked_add(credit).and_then(|v| v.checked_sub(debit)).filter(|v| *v >= 0);
        *part = value.ok_or(NotCovered)?;
        Ok(())
    }
}
