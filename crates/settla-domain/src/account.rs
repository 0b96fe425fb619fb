//! Ledger account ids: 128 bits in one layout for every ledger backend.
//!
//! ```text
//! bits 127..96  tenant number (0 is the platform)
//! bits  95..80  kind
//! bits  79..64  reserved, zero
//! bits  63..0   sequence, zero for the only account of its kind
//! ```
//! The currency is not in the id: with the environment it is the ledger number, and a posting names one
//! ledger, so accounts of two currencies cannot meet in it.

use crate::tenant::TenantNo;
use std::fmt;
use uuid::Uuid;

/// What an account is for. The number is stored; it never changes meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum AccountKind {
    /// Tenant: free to spend.
    Available = 1,
    /// Tenant: set aside for a live transfer or withdrawal.
    Held = 2,
    /// Tenant: out of our hands on its way through a transfer.
    InTransit = 3,
    /// Platform: our account at the bank.
    Bank = 101,
    /// Platform: our wallet on chain.
    Wallet = 102,
    /// Platform: tokens that lie with the off-ramp, and the fiat it paid out for us.
    OffRamp = 103,
    /// Platform: counterpart of what the off-ramp paid out in its currency.
    Conversion = 104,
    /// Platform: fees earned.
    Fees = 105,
    /// Platform: the spread earned, our result on exchange.
    Spread = 106,
    /// Platform: what was left over by rounding.
    Rounding = 107,
    /// Platform: money whose owner or fate is being looked into.
    Suspense = 108,
    /// Platform: the result of selling tokens back for refunds; a loss is a debit.
    Exchange = 109,
}

impl AccountKind {
    /// Every kind.
    pub const ALL: [AccountKind; 12] = [
        Self::Available,
        Self::Held,
        Self::InTransit,
        Self::Bank,
        Self::Wallet,
        Self::OffRamp,
        Self::Conversion,
        Self::Fees,
        Self::Spread,
        Self::Rounding,
        Self::Suspense,
        Self::Exchange,
    ];

    /// Name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Held => "held",
            Self::InTransit => "in_transit",
            Self::Bank => "bank",
            Self::Wallet => "wallet",
            Self::OffRamp => "off_ramp",
            Self::Conversion => "conversion",
            Self::Fees => "fees",
            Self::Spread => "spread",
            Self::Rounding => "rounding",
            Self::Suspense => "suspense",
            Self::Exchange => "exchange",
        }
    }

    /// Whether the account grows by debits (an asset) rather than by credits (what we owe or earned).
    pub fn is_debit_normal(self) -> bool {
        matches!(self, Self::Bank | Self::Wallet | Self::OffRamp)
    }

    fn is_tenants(self) -> bool {
        (self as u16) < 100
    }
}

/// A ledger account, in whichever currency the posting names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(u128);

impl AccountId {
    /// A tenant's only account of a kind. The kind must be a tenant's.
    pub fn tenant(tenant: TenantNo, kind: AccountKind) -> Self {
        assert!(kind.is_tenants() && tenant != TenantNo::PLATFORM, "a tenant's account needs a tenant");
        Self::new(tenant, kind)
    }

    /// The platform's only account of a kind. The kind must be the platform's.
    pub fn platform(kind: AccountKind) -> Self {
        assert!(!kind.is_tenants(), "the platform has no such account");
        Self::new(TenantNo::PLATFORM, kind)
    }

    fn new(tenant: TenantNo, kind: AccountKind) -> Self {
        Self((u128::from(tenant.0) << 96) | (u128::from(kind as u16) << 80))
    }

    /// The owner.
    pub fn owner(self) -> TenantNo {
        TenantNo((self.0 >> 96) as u32)
    }

    /// The kind, or nothing if the id is not one of ours.
    pub fn kind(self) -> Option<AccountKind> {
        let number = ((self.0 >> 80) & 0xffff) as u16;
        AccountKind::ALL.into_iter().find(|k| *k as u16 == number)
    }

    /// As stored: the 16 bytes, big endian, in a `uuid` column.
    pub fn to_uuid(self) -> Uuid {
        Uuid::from_u128(self.0)
    }

    /// From storage.
    pub fn from_uuid(id: Uuid) -> Self {
        Self(id.as_u128())
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            Some(kind) => write!(f, "{}:{}", self.owner().0, kind.name()),
            None => fmt::Display::fmt(self, f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_say_owner_and_kind() {
        let id = AccountId::tenant(TenantNo(7), AccountKind::Held);
        assert_eq!((id.owner(), id.kind()), (TenantNo(7), Some(AccountKind::Held)));
        assert_eq!(id.to_string(), "00000007000200000000000000000000");
        assert_eq!(AccountId::from_uuid(id.to_uuid()), id);
    }

    #[test]
    #[should_panic(expected = "the platform has no such account")]
    fn a_tenants_kind_is_not_the_platforms() {
        AccountId::platform(AccountKind::Held);
    }
}
