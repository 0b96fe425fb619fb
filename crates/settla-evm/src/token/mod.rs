//! The USDC-like token of local chains: deploying it, and acting as its issuer.
//!
//! Everything here refuses a node that is not on this machine.

mod send;

use alloy::primitives::U256;
use alloy::sol;
use alloy::sol_types::SolCall;
use serde::Deserialize;

pub use send::fund;

use crate::devkeys::DevKey;
use crate::rpc::Receipt;
use crate::{Address, Rpc, RpcError, SendError, TxHash};

/// What `tools/compile-contracts.mjs` made of `contracts/TestUSD.sol`.
const BUILD: &str = include_str!("../../../../contracts/build/TestUSD.json");

sol! {
    function mint(address to, uint256 amount) returns (bool);
    function blacklist(address account);
    function unBlacklist(address account);
    function pause();
    function unpause();
}

/// An issuer's action on a local chain did not happen, or is not known to have happened.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The node is not on this machine: a public development key must not be used there.
    #[error("development keys are for a node on this machine only")]
    NotLocal,
    /// The committed build of the contract cannot be read.
    #[error("contracts/build/TestUSD.json is damaged")]
    Build,
    /// The transaction cannot be signed.
    #[error("the development key does not sign")]
    Key,
    /// A question to the node failed.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// The broadcast failed.
    #[error(transparent)]
    Send(#[from] SendError),
    /// No block took the transaction in time.
    #[error("transaction {0} is not in a block yet")]
    NotMined(TxHash),
    /// The transaction was reverted.
    #[error("transaction {0} was reverted")]
    Reverted(TxHash),
    /// The deployer was used on this chain before, without deploying the token.
    #[error("the deployer's first transaction on this chain was not the token")]
    DeployerUsed,
}

#[derive(Deserialize)]
struct Build {
    bytecode: String,
}

/// The token on a local chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TestToken {
    address: Address,
}

impl TestToken {
    /// The token at a known address.
    #[must_use]
    pub fn at(address: Address) -> Self {
        Self { address }
    }

    /// Deploys a new token; the deployer becomes its owner, minter, pauser and blacklister.
    pub async fn deploy(rpc: &Rpc, deployer: &DevKey) -> Result<Self, TokenError> {
        let receipt = send::send(rpc, deployer, None, 0, bytecode()?).await?;
        let address = receipt.created_contract.ok_or(TokenError::Reverted(receipt.tx_hash))?;
        Ok(Self { address })
    }

    /// Deploys the token as the deployer's first transaction, or finds it where that has happened: whoever is
    /// interrupted between deploying and remembering the address calls it again.
    pub async fn ensure(rpc: &Rpc, deployer: &DevKey) -> Result<Self, TokenError> {
        let address = deployer.key.address().create(0).into();
        if rpc.code(address).await?.is_empty() {
            if rpc.nonce(deployer.address()).await? > 0 {
                return Err(TokenError::DeployerUsed);
            }
            let deployed = Self::deploy(rpc, deployer).await?;
            if deployed.address != address {
                return Err(TokenError::DeployerUsed);
            }
        }
        Ok(Self { address })
    }

    /// The contract's address.
    #[must_use]
    pub fn address(&self) -> Address {
        self.address
    }

    /// Makes new tokens, in minor units.
    pub async fn mint(&self, rpc: &Rpc, minter: &DevKey, to: Address, amount: u128) -> Result<Receipt, TokenError> {
        let call = mintCall { to: to.into(), amount: U256::from(amount) };
        self.call(rpc, minter, call.abi_encode()).await
    }

    /// Forbids an account to send or receive, as an issuer may.
    pub async fn blacklist(&self, rpc: &Rpc, issuer: &DevKey, account: Address) -> Result<Receipt, TokenError> {
        let account = account.into();
        self.call(rpc, issuer, blacklistCall { account }.abi_encode()).await
    }

    /// Takes an account off the blacklist.
    pub async fn unblacklist(&self, rpc: &Rpc, issuer: &DevKey, account: Address) -> Result<Receipt, TokenError> {
        let account = account.into();
        self.call(rpc, issuer, unBlacklistCall { account }.abi_encode()).await
    }

    /// Stops all transfers, as an issuer may.
    pub async fn pause(&self, rpc: &Rpc, issuer: &DevKey) -> Result<Receipt, TokenError> {
        self.call(rpc, issuer, pauseCall {}.abi_encode()).await
    }

    /// Allows transfers again.
    pub async fn unpause(&self, rpc: &Rpc, issuer: &DevKey) -> Result<Receipt, TokenError> {
        self.call(rpc, issuer, unpauseCall {}.abi_encode()).await
    }

    async fn call(&self, rpc: &Rpc, key: &DevKey, data: Vec<u8>) -> Result<Receipt, TokenError> {
        send::send(rpc, key, Some(self.address), 0, data).await
    }
}

fn bytecode() -> Result<Vec<u8>, TokenError> {
    let build: Build = serde_json::from_str(BUILD).map_err(|_| TokenError::Build)?;
    let digits = build.bytecode.strip_prefix("0x").ok_or(TokenError::Build)?;
    hex::decode(digits).map_err(|_| TokenError::Build)
}
