//! A tenant as the engine needs it: a number, a status, prices and limits.

use crate::fee::FeeSchedule;
use crate::limit::Limits;
use crate::money::Currency;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A tenant's 32-bit number: the key of every table and the owner's part of an account id. Zero is the
/// platform itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TenantNo(pub u32);

impl TenantNo {
    /// The platform, owner of the accounts that belong to no tenant.
    pub const PLATFORM: TenantNo = TenantNo(0);
}

/// Whether a tenant may start new money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TenantStatus {
    /// Being set up: no money yet.
    Onboarding,
    /// May do everything.
    Active,
    /// No new money; what is in flight completes.
    Suspended,
    /// Ended.
    Closed,
}

impl TenantStatus {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::Onboarding, Self::Active, Self::Suspended, Self::Closed];

    /// As stored and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Onboarding => "onboarding",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Closed => "closed",
        }
    }

    /// From its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// What a tenant has agreed with us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantTerms {
    /// Whether new transfers are taken.
    pub status: TenantStatus,
    /// The platform's spread on the stablecoin leg, in basis points.
    pub spread_bps: u16,
    /// Fees by source currency. A currency without a schedule is not offered.
    pub fees: BTreeMap<Currency, FeeSchedule>,
    /// Limits by source currency. A currency without limits is not offered.
    pub limits: BTreeMap<Currency, Limits>,
}
