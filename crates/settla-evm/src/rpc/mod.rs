//! Reading a chain and broadcasting bytes. No key is known here.
//!
//! Every call has a time-out and reads an answer of bounded length; many questions share HTTP requests. A node is one
//! opinion: whoever credits money asks for receipts at depth, not for promises.

mod confirm;
mod error;
mod nodes;
mod transport;
mod types;
mod wire;

use alloy::primitives::{U256, keccak256};
use alloy::sol;
use alloy::sol_types::SolCall;
use serde_json::{Value, json};

pub use error::{RpcError, SendError};
pub use nodes::{DISAGREEMENTS_METRIC, Nodes};
pub use types::{Confirmation, Receipt, TokenTransfer, Tx};

use self::transport::{Call, Transport};
use crate::{Address, Fees, TxHash};

/// Most blocks that one [`Rpc::token_transfers`] scans.
pub const SCAN_BLOCKS_MAX: u64 = 100_000;

/// Blocks in one log question; public nodes refuse longer ranges.
const LOG_CHUNK_BLOCKS: u64 = 2_000;

sol! {
    function balanceOf(address owner) returns (uint256);
}

/// A connection to a node of one chain. Cheap to clone.
#[derive(Clone)]
pub struct Rpc {
    transport: Transport,
    chain_id: u64,
}

impl Rpc {
    /// Connects and checks that the node serves the chain that we expect.
    pub async fn connect(url: &str, expected_chain_id: u64) -> Result<Self, RpcError> {
        let transport = Transport::new(url)?;
        let actual = wire::quantity_u64(transport.call("eth_chainId", json!([])).await?)?;
        if actual != expected_chain_id {
            return Err(RpcError::WrongChain { expected: expected_chain_id, actual });
        }
        Ok(Self { transport, chain_id: actual })
    }

    /// The chain that the node was seen to serve.
    #[must_use]
    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// Whether the node runs on this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.transport.is_loopback()
    }

    /// The height of the head block.
    pub async fn block_number(&self) -> Result<u64, RpcError> {
        wire::quantity_u64(self.transport.call("eth_blockNumber", json!([])).await?)
    }

    /// The receipts of these transactions, in their order; `None` where there is none (yet).
    pub async fn receipts(&self, hashes: &[TxHash]) -> Result<Vec<Option<Receipt>>, RpcError> {
        self.ask_by_hash("eth_getTransactionReceipt", hashes)
            .await?
            .into_iter()
            .zip(hashes)
            .map(|(value, hash)| wire::receipt(value, *hash))
            .collect()
    }

    /// A transaction that the node knows, waiting or in a block.
    pub async fn transaction(&self, hash: TxHash) -> Result<Option<Tx>, RpcError> {
        let params = json!([hash]);
        wire::transaction(self.transport.call("eth_getTransactionByHash", params).await?)
    }

    /// Broadcasts signed bytes; sending the same bytes again is harmless and succeeds while they wait.
    pub async fn send_raw(&self, raw: &[u8]) -> Result<TxHash, SendError> {
        if raw.is_empty() {
            return Err(SendError::NotATransaction);
        }
        let hash = TxHash::from(keccak256(raw));
        let params = json!([format!("0x{}", hex::encode(raw))]);
        match self.transport.call("eth_sendRawTransaction", params).await {
            Ok(Value::String(answer)) if answer.parse() == Ok(hash) => Ok(hash),
            Ok(_) => Err(SendError::Unknown(RpcError::Malformed("the hash of another transaction"))),
            Err(error) if error::is_already_known(&error) => Ok(hash),
            Err(error) => Err(error.into()),
        }
    }

    /// How many transactions of this account are in blocks: the chain's next nonce.
    pub async fn nonce(&self, address: Address) -> Result<u64, RpcError> {
        let params = json!([address, "latest"]);
        wire::quantity_u64(self.transport.call("eth_getTransactionCount", params).await?)
    }

    /// The transaction that used this nonce of the account, in blocks up to the one at `depth`: found by looking for the
    /// block in which the account's count of transactions passed it, at most 128 questions. `None` where it is not used.
    ///
    /// It looks backwards from there in growing steps, so the node needs the state of about twice as many blocks as have
    /// passed since, not of the whole chain.
    pub async fn transaction_of_nonce(
        &self,
        address: Address,
        nonce: u64,
        depth: u64,
    ) -> Result<Option<TxHash>, RpcError> {
        let mut high = self.block_number().await?.saturating_sub(depth.max(1) - 1);
        if self.nonce_at(address, high).await? <= nonce {
            return Ok(None);
        }
        let (mut low, mut step) = (0, 1);
        while let Some(before) = high.checked_sub(step) {
            if self.nonce_at(address, before).await? <= nonce {
                low = before + 1;
                break;
            }
            high = before;
            step *= 2;
        }
        // By `high` it was used; before `low` it was not.
        while low < high {
            let middle = low + (high - low) / 2;
            if self.nonce_at(address, middle).await? > nonce {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        let block = self.transport.call("eth_getBlockByNumber", json!([format!("{high:#x}"), true])).await?;
        wire::transaction_of_nonce(&block, address, nonce)
    }

    async fn nonce_at(&self, address: Address, block: u64) -> Result<u64, RpcError> {
        let params = json!([address, format!("{block:#x}")]);
        wire::quantity_u64(self.transport.call("eth_getTransactionCount", params).await?)
    }

    /// The balance in the chain's own coin, in wei.
    pub async fn native_balance(&self, address: Address) -> Result<u128, RpcError> {
        let params = json!([address, "latest"]);
        wire::quantity_u128(self.transport.call("eth_getBalance", params).await?)
    }

    /// The balance of a token, in its minor units.
    pub async fn token_balance(&self, token: Address, owner: Address) -> Result<u128, RpcError> {
        let data = balanceOfCall { owner: owner.into() }.abi_encode();
        let call = json!({"to": token, "data": format!("0x{}", hex::encode(data))});
        let answer = self.transport.call("eth_call", json!([call, "latest"])).await?;
        let word = answer
            .as_str()
            .and_then(|text| text.strip_prefix("0x"))
            .and_then(|digits| hex::decode(digits).ok())
            .filter(|bytes| bytes.len() == 32)
            // An account without code answers with nothing: that is not a balance of zero.
            .ok_or(RpcError::Malformed("no balance: is the token there?"))?;
        u128::try_from(U256::from_be_slice(&word)).map_err(|_| RpcError::Malformed("a balance over 128 bits"))
    }

    /// The code at an address; empty where there is no contract.
    pub async fn code(&self, address: Address) -> Result<Vec<u8>, RpcError> {
        let answer = self.transport.call("eth_getCode", json!([address, "latest"])).await?;
        answer
            .as_str()
            .and_then(|text| text.strip_prefix("0x"))
            .and_then(|digits| hex::decode(digits).ok())
            .ok_or(RpcError::Malformed("code"))
    }

    /// A token's transfers in the blocks `from_block..=to_block`, oldest first, optionally of one payer or one payee.
    pub async fn token_transfers(
        &self,
        token: Address,
        from_block: u64,
        to_block: u64,
        from: Option<Address>,
        to: Option<Address>,
    ) -> Result<Vec<TokenTransfer>, RpcError> {
        if to_block.saturating_sub(from_block) >= SCAN_BLOCKS_MAX {
            return Err(RpcError::RangeTooLong(SCAN_BLOCKS_MAX));
        }
        let topics = json!([wire::TRANSFER_TOPIC, topic(from), topic(to)]);
        let mut found = Vec::new();
        let mut start = from_block;
        while start <= to_block {
            let end = to_block.min(start.saturating_add(LOG_CHUNK_BLOCKS - 1));
            let filter = json!([{
                "address": token,
                "topics": topics,
                "fromBlock": format!("{start:#x}"),
                "toBlock": format!("{end:#x}"),
            }]);
            let page = wire::transfers(self.transport.call("eth_getLogs", filter).await?)?;
            let as_asked = |transfer: &TokenTransfer| {
                transfer.token == token
                    && (start..=end).contains(&transfer.block_number)
                    && from.is_none_or(|from| transfer.from == from)
                    && to.is_none_or(|to| transfer.to == to)
            };
            if !page.iter().all(as_asked) {
                return Err(RpcError::Malformed("logs that were not asked for"));
            }
            found.extend(page);
            let Some(next) = end.checked_add(1) else {
                break;
            };
            start = next;
        }
        Ok(found)
    }

    /// Fees for a transaction sent now: see [`Fees::from_base_fee`].
    pub async fn fees(&self) -> Result<Fees, RpcError> {
        let calls = [
            Call { method: "eth_getBlockByNumber", params: json!(["latest", false]) },
            Call { method: "eth_maxPriorityFeePerGas", params: json!([]) },
        ];
        let mut answers = self.transport.batch(&calls).await?;
        let (Some(tip), Some(mut block)) = (answers.pop(), answers.pop()) else {
            return Err(RpcError::Malformed("an answer missing from a batch"));
        };
        let base_fee = wire::quantity_u128(block["baseFeePerGas"].take())?;
        let tip = wire::quantity_u128(tip)?;
        Fees::from_base_fee(base_fee, tip).ok_or(RpcError::FeeTooHigh(base_fee))
    }

    async fn ask_by_hash(&self, method: &'static str, hashes: &[TxHash]) -> Result<Vec<Value>, RpcError> {
        let calls: Vec<_> = hashes.iter().map(|hash| Call { method, params: json!([hash]) }).collect();
        self.transport.batch(&calls).await
    }
}

/// An address as an event topic: padded to 32 bytes, or "any".
fn topic(address: Option<Address>) -> Value {
    match address {
        None => Value::Null,
        Some(address) => json!(alloy::primitives::Address::from(address).into_word()),
    }
}
