//! Events: what happened to a subject, in the order of a per-tenant sequence. They are the timeline of a
//! transfer and the body of webhooks, and hold no personal data.

use crate::money::Money;
use crate::tenant::TenantNo;
use crate::time::Timestamp;
use crate::transfer::{Transfer, TransferState};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Every event type that exists, as a webhook subscription may name it.
pub const EVENT_TYPES: [&str; 13] = [
    "transfer.funded",
    "transfer.on_ramping",
    "transfer.settling",
    "transfer.off_ramping",
    "transfer.completed",
    "transfer.cancelled",
    "transfer.refunding",
    "transfer.refunded",
    "transfer.under_review",
    "transfer.failed",
    "topup.credited",
    "withdrawal.paid",
    "withdrawal.refused",
];

/// The type of an event that tells of nothing but that deliveries come through: no subscription names it.
pub const TEST_EVENT_TYPE: &str = "webhook.test";

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Whose.
    pub tenant: TenantNo,
    /// The transfer, top-up or withdrawal.
    pub subject: Uuid,
    /// One of [`EVENT_TYPES`].
    pub kind: &'static str,
    /// When.
    pub at: Timestamp,
    /// What the webhook says.
    pub data: EventData,
}

/// The content of an event: thin, no personal data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EventData {
    /// About a transfer.
    Transfer {
        /// Its id.
        transfer_id: crate::id::TransferId,
        /// Its state after the event.
        state: TransferState,
        /// Its version after the event.
        version: u32,
        /// The tenant's own reference.
        reference: String,
        /// What is exchanged.
        source: Money,
        /// What the beneficiary gets.
        destination: Money,
        /// The settlement transaction, once there is one.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        settlement_tx: Option<String>,
        /// Why it did not complete.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        failure: Option<String>,
    },
    /// About a top-up.
    Topup {
        /// Its id.
        topup_id: crate::id::TopupId,
        /// What the bank credited.
        amount: Money,
    },
    /// About a withdrawal.
    Withdrawal {
        /// Its id.
        withdrawal_id: crate::id::WithdrawalId,
        /// How much.
        amount: Money,
        /// Why it was refused.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        failure: Option<String>,
    },
}

impl Event {
    /// The event of a transfer having come into its present state.
    pub fn of_transfer(transfer: &Transfer) -> Self {
        let kind = match transfer.state {
            TransferState::Created | TransferState::Funded => "transfer.funded",
            TransferState::OnRamping => "transfer.on_ramping",
            TransferState::Settling => "transfer.settling",
            TransferState::OffRamping => "transfer.off_ramping",
            TransferState::Completed => "transfer.completed",
            TransferState::Cancelled => "transfer.cancelled",
            TransferState::Refunding => "transfer.refunding",
            TransferState::Refunded => "transfer.refunded",
            TransferState::UnderReview => "transfer.under_review",
            TransferState::Failed => "transfer.failed",
        };
        let data = EventData::Transfer {
            transfer_id: transfer.id,
            state: transfer.state,
            version: transfer.version,
            reference: transfer.reference.clone(),
            source: transfer.terms.source,
            destination: transfer.terms.destination,
            settlement_tx: transfer.progress.settlement_tx.clone(),
            failure: transfer.progress.failure.clone(),
        };
        Self { tenant: transfer.tenant, subject: transfer.id.0, kind, at: transfer.updated_at, data }
    }
}
