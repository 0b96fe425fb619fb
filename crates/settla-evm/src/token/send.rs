//! One transaction of a development key, from nonce to receipt.

use std::time::Duration;

use alloy::consensus::{SignableTransaction, TxEip1559};
use alloy::eips::eip2718::Encodable2718;
use alloy::primitives::{TxKind, U256};
use alloy::signers::SignerSync;

use super::TokenError;
use crate::devkeys::DevKey;
use crate::rpc::Receipt;
use crate::{Address, Rpc, TxHash};

/// Enough to deploy the token.
const GAS_LIMIT: u64 = 3_000_000;

/// A receipt can only be asked for again and again over HTTP: every 50 ms, for 20 s.
const RECEIPT_POLL: Duration = Duration::from_millis(50);
const RECEIPT_POLLS_MAX: u32 = 400;

/// Gives an account coin for gas, in wei.
pub async fn fund(rpc: &Rpc, giver: &DevKey, to: Address, wei: u128) -> Result<Receipt, TokenError> {
    send(rpc, giver, Some(to), wei, Vec::new()).await
}

/// Signs, sends and waits for success; `to` is `None` to create a contract.
pub(super) async fn send(
    rpc: &Rpc,
    key: &DevKey,
    to: Option<Address>,
    wei: u128,
    input: Vec<u8>,
) -> Result<Receipt, TokenError> {
    if !rpc.is_local() {
        return Err(TokenError::NotLocal);
    }
    // The nonce is free only until the next transaction, so the next one waits for this one's receipt.
    let _one_at_a_time = key.sending.lock().await;
    let fees = rpc.fees().await?;
    let tx = TxEip1559 {
        chain_id: rpc.chain_id(),
        nonce: rpc.nonce(key.address()).await?,
        gas_limit: GAS_LIMIT,
        max_fee_per_gas: fees.max_fee_per_gas,
        max_priority_fee_per_gas: fees.max_priority_fee_per_gas,
        to: to.map_or(TxKind::Create, |to| TxKind::Call(to.into())),
        value: U256::from(wei),
        access_list: Default::default(),
        input: input.into(),
    };
    let signature = key.key.sign_hash_sync(&tx.signature_hash()).map_err(|_| TokenError::Key)?;
    let hash = rpc.send_raw(&tx.into_signed(signature).encoded_2718()).await?;
    wait(rpc, hash).await
}

async fn wait(rpc: &Rpc, hash: TxHash) -> Result<Receipt, TokenError> {
    for _ in 0..RECEIPT_POLLS_MAX {
        match rpc.receipts(&[hash]).await?.pop().flatten() {
            Some(receipt) if receipt.succeeded => return Ok(receipt),
            Some(_) => return Err(TokenError::Reverted(hash)),
            None => tokio::time::sleep(RECEIPT_POLL).await,
        }
    }
    Err(TokenError::NotMined(hash))
}
