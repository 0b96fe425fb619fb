//! The signer as a module of this process, its key encrypted at rest. One process at a time has it open.

use crate::failure::Failure;
use async_trait::async_trait;
use settla_evm::{Address, LocalSigner, Nodes, SignerError};
use settla_node::{AnySigner, SignerSource};
use settla_vault::MasterKey;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::Mutex;

/// A signer's folder.
pub struct SignerFolder {
    dir: PathBuf,
    master: Arc<MasterKey>,
    rpc: Nodes,
    chain_id: u64,
    opened: Mutex<Option<AnySigner>>,
}

impl SignerFolder {
    /// A folder that may be open elsewhere.
    pub fn new(dir: PathBuf, master: Arc<MasterKey>, rpc: Nodes, chain_id: u64) -> Self {
        Self { dir, master, rpc, chain_id, opened: Mutex::new(None) }
    }

    /// The wallet's address; the key is made if there is none yet.
    pub async fn wallet(&self) -> Result<Address, Failure> {
        match self.try_open().await {
            Ok(signer) => {
                let address = signer.address().await;
                *self.opened.lock().await = Some(signer);
                Ok(address)
            }
            // Another process has it open and settles; its address is written beside the key.
            Err(OpenError::Signer(SignerError::InUse)) => LocalSigner::address_in(&self.dir)?.ok_or_else(|| {
                Failure::new("the signer is being set up by another process").try_next("start again in a moment")
            }),
            Err(error) => Err(error.into()),
        }
    }

    async fn try_open(&self) -> Result<AnySigner, OpenError> {
        // A nonce on chain above the journal's means that an old folder was put back: the signer refuses then.
        let nonce = match LocalSigner::address_in(&self.dir)? {
            Some(address) => self.rpc.highest_nonce(address).await?,
            None => 0,
        };
        Ok(Arc::new(LocalSigner::open(&self.dir, &self.master, self.chain_id, nonce)?))
    }
}

#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error(transparent)]
    Signer(#[from] SignerError),
    #[error(transparent)]
    Rpc(#[from] settla_evm::RpcError),
}

#[async_trait]
impl SignerSource for SignerFolder {
    async fn open(&self) -> Option<AnySigner> {
        let mut opened = self.opened.lock().await;
        if let Some(signer) = opened.as_ref() {
            return Some(Arc::clone(signer));
        }
        match self.try_open().await {
            Ok(signer) => {
                *opened = Some(Arc::clone(&signer));
                Some(signer)
            }
            Err(OpenError::Signer(SignerError::InUse)) => None,
            Err(error) => {
                tracing::error!(%error, "the signer does not open");
                None
            }
        }
    }
}
