//! Postings: one debit, one credit, one amount, one currency.
//!
//! A posting names its currency once, so it balances per currency by its shape; there is no way to write an
//! unbalanced one down, here or in the database. It maps one to one to a TigerBeetle transfer.

use crate::account::{AccountId, AccountKind};
use crate::id::{PostingId, derived};
use crate::money::Money;
use crate::tenant::TenantNo;
use uuid::Uuid;

/// Why money moved. The number is stored and part of the posting's id; it never changes meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum PostingCode {
    /// The bank credited us with a tenant's top-up.
    Topup = 1,
    /// The bank credited us with money whose owner is not known.
    UnmatchedCredit = 2,
    /// A transfer was created: its debit is held.
    Hold = 10,
    /// The hold was released, in whole or in part.
    Release = 11,
    /// The on-ramp took the order: the amount is on its way.
    OnRampStart = 12,
    /// The bank paid the on-ramp.
    OnRampPaid = 13,
    /// The on-ramp's tokens arrived in our wallet.
    OnRampDelivered = 14,
    /// Our tokens went to the off-ramp.
    Settle = 15,
    /// The off-ramp used the tokens.
    OffRampUsed = 16,
    /// The off-ramp paid the beneficiary.
    PaidOut = 17,
    /// Our spread.
    Spread = 18,
    /// Left over by rounding.
    Rounding = 19,
    /// Our fee.
    Fee = 20,
    /// The off-ramp gave the tokens back.
    Returned = 21,
    /// Stablecoin credited to the tenant in place of a payout.
    CreditStable = 22,
    /// What the off-ramp used for a payout that is under review.
    Disputed = 23,
    /// People accepted a payout that had been disputed.
    DisputeSettled = 24,
    /// The tokens of a payout that nobody made were sold back.
    SoldBack = 25,
    /// What that brought in, on our bank account.
    SaleProceeds = 26,
    /// Our loss or gain by it: the tenant has its source amount back.
    ExchangeResult = 27,
    /// A withdrawal was created: its amount is held.
    WithdrawHold = 30,
    /// The withdrawal was refused by the bank: the hold is released.
    WithdrawRelease = 31,
    /// The bank paid the withdrawal.
    WithdrawPaid = 32,
}

impl PostingCode {
    /// Every code.
    pub const ALL: [PostingCode; 23] = [
        Self::Topup,
        Self::UnmatchedCredit,
        Self::Hold,
        Self::Release,
        Self::OnRampStart,
        Self::OnRampPaid,
        Self::OnRampDelivered,
        Self::Settle,
        Self::OffRampUsed,
        Self::PaidOut,
        Self::Spread,
        Self::Rounding,
        Self::Fee,
        Self::Returned,
        Self::CreditStable,
        Self::Disputed,
        Self::DisputeSettled,
        Self::SoldBack,
        Self::SaleProceeds,
        Self::ExchangeResult,
        Self::WithdrawHold,
        Self::WithdrawRelease,
        Self::WithdrawPaid,
    ];

    /// From its stored number.
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|code| i16::from(*code as u8) == number)
    }

    /// Whether postings of this code belong to a transfer.
    pub fn is_of_transfer(self) -> bool {
        (10..30).contains(&(self as u8))
    }

    /// Name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Topup => "topup",
            Self::UnmatchedCredit => "unmatched_credit",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::OnRampStart => "on_ramp_start",
            Self::OnRampPaid => "on_ramp_paid",
            Self::OnRampDelivered => "on_ramp_delivered",
            Self::Settle => "settle",
            Self::OffRampUsed => "off_ramp_used",
            Self::PaidOut => "paid_out",
            Self::Spread => "spread",
            Self::Rounding => "rounding",
            Self::Fee => "fee",
            Self::Returned => "returned",
            Self::CreditStable => "credit_stable",
            Self::Disputed => "disputed",
            Self::DisputeSettled => "dispute_settled",
            Self::SoldBack => "sold_back",
            Self::SaleProceeds => "sale_proceeds",
            Self::ExchangeResult => "exchange_result",
            Self::WithdrawHold => "withdraw_hold",
            Self::WithdrawRelease => "withdraw_release",
            Self::WithdrawPaid => "withdraw_paid",
        }
    }
}

/// One movement of money between two accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    /// Deterministic: the subject's id with the code, so a redelivery posts nothing new.
    pub id: PostingId,
    /// The tenant it concerns, or the platform.
    pub tenant: TenantNo,
    /// The transfer, top-up or withdrawal it belongs to.
    pub subject: Uuid,
    /// Why.
    pub code: PostingCode,
    /// The account debited.
    pub debit: AccountId,
    /// The account credited.
    pub credit: AccountId,
    /// How much; positive.
    pub amount: Money,
}

/// The posting breaks a rule of the ledger. Never a caller's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PostingError {
    /// Zero or negative.
    #[error("a posting moves a positive amount")]
    NotPositive,
    /// Debit and credit are the same account.
    #[error("a posting moves between two accounts")]
    SameAccount,
    /// Accounts of two tenants, or of a tenant that the posting does not name.
    #[error("a posting touches one tenant at most")]
    CrossTenant,
}

impl Posting {
    /// Checks the rules that hold for every posting, by looking at ids and amount alone.
    pub fn check(&self) -> Result<(), PostingError> {
        if self.amount.minor <= 0 {
            return Err(PostingError::NotPositive);
        }
        if self.debit == self.credit {
            return Err(PostingError::SameAccount);
        }
        for account in [self.debit, self.credit] {
            if account.owner() != TenantNo::PLATFORM && account.owner() != self.tenant {
                return Err(PostingError::CrossTenant);
            }
        }
        Ok(())
    }
}

/// Collects the postings of one decision about one subject. A zero amount moves nothing and is left out.
pub struct Journal {
    tenant: TenantNo,
    subject: Uuid,
    postings: Vec<Posting>,
}

impl Journal {
    /// An empty journal of a subject.
    pub fn new(tenant: TenantNo, subject: Uuid) -> Self {
        Self { tenant, subject, postings: Vec::new() }
    }

    /// Debits one account and credits the other. A code is used at most once per subject and currency leg,
    /// so the id is unique; `PostingCode::Release` alone may come in two currencies, which the tag tells apart.
    pub fn post(&mut self, code: PostingCode, debit: AccountId, credit: AccountId, amount: Money) {
        self.post_on_leg(0, code, debit, credit, amount);
    }

    /// As [`Self::post`], for a code that a subject has once on each of its legs.
    pub fn post_on_leg(&mut self, leg: u8, code: PostingCode, debit: AccountId, credit: AccountId, amount: Money) {
        if amount.minor == 0 {
            return;
        }
        let before = self.postings.iter().filter(|p| p.code == code).count() as u16;
        debug_assert!(before < 16 && leg < 16);
        let id = PostingId(derived(self.subject, (u16::from(code as u8) << 8) | u16::from(leg) << 4 | before));
        self.postings.push(Posting { id, tenant: self.tenant, subject: self.subject, code, debit, credit, amount });
    }

    /// Moves within the tenant's own position.
    pub fn within(&mut self, code: PostingCode, from: AccountKind, to: AccountKind, amount: Money) {
        self.post(code, AccountId::tenant(self.tenant, from), AccountId::tenant(self.tenant, to), amount);
    }

    /// The postings so far.
    pub fn into_postings(self) -> Vec<Posting> {
        self.postings
    }
}

/// The leg that a posting's id names, see [`Journal::post_on_leg`].
pub fn posting_leg(id: Uuid) -> u8 {
    id.as_bytes()[15] >> 4
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Currency;

    fn posting(debit: AccountId, credit: AccountId, minor: i128) -> Posting {
        let subject = Uuid::from_u128(1);
        Posting {
            id: PostingId(subject),
            tenant: TenantNo(7),
            subject,
            code: PostingCode::Hold,
            debit,
            credit,
            amount: Money::new(Currency::GBP, minor),
        }
    }

    #[test]
    fn rules_are_checked_by_ids_alone() {
        let own = AccountId::tenant(TenantNo(7), AccountKind::Held);
        let other = AccountId::tenant(TenantNo(8), AccountKind::Held);
        let bank = AccountId::platform(AccountKind::Bank);
        assert_eq!(posting(bank, own, 1).check(), Ok(()));
        assert_eq!(posting(bank, own, 0).check(), Err(PostingError::NotPositive));
        assert_eq!(posting(own, own, 1).check(), Err(PostingError::SameAccount));
        assert_eq!(posting(own, other, 1).check(), Err(PostingError::CrossTenant));
        assert_eq!(posting(bank, other, 1).check(), Err(PostingError::CrossTenant));
    }
}
