//! The node's JSON, turned into the crate's own types. Only the fields that are used are named.

use alloy::primitives::{B256, Bytes, U64, U256};
use alloy::sol;
use alloy::sol_types::SolEvent;
use serde::Deserialize;
use serde_json::Value;

use super::{Receipt, RpcError, TokenTransfer, Tx};
use crate::{Address, TxHash};

sol! {
    event Transfer(address indexed from, address indexed to, uint256 value);
}

/// The first topic of every ERC-20 transfer.
pub(super) const TRANSFER_TOPIC: B256 = Transfer::SIGNATURE_HASH;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireReceipt {
    transaction_hash: B256,
    from: alloy::primitives::Address,
    to: Option<alloy::primitives::Address>,
    contract_address: Option<alloy::primitives::Address>,
    block_number: U64,
    block_hash: B256,
    status: U64,
    gas_used: U64,
    logs: Vec<WireLog>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireLog {
    address: alloy::primitives::Address,
    topics: Vec<B256>,
    data: Bytes,
    transaction_hash: B256,
    block_number: U64,
    log_index: U64,
    #[serde(default)]
    removed: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireTx {
    from: alloy::primitives::Address,
    to: Option<alloy::primitives::Address>,
    nonce: U64,
    input: Bytes,
    block_number: Option<U64>,
}

fn decode<T: for<'de> Deserialize<'de>>(value: Value, what: &'static str) -> Result<T, RpcError> {
    serde_json::from_value(value).map_err(|_| RpcError::Malformed(what))
}

pub(super) fn quantity_u64(value: Value) -> Result<u64, RpcError> {
    let quantity: U64 = decode(value, "a number")?;
    Ok(quantity.to())
}

pub(super) fn quantity_u128(value: Value) -> Result<u128, RpcError> {
    let quantity: U256 = decode(value, "a number")?;
    u128::try_from(quantity).map_err(|_| RpcError::Malformed("a number over 128 bits"))
}

/// A receipt, or `None` where the node has none. The node must answer about the hash that was asked for.
pub(super) fn receipt(value: Value, asked: TxHash) -> Result<Option<Receipt>, RpcError> {
    if value.is_null() {
        return Ok(None);
    }
    let wire: WireReceipt = decode(value, "a receipt")?;
    if wire.transaction_hash.0 != asked.0 {
        return Err(RpcError::Malformed("a receipt of another transaction"));
    }
    Ok(Some(Receipt {
        tx_hash: asked,
        from: wire.from.into(),
        to: wire.to.map(Into::into),
        created_contract: wire.contract_address.map(Into::into),
        block_number: wire.block_number.to(),
        block_hash: wire.block_hash.0,
        succeeded: wire.status.to::<u64>() == 1,
        gas_used: wire.gas_used.to(),
        // Logs of other contracts may be anything; what is not a plain transfer is passed over.
        transfers: wire.logs.iter().filter_map(transfer).collect(),
    }))
}

pub(super) fn transaction(value: Value) -> Result<Option<Tx>, RpcError> {
    if value.is_null() {
        return Ok(None);
    }
    let wire: WireTx = decode(value, "a transaction")?;
    Ok(Some(Tx {
        from: wire.from.into(),
        to: wire.to.map(Into::into),
        nonce: wire.nonce.to(),
        input: wire.input.to_vec(),
        block_number: wire.block_number.map(|number| number.to()),
    }))
}

#[derive(Deserialize)]
struct WireNonce {
    hash: B256,
    from: alloy::primitives::Address,
    nonce: U64,
}

/// The transaction of a block, with its transactions in full, that has this nonce of the account.
pub(super) fn transaction_of_nonce(block: &Value, address: Address, nonce: u64) -> Result<Option<TxHash>, RpcError> {
    let transactions: Vec<WireNonce> = decode(block["transactions"].clone(), "a block with its transactions")?;
    let found = transactions.iter().find(|tx| Address::from(tx.from) == address && tx.nonce.to::<u64>() == nonce);
    Ok(found.map(|tx| tx.hash.into()))
}

/// The transfers in a log answer. The filter asked for transfers alone, so anything else is an error, not noise.
pub(super) fn transfers(value: Value) -> Result<Vec<TokenTransfer>, RpcError> {
    let logs: Vec<WireLog> = decode(value, "logs")?;
    logs.iter().map(|log| transfer(log).ok_or(RpcError::Malformed("a log that is not a transfer"))).collect()
}

fn transfer(log: &WireLog) -> Option<TokenTransfer> {
    if log.removed || log.topics.first() != Some(&TRANSFER_TOPIC) {
        return None;
    }
    let event = Transfer::decode_raw_log_validate(log.topics.iter().copied(), &log.data).ok()?;
    Some(TokenTransfer {
        token: log.address.into(),
        from: event.from.into(),
        to: event.to.into(),
        amount: u128::try_from(event.value).ok()?,
        tx_hash: log.transaction_hash.into(),
        block_number: log.block_number.to(),
        log_index: log.log_index.to(),
    })
}
