//! A provider's wallet: a signer in its own folder, and the chain that it pays on.

use std::path::Path;

use settla_evm::{
    Address, Fees, Intent, LocalSigner, Manifest, ManifestMember, Rpc, SignedTx, Signer, SignerError,
    TOKEN_TRANSFER_GAS_LIMIT,
};
use settla_vault::MasterKey;
use uuid::Uuid;

use super::outflow::Batch;
use crate::{error::SandboxError, lock::FolderLock};

/// The chain as the providers see it.
#[derive(Clone)]
pub(crate) struct Chain {
    pub(crate) rpc: Rpc,
    pub(crate) token: Address,
    pub(crate) depth: u64,
}

/// A wallet.
pub(crate) struct Wallet {
    signer: LocalSigner,
    pub(crate) address: Address,
    pub(crate) chain: Chain,
    /// Given back after the signer's last write: fields are dropped in order.
    _lock: FolderLock,
}

impl Wallet {
    /// Opens the wallet or makes its key. Refuses a folder that the chain is ahead of.
    pub(crate) async fn open(
        name: &str,
        dir: &Path,
        master: &MasterKey,
        chain: Chain,
        lock: FolderLock,
    ) -> Result<Self, SandboxError> {
        let signing = |source| SandboxError::Signer { wallet: name.to_owned(), source };
        let chain_nonce = match LocalSigner::address_in(dir).map_err(signing)? {
            Some(address) => chain.rpc.nonce(address).await?,
            None => 0,
        };
        let signer = LocalSigner::open(dir, master, chain.rpc.chain_id(), chain_nonce).map_err(signing)?;
        let address = signer.address().await;
        Ok(Self { signer, address, chain, _lock: lock })
    }

    /// Signs the batch; asked again, returns the same bytes.
    pub(crate) async fn sign(&self, id: Uuid, batch: &Batch, fees: Fees) -> Result<SignedTx, SignerError> {
        let members = batch.members.iter().map(|m| ManifestMember { id: m.id, amount: m.amount.0 }).collect();
        self.signer
            .sign(&Intent {
                id,
                chain_id: self.chain.rpc.chain_id(),
                token: self.chain.token,
                destination: batch.to,
                manifest: Manifest { batch_id: id, members },
                audit: batch.members.iter().map(|member| format!("{} {}", member.id, member.amount)).collect(),
                fees,
                gas_limit: TOKEN_TRANSFER_GAS_LIMIT,
            })
            .await
    }

    /// What was signed for the batch.
    pub(crate) async fn signed(&self, id: Uuid) -> Result<Option<SignedTx>, SignerError> {
        Ok(self.signer.find(id).await?.pop())
    }

    /// Tokens in the wallet at the head block.
    pub(crate) async fn tokens(&self) -> Result<u128, settla_evm::RpcError> {
        self.chain.rpc.token_balance(self.chain.token, self.address).await
    }
}
