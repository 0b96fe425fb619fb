//! Signing: a port, and the implementation with its key encrypted at rest.
//!
//! A signer owns its key **and its nonces**. It keeps a journal of its own, so that the same intent gives the same
//! bytes for ever and no two intents share a nonce, whatever becomes of the caller's database.

mod error;
mod journal;
mod key_file;
mod local;
mod policy;
mod record;
mod worker;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use error::SignerError;
pub use local::LocalSigner;

use crate::{Address, Fees, Manifest, TxHash};

/// A wish to pay one batch of members with one token transfer of the manifest's total.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The batch id; the same id is the same payment, for ever. Equal to `manifest.batch_id`.
    pub id: Uuid,
    /// The chain it is meant for.
    pub chain_id: u64,
    /// The token's contract.
    pub token: Address,
    /// Who receives the tokens.
    pub destination: Address,
    /// Who is paid what; the transaction carries its total and its hash.
    pub manifest: Manifest,
    /// One opaque line a member, on disk before there is a signature.
    pub audit: Vec<String>,
    /// What the transaction may cost.
    pub fees: Fees,
    /// Its gas limit.
    pub gas_limit: u64,
}

/// A signed transaction, to be stored before it is broadcast.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedTx {
    /// The intent that it carries out.
    pub intent_id: Uuid,
    /// Its nonce.
    pub nonce: u64,
    /// Its hash.
    pub tx_hash: TxHash,
    /// The bytes to broadcast, and to broadcast again.
    #[serde(with = "hex::serde")]
    pub raw: Vec<u8>,
    /// Who pays.
    pub from: Address,
    /// What it may cost. Zero in a journal of an earlier version, where the intent tells.
    #[serde(default)]
    pub fees: Fees,
}

/// Owner of one key and its nonces.
#[async_trait]
pub trait Signer: Send + Sync {
    /// The address that pays.
    async fn address(&self) -> Address;

    /// Signs an intent once. Asked again with the same id, it returns the first bytes: `fees`, `gas_limit` and `audit`
    /// of a repeated call are ignored, and a change of anything that moves money is refused.
    async fn sign(&self, intent: &Intent) -> Result<SignedTx, SignerError>;

    /// Signs an intent again, at its own nonce and otherwise unchanged, for higher fees: whichever of its transactions
    /// gets into a block, the others never can. Both fees have to be a tenth above the last ones, since nodes take no
    /// replacement for less. Asked again with the last fees, it returns the last bytes. `audit` as in [`Intent`].
    async fn bump(&self, intent_id: Uuid, fees: Fees, audit: &[String]) -> Result<SignedTx, SignerError>;

    /// What was signed under an intent's id, oldest first; nothing for an unknown one.
    async fn find(&self, intent_id: Uuid) -> Result<Vec<SignedTx>, SignerError>;
}
