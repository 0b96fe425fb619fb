//! What can keep the sandbox from starting or from writing its books.

use std::path::PathBuf;

/// A journal that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system said no.
    #[error("journal {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A complete line that is not a record: the file was damaged or edited. It is never repaired by guessing.
    #[error("journal {path}, line {line}: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Why the line is refused.
        reason: String,
    },
    /// An earlier write failed, so memory and disk may differ: nothing is answered until the next start.
    #[error("the journal failed earlier; start again")]
    Broken,
    /// More is waiting for the disk than is good.
    #[error("the journal is too far behind")]
    Behind,
}

/// Why the sandbox did not start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// A server's books.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file or folder beside the books.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process uses the folder.
    #[error("{0} is in use by another sandbox")]
    InUse(PathBuf),
    /// A port cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address asked for.
        address: std::net::SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The sandbox's master key.
    #[error("master key: {0}")]
    MasterKey(#[from] settla_vault::MasterKeyError),
    /// A wallet's signer.
    #[error("wallet {wallet}: {source}")]
    Signer {
        /// Which wallet.
        wallet: String,
        /// What the signer said.
        source: settla_evm::SignerError,
    },
    /// The chain.
    #[error("chain: {0}")]
    Chain(#[from] settla_evm::RpcError),
    /// Filling the wallets on a local chain.
    #[error("funding the wallets: {0}")]
    Funding(String),
    /// The HTTP client for webhooks.
    #[error("webhook client: {0}")]
    Client(#[from] reqwest::Error),
    /// A setting that cannot work.
    #[error("setting {name}: {reason}")]
    Setting {
        /// The field of the configuration.
        name: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
}
