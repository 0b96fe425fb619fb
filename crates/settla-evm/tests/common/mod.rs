//! What the integration tests share: a real node in a process of its own, and intents to sign.
#![allow(dead_code)] // Every test program uses another part of it.

mod anvil;

use std::path::Path;

use settla_evm::devkeys::DevKey;
use settla_evm::token::{TestToken, fund};
use settla_evm::{Address, Fees, Intent, LocalSigner, Manifest, ManifestMember, Rpc, Signer, TOKEN_TRANSFER_GAS_LIMIT};
use settla_vault::MasterKey;
use uuid::Uuid;

pub use anvil::{Anvil, Mining};

pub const CHAIN_ID: u64 = 43113;
pub const ONE_COIN: u128 = 1_000_000_000_000_000_000;

pub fn master_key() -> MasterKey {
    MasterKey::from_bytes([7; 32])
}

pub fn open(dir: &Path, chain_nonce: u64) -> LocalSigner {
    LocalSigner::open(dir, &master_key(), CHAIN_ID, chain_nonce).expect("the signer opens")
}

/// An intent that pays `amounts` to `destination`, under a new id.
pub fn intent(token: Address, destination: Address, amounts: &[u128]) -> Intent {
    let id = Uuid::now_v7();
    Intent {
        id,
        chain_id: CHAIN_ID,
        token,
        destination,
        manifest: Manifest {
            batch_id: id,
            members: amounts.iter().map(|amount| ManifestMember { id: Uuid::now_v7(), amount: *amount }).collect(),
        },
        audit: amounts.iter().map(|amount| format!("pays {amount}")).collect(),
        fees: Fees { max_fee_per_gas: 10_000_000_000, max_priority_fee_per_gas: 1_000_000_000 },
        gas_limit: TOKEN_TRANSFER_GAS_LIMIT,
    }
}

/// A chain with the token on it and a signer that owns gas and tokens.
pub struct World {
    pub rpc: Rpc,
    pub issuer: DevKey,
    pub token: TestToken,
    pub signer: LocalSigner,
    pub payer: Address,
    pub dir: tempfile::TempDir,
    pub anvil: Anvil,
}

pub const MINTED: u128 = 1_000_000_000;

impl World {
    /// Sets everything up with a block for every transaction, then mines as told.
    pub async fn start(mining: Mining) -> Self {
        let anvil = Anvil::start();
        let rpc = Rpc::connect(anvil.url(), CHAIN_ID).await.expect("the node answers");
        let issuer = DevKey::account_0();
        let token = TestToken::deploy(&rpc, &issuer).await.expect("the token deploys");
        let dir = tempfile::tempdir().expect("a folder");
        let signer = open(dir.path(), 0);
        let payer = signer.address().await;
        fund(&rpc, &issuer, payer, ONE_COIN).await.expect("gas arrives");
        token.mint(&rpc, &issuer, payer, MINTED).await.expect("tokens are minted");
        anvil.mine_as(mining).await;
        Self { rpc, issuer, token, signer, payer, dir, anvil }
    }

    pub fn intent(&self, destination: Address, amounts: &[u128]) -> Intent {
        intent(self.token.address(), destination, amounts)
    }

    pub async fn balance(&self, owner: Address) -> u128 {
        self.rpc.token_balance(self.token.address(), owner).await.expect("a balance")
    }
}
