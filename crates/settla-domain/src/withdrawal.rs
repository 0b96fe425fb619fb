//! Withdrawals: a tenant takes fiat out of its position, to its own bank account.

use crate::id::WithdrawalId;
use crate::money::Money;
use crate::tenant::TenantNo;
use crate::time::Timestamp;

/// Where a withdrawal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum WithdrawalState {
    /// Held, given to the bank or about to be.
    Pending,
    /// The bank paid it.
    Paid,
    /// The bank refused it; the hold is released.
    Refused,
    /// People have to decide.
    UnderReview,
}

impl WithdrawalState {
    /// Name as stored and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Paid => "PAID",
            Self::Refused => "REFUSED",
            Self::UnderReview => "UNDER_REVIEW",
        }
    }

    /// From its name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Pending, Self::Paid, Self::Refused, Self::UnderReview].into_iter().find(|s| s.name() == name)
    }
}

/// A withdrawal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawal {
    /// Its id.
    pub id: WithdrawalId,
    /// Whose.
    pub tenant: TenantNo,
    /// How much.
    pub amount: Money,
    /// The tenant's reference: unique for ever within the tenant.
    pub reference: String,
    /// The account it goes to, masked.
    pub account_masked: String,
    /// Where it stands.
    pub state: WithdrawalState,
    /// Why it was refused.
    pub failure: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// The reference at the bank: derived from the id, so it is unique for ever and the same at every attempt.
pub fn bank_reference(id: WithdrawalId) -> String {
    format!("WD{}", id.0.simple())
}
