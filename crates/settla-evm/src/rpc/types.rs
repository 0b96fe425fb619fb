//! What a chain says about transactions.

use serde::{Deserialize, Serialize};

use crate::{Address, TxHash};

/// A transaction as a node knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tx {
    /// Who signed it.
    pub from: Address,
    /// Whom it calls; `None` where it creates a contract.
    pub to: Option<Address>,
    /// Its nonce.
    pub nonce: u64,
    /// Its calldata.
    pub input: Vec<u8>,
    /// Its block; `None` while it waits.
    pub block_number: Option<u64>,
}

/// One ERC-20 `Transfer` event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenTransfer {
    /// The token's contract.
    pub token: Address,
    /// Who paid; zero for a mint.
    pub from: Address,
    /// Who was paid; zero for a burn.
    pub to: Address,
    /// Token minor units.
    pub amount: u128,
    /// The transaction it happened in.
    pub tx_hash: TxHash,
    /// The block it happened in.
    pub block_number: u64,
    /// Its place among the block's events: with the block it names the event.
    pub log_index: u64,
}

/// What became of a transaction that is in a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The transaction.
    pub tx_hash: TxHash,
    /// Who signed it.
    pub from: Address,
    /// Whom it calls; `None` where it creates a contract.
    pub to: Option<Address>,
    /// The contract it created.
    pub created_contract: Option<Address>,
    /// The block it is in.
    pub block_number: u64,
    /// That block's hash.
    pub block_hash: [u8; 32],
    /// False: it was paid for, but it was reverted and moved nothing.
    pub succeeded: bool,
    /// Gas it used.
    pub gas_used: u64,
    /// Token transfers in it, of any token.
    pub transfers: Vec<TokenTransfer>,
}

/// How sure it is what became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Confirmation {
    /// The node does not know it: never sent, not arrived yet, or dropped. It may still come.
    NotFound,
    /// It waits, or its block is not deep enough yet.
    Pending,
    /// In a block at depth, and it did what it says.
    Succeeded {
        /// The proof.
        receipt: Receipt,
    },
    /// In a block at depth, and it was reverted: its nonce is used up and nothing moved.
    Reverted {
        /// The proof.
        receipt: Receipt,
    },
}
