//! How many requests a tenant may make in a minute.

use serde::Serialize;
use utoipa::ToSchema;

/// A kind of request that is counted by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RateClass {
    /// Making quotes.
    Quotes,
    /// Starting and cancelling transfers.
    Transfers,
    /// Reading positions, top-ups, withdrawals and the ledger.
    TreasuryReads,
    /// Everything else.
    Other,
}

impl RateClass {
    /// Every class.
    pub const ALL: [RateClass; 4] = [Self::Quotes, Self::Transfers, Self::TreasuryReads, Self::Other];

    /// Name in headers and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quotes => "quotes",
            Self::Transfers => "transfers",
            Self::TreasuryReads => "treasury_reads",
            Self::Other => "other",
        }
    }
}

/// Requests a minute by class, each at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimits {
    /// See [`RateClass::Quotes`].
    pub quotes: u32,
    /// See [`RateClass::Transfers`].
    pub transfers: u32,
    /// See [`RateClass::TreasuryReads`].
    pub treasury_reads: u32,
    /// See [`RateClass::Other`].
    pub other: u32,
}

impl Default for RateLimits {
    /// What a tenant may do that nothing else was agreed with.
    fn default() -> Self {
        Self { quotes: 1_000, transfers: 500, treasury_reads: 2_000, other: 1_000 }
    }
}

impl RateLimits {
    /// The limit of a class.
    pub fn of(&self, class: RateClass) -> u32 {
        match class {
            RateClass::Quotes => self.quotes,
            RateClass::Transfers => self.transfers,
            RateClass::TreasuryReads => self.treasury_reads,
            RateClass::Other => self.other,
        }
    }
}
