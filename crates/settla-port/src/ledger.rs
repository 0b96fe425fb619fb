//! The tenant's side of the ledger.

use crate::quote::AmountView;
use serde::Serialize;
use settla_domain::id::PostingId;
use utoipa::ToSchema;

/// One of the tenant's accounts: a kind in a currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LedgerAccount {
    /// `GBP-` and the 128-bit account id in hex.
    #[schema(example = "GBP-00000007000100000000000000000000")]
    pub id: String,
    /// `available`, `held` or `in_transit`.
    #[schema(example = "available")]
    pub kind: String,
    /// The currency.
    #[schema(example = "GBP")]
    pub currency: String,
    /// Credits less debits, decimal: what the platform owes the tenant.
    #[schema(example = "100000.00")]
    pub balance: String,
    /// The past instant that was asked for, RFC 3339; nothing where the balance is that of now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "2026-11-21T12:00:00Z")]
    pub at: Option<String>,
}

/// Which postings to list. Empty lists all of the tenant's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PostingFilter {
    /// Only those of this transfer, top-up credit or withdrawal (any `tr_…`/`wd_…` id's UUID).
    pub subject: Option<uuid::Uuid>,
    /// Only those that touch this account (an id of [`LedgerAccount`]).
    pub account: Option<String>,
}

/// A posting: one debit, one credit, one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PostingView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: PostingId,
    /// The transfer it belongs to (`tr_…`), if it belongs to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer_id: Option<String>,
    /// Why, such as `on_ramp_paid`.
    #[schema(example = "hold")]
    pub code: String,
    /// The account debited: `available`, `held`, `in_transit`, or a platform account such as `platform:bank`.
    #[schema(example = "available")]
    pub debit: String,
    /// The account credited.
    #[schema(example = "held")]
    pub credit: String,
    /// How much.
    pub amount: AmountView,
    /// RFC 3339.
    pub at: String,
}
