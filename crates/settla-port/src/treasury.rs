//! Positions, top-ups and withdrawals.

use crate::quote::AmountView;
use serde::{Deserialize, Serialize};
use settla_domain::id::{TopupId, WithdrawalId};
use settla_vault::{Pii, PiiAccount, PiiName};
use utoipa::ToSchema;

/// A position, decimal amounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PositionView {
    /// The currency.
    #[schema(example = "GBP")]
    pub currency: String,
    /// Free to spend.
    #[schema(example = "100000.00")]
    pub available: String,
    /// Set aside for transfers and withdrawals.
    #[schema(example = "1259.38")]
    pub held: String,
    /// On its way through transfers.
    #[schema(example = "0.00")]
    pub in_transit: String,
}

/// `POST /v1/treasury/topups`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTopup {
    /// A fiat currency.
    #[schema(example = "GBP")]
    pub currency: String,
    /// What will be sent.
    #[schema(example = "100000.00")]
    pub amount: String,
}

/// A top-up. The position grows when, and by what, the bank credits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TopupView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: TopupId,
    /// What was announced.
    pub expected: AmountView,
    /// What the bank credited so far.
    pub credited: AmountView,
    /// To be put into the bank payment.
    #[schema(example = "STU7Q2M0W3KX9A1BZC")]
    pub reference: String,
    /// The account to pay to.
    #[schema(example = "settla-client-money")]
    pub pay_to: String,
    /// RFC 3339.
    pub created_at: String,
}

/// `POST /v1/treasury/withdrawals`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateWithdrawal {
    /// A fiat currency.
    #[schema(example = "GBP")]
    pub currency: String,
    /// How much.
    #[schema(example = "500.00")]
    pub amount: String,
    /// Your reference, 1 to 64 printable ASCII characters, unique for ever.
    #[schema(example = "WD-2026-0007")]
    pub reference: String,
    /// The account to pay.
    pub account: PayoutAccount,
}

/// An account of the tenant's own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum PayoutAccount {
    /// United Kingdom.
    UkAccount {
        /// Holder.
        #[schema(value_type = String, example = "Lemfi Ltd")]
        name: PiiName,
        /// Six digits, dashes allowed.
        #[schema(value_type = String, example = "20-00-00")]
        sort_code: Pii<String>,
        /// Eight digits.
        #[schema(value_type = String, example = "55779911")]
        account_number: PiiAccount,
    },
    /// IBAN countries.
    Iban {
        /// Holder.
        #[schema(value_type = String, example = "Lemfi Ltd")]
        name: PiiName,
        /// ISO 13616.
        #[schema(value_type = String, example = "DE89370400440532013000")]
        iban: PiiAccount,
    },
}

/// A withdrawal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WithdrawalView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: WithdrawalId,
    /// How much.
    pub amount: AmountView,
    /// The tenant's reference.
    pub reference: String,
    /// The account, masked.
    #[schema(example = "****9911")]
    pub account: String,
    /// `PENDING`, `PAID`, `REFUSED` or `UNDER_REVIEW`.
    #[schema(example = "PENDING")]
    pub state: String,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub updated_at: String,
}
