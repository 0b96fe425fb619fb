//! Settlement batches: one transaction on chain for the tokens of many transfers.

use crate::quote::AmountView;
use serde::Serialize;
use settla_domain::id::{BatchId, TransferId};
use utoipa::ToSchema;

/// A batch, as far as it is the tenant's. Other tenants' transfers may be in the same transaction; they are not shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SettlementBatchView {
    /// Its id.
    #[schema(value_type = String, example = "sb_01939d2a7f0e7c4e9a53a1c2b3d4e5f6")]
    pub id: BatchId,
    /// `closed` (its members are fixed), `signed` (on its way), `confirmed` (in a block at depth), `done` (every transfer
    /// has moved on), or `failed` (no tokens have moved; its transfers join another batch).
    #[schema(example = "done")]
    pub status: String,
    /// Why it was closed: `window` (its first transfer had waited long enough), `amount`, `members` (it was full), or
    /// `alone` (for one transfer that does not wait for others).
    #[schema(example = "window")]
    pub closed_by: String,
    /// The chain, CAIP-2.
    #[schema(example = "eip155:43113")]
    pub chain: String,
    /// The off-ramp that receives the tokens.
    #[schema(example = "meridian")]
    pub off_ramp: String,
    /// The token's contract.
    #[schema(example = "0x5425890298aed601595a70AB815c96711a31Bc65")]
    pub token: String,
    /// Where the tokens go.
    #[schema(example = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8")]
    pub destination: String,
    /// The transaction that counts; until one is in a block at depth, the one that was signed last.
    pub settlement_tx: Option<String>,
    /// All that were signed, oldest first: one for each raise of the fees, all with the same nonce, so at most one of
    /// them is ever in a block.
    pub transactions: Vec<String>,
    /// SHA-256 of the manifest, which the transaction carries.
    pub manifest_hash: String,
    /// What your transfers move in it.
    pub amount: AmountView,
    /// How many of your transfers are in it.
    #[schema(example = 12)]
    pub member_count: u32,
    /// Your transfers in it; only where one batch is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<Vec<SettlementMemberView>>,
    /// Why it failed: `reverted` or `nonce_taken`.
    pub failure: Option<String>,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub updated_at: String,
}

/// A transfer in a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SettlementMemberView {
    /// The transfer.
    #[schema(value_type = String, example = "tr_01939d2a7f0e7c4e9a53a1c2b3d4e5f6")]
    pub transfer_id: TransferId,
    /// What it moves.
    pub amount: AmountView,
}
