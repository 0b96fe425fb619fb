//! The records of the signer's journal, and how one becomes a transaction.

use alloy::consensus::{SignableTransaction, TxEip1559};
use alloy::eips::eip2718::Encodable2718;
use alloy::primitives::{TxKind, U256};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Intent, SignedTx, SignerError, policy};
use crate::{Address, Fees, Manifest, transfer_calldata};

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Record {
    /// The first line: whose journal it is.
    Opened { address: Address, chain_id: u64 },
    /// A nonce is taken and the audit lines are kept; on disk before the signature is made.
    Intent(Box<IntentRecord>),
    /// The fees of an intent are raised, and the audit lines of its next signature.
    Bump(Box<BumpRecord>),
    /// The signature; on disk before the caller has it.
    Signed(SignedTx),
}

/// Higher fees for an intent that was signed before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BumpRecord {
    pub intent_id: Uuid,
    pub fees: Fees,
    pub audit: Vec<String>,
}

/// An intent with its nonce. What is signed follows from it alone: signatures are deterministic (RFC 6979).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IntentRecord {
    pub nonce: u64,
    pub chain_id: u64,
    pub token: Address,
    pub destination: Address,
    pub manifest: Manifest,
    pub audit: Vec<String>,
    pub fees: Fees,
    pub gas_limit: u64,
}

impl IntentRecord {
    pub fn new(intent: Intent, nonce: u64) -> Self {
        Self {
            nonce,
            chain_id: intent.chain_id,
            token: intent.token,
            destination: intent.destination,
            manifest: intent.manifest,
            audit: intent.audit,
            fees: intent.fees,
            gas_limit: intent.gas_limit,
        }
    }

    pub fn id(&self) -> Uuid {
        self.manifest.batch_id
    }

    /// The intent it came from.
    pub fn to_intent(&self) -> Intent {
        Intent {
            id: self.id(),
            chain_id: self.chain_id,
            token: self.token,
            destination: self.destination,
            manifest: self.manifest.clone(),
            audit: self.audit.clone(),
            fees: self.fees,
            gas_limit: self.gas_limit,
        }
    }

    pub fn fingerprint(&self) -> [u8; 32] {
        policy::fingerprint(&self.to_intent())
    }

    /// Signs one EIP-1559 transaction: a token transfer of the manifest's total that names the manifest.
    pub fn sign(&self, key: &PrivateKeySigner) -> Result<SignedTx, SignerError> {
        let total = self.manifest.total()?;
        let batch = Some((self.id(), self.manifest.hash()));
        let tx = TxEip1559 {
            chain_id: self.chain_id,
            nonce: self.nonce,
            gas_limit: self.gas_limit,
            max_fee_per_gas: self.fees.max_fee_per_gas,
            max_priority_fee_per_gas: self.fees.max_priority_fee_per_gas,
            to: TxKind::Call(self.token.into()),
            value: U256::ZERO,
            access_list: Default::default(),
            input: transfer_calldata(self.destination, total, batch).into(),
        };
        let signature =
            key.sign_hash_sync(&tx.signature_hash()).map_err(|_| SignerError::KeyDamaged("it does not sign"))?;
        let signed = tx.into_signed(signature);
        Ok(SignedTx {
            intent_id: self.id(),
            nonce: self.nonce,
            tx_hash: (*signed.hash()).into(),
            raw: signed.encoded_2718(),
            from: key.address().into(),
            fees: self.fees,
        })
    }
}
