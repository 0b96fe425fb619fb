//! Why a signer does not sign, or does not open.

use std::io;

use uuid::Uuid;

use crate::{Address, ManifestError};

/// A signature that was not made, or a signer that did not open. None of these has signed anything new.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The folder could not be read or written.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// Another signer has the folder open.
    #[error("the signer folder is in use by another process")]
    InUse,
    /// There is a key file, but no key comes out of it. It is left as it is.
    #[error("the signer key cannot be used: {0}")]
    KeyDamaged(&'static str),
    /// There is a journal and no key.
    #[error("the signer's journal is there, but its key is not")]
    KeyMissing,
    /// There is a key and no journal: which nonces are used up is not known.
    #[error("the signer's key is there, but its journal is not")]
    JournalMissing,
    /// The journal does not read back as it was written. It is left as it is.
    #[error("the signer's journal is damaged at line {line}: {reason}")]
    JournalDamaged {
        /// The first line that is wrong, counted from 1.
        line: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The chain has seen nonces that the journal has not: an old copy of the folder was put back.
    #[error("the chain is at nonce {chain_nonce}, the journal only at {journal_nonce}: the journal was rolled back")]
    RolledBack {
        /// The nonce that the journal would use next.
        journal_nonce: u64,
        /// The nonce that the chain expects next.
        chain_nonce: u64,
    },
    /// The folder, or the intent, is for another chain.
    #[error("meant for chain {actual}, but this signer signs for chain {expected}")]
    WrongChain {
        /// The chain that this signer signs for.
        expected: u64,
        /// The chain that the folder or the intent names.
        actual: u64,
    },
    /// Something else was signed under this id.
    #[error("intent {0} was signed before with other content")]
    IntentChanged(Uuid),
    /// Nothing was signed under this id, so there is nothing to raise the fees of.
    #[error("intent {0} was not signed")]
    UnknownIntent(Uuid),
    /// The manifest cannot be paid.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The signer's own rules forbid it.
    #[error("refused: {0}")]
    Refused(&'static str),
    /// The token or the destination cannot be meant.
    #[error("refused: {0} cannot be paid")]
    Destination(Address),
    /// A write failed before, so what is on disk is not known. Opening the signer again finds out.
    #[error("the signer has stopped after a failed write and must be opened again")]
    Stopped,
}

impl SignerError {
    pub(super) fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}
