//! A transfer and its states.

use crate::beneficiary::MaskedBeneficiary;
use crate::id::{BatchId, QuoteId, TransferId};
use crate::money::Money;
use crate::quote::{QuoteTerms, SourcedRate};
use crate::tenant::TenantNo;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Where a transfer stands.
///
/// ```text
/// CREATED -> FUNDED -> ON_RAMPING -> SETTLING -> OFF_RAMPING -> COMPLETED
///    |          |           |            |            |
///  CANCELLED  CANCELLED     +------------+------------+--> UNDER_REVIEW
///                           \--------- REFUNDING -> REFUNDED        FAILED
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TransferState {
    /// Known, nothing set aside yet. Passed through within the create's own batch.
    Created,
    /// The debit is held.
    Funded,
    /// The on-ramp has taken the order.
    OnRamping,
    /// The tokens are ours and on their way to the off-ramp.
    Settling,
    /// The off-ramp has the tokens and is to pay out.
    OffRamping,
    /// Paid out and posted.
    Completed,
    /// Ended by the tenant before anything left our hands.
    Cancelled,
    /// Money is on its way back.
    Refunding,
    /// The tenant has its money back: fiat if it never left, else the stablecoin it became.
    Refunded,
    /// People have to decide.
    UnderReview,
    /// Ended; nothing left our hands.
    Failed,
}

impl TransferState {
    /// Every state.
    pub const ALL: [TransferState; 11] = [
        Self::Created,
        Self::Funded,
        Self::OnRamping,
        Self::Settling,
        Self::OffRamping,
        Self::Completed,
        Self::Cancelled,
        Self::Refunding,
        Self::Refunded,
        Self::UnderReview,
        Self::Failed,
    ];

    /// Whether nothing will change any more without a person.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Refunded | Self::Failed)
    }

    /// Name as stored and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "CREATED",
            Self::Funded => "FUNDED",
            Self::OnRamping => "ON_RAMPING",
            Self::Settling => "SETTLING",
            Self::OffRamping => "OFF_RAMPING",
            Self::Completed => "COMPLETED",
            Self::Cancelled => "CANCELLED",
            Self::Refunding => "REFUNDING",
            Self::Refunded => "REFUNDED",
            Self::UnderReview => "UNDER_REVIEW",
            Self::Failed => "FAILED",
        }
    }

    /// From its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }
}

/// How a transfer's tokens go to the off-ramp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settlement {
    /// With others, in one transaction: cheaper, and later by the time that a batch is open.
    #[default]
    Batched,
    /// In a transaction of its own, at once.
    Alone,
}

impl Settlement {
    /// Name as stored and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Batched => "batched",
            Self::Alone => "alone",
        }
    }

    /// From its name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Batched, Self::Alone].into_iter().find(|s| s.name() == name)
    }
}

/// What became known on the way. Filled in step by step, never changed back.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// What the on-ramp delivered.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub delivered: Option<Money>,
    /// The transaction that brought it, `0x…`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub delivery_tx: Option<String>,
    /// The batch that it settled in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub settlement_batch: Option<BatchId>,
    /// That batch's transaction, `0x…`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub settlement_tx: Option<String>,
    /// What the off-ramp says it paid.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub paid: Option<Money>,
    /// The off-ramp's reference of the payment.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub payout_reference: Option<String>,
    /// The transaction that brought the tokens back, `0x…`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub return_tx: Option<String>,
    /// Where it stood when it came under review last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reviewed_from: Option<TransferState>,
    /// Why it did not complete: a stable code.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure: Option<String>,
    /// On-ramps that have refused the order; the next one has it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub refused_orders: Vec<RefusedOrder>,
    /// Off-ramps that have given the tokens back; what is said above is of what came after.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub returned_payouts: Vec<ReturnedPayout>,
    /// The sale of the tokens for a refund, once it was decided.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sale: Option<Sale>,
}

impl Progress {
    /// How many on-ramps have refused: the leg of the order.
    pub fn order_leg(&self) -> u8 {
        u8::try_from(self.refused_orders.len()).unwrap_or(u8::MAX)
    }

    /// How many off-ramps have given the tokens back: the leg of settlement and payout.
    pub fn payout_leg(&self) -> u8 {
        u8::try_from(self.returned_payouts.len()).unwrap_or(u8::MAX)
    }
}

/// An order that an on-ramp has refused, having taken nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedOrder {
    /// The provider.
    pub provider: String,
    /// Its reason, a stable code.
    pub reason: String,
}

/// A payout that an off-ramp has not made, having given all tokens back or never had them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnedPayout {
    /// The provider.
    pub provider: String,
    /// Its reason, a stable code.
    pub reason: String,
    /// The batch that had brought the tokens.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub settlement_batch: Option<BatchId>,
    /// Its transaction; nothing if they never went there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub settlement_tx: Option<String>,
    /// The one that brought them back.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub return_tx: Option<String>,
}

/// Tokens sold back for a refund in the source currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sale {
    /// The off-ramp that buys.
    pub provider: String,
    /// At which rate.
    pub rate: SourcedRate,
    /// What it is to pay into our bank account.
    pub proceeds: Money,
    /// The batch that brought it the tokens.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub settlement_batch: Option<BatchId>,
    /// Its transaction.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub settlement_tx: Option<String>,
    /// The credit of our bank by which it was paid.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub credit: Option<uuid::Uuid>,
}

impl Sale {
    /// Whether our bank has credited what it was to bring in.
    pub fn is_paid(&self) -> bool {
        self.credit.is_some()
    }
}

/// What a sale's payment says: 34 letters and digits, which fit a SEPA or SWIFT payment. A scheme that carries fewer (UK
/// Faster Payments: 18) needs the buyer to be known otherwise.
pub fn sale_reference(transfer: TransferId) -> String {
    format!("SB{}", transfer.0.simple())
}

/// The transfer whose sale a payment says it is for. Anybody can write that.
pub fn sale_named_by(reference: &str) -> Option<TransferId> {
    // Banks change case.
    let (prefix, hex) = reference.split_at_checked(2).filter(|(_, hex)| hex.len() == 32)?;
    if !prefix.eq_ignore_ascii_case("SB") {
        return None;
    }
    uuid::Uuid::try_parse(hex).ok().map(TransferId)
}

/// A transfer. Holds no personal data: the beneficiary is here only masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// Its id.
    pub id: TransferId,
    /// Whose it is.
    pub tenant: TenantNo,
    /// The quote it used.
    pub quote: QuoteId,
    /// The quote's terms.
    pub terms: QuoteTerms,
    /// The tenant's own reference.
    pub reference: String,
    /// To whom, masked.
    pub beneficiary: MaskedBeneficiary,
    /// How its tokens go to the off-ramp.
    pub settlement: Settlement,
    /// Where it stands.
    pub state: TransferState,
    /// One more at each change of its state.
    pub version: u32,
    /// What became known on the way.
    pub progress: Progress,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}
