//! A signer in this process: key sealed in a folder, journal beside it, one thread that signs.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::thread::JoinHandle;

use alloy::signers::local::PrivateKeySigner;
use async_trait::async_trait;
use settla_vault::MasterKey;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::journal::Journal;
use super::key_file::{self, Paths};
use super::record::{BumpRecord, Record};
use super::worker::{self, Book, Request};
use super::{Intent, SignedTx, Signer, SignerError};
use crate::{Address, Fees};

/// Calls that may wait for the signing thread; more wait for a place.
const QUEUE_MAX: usize = 256;

/// A signer whose key lives in a folder, encrypted with the master key.
///
/// One process at a time: the folder is locked while it is open. Dropping it finishes what has begun and unlocks; like
/// opening, it blocks the thread for the time of a few disk writes.
pub struct LocalSigner {
    address: Address,
    requests: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for LocalSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalSigner").field("address", &self.address).finish_non_exhaustive()
    }
}

impl LocalSigner {
    /// The address of the key in a folder, or `None` where no key was made yet. It tells which account to ask the
    /// chain's nonce of before [`open`](Self::open), which checks that the key really has this address.
    pub fn address_in(dir: &Path) -> Result<Option<Address>, SignerError> {
        key_file::claimed_address(&Paths::new(dir).key)
    }

    /// Opens the signer in `dir`, and makes folder, key and journal at first.
    ///
    /// `chain_nonce` is the account's next nonce on the chain, 0 for a key that is still to be made. Above the
    /// journal's next nonce it proves that an old copy of the folder was put back, and the signer refuses to open.
    pub fn open(dir: &Path, master_key: &MasterKey, chain_id: u64, chain_nonce: u64) -> Result<Self, SignerError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(SignerError::io("cannot make the signer folder"))?;
        let paths = Paths::new(dir);
        let lock = lock(&paths.lock)?;
        let key = open_key(&paths, master_key, chain_id, chain_nonce)?;
        let address = key.address().into();
        let book = Book::open(&paths.journal, key, chain_id)?;
        if chain_nonce > book.next_nonce() {
            return Err(SignerError::RolledBack { journal_nonce: book.next_nonce(), chain_nonce });
        }
        let (requests, inbox) = mpsc::channel(QUEUE_MAX);
        let thread = std::thread::Builder::new()
            .name("settla-signer".to_owned())
            .spawn(move || {
                worker::run(book, inbox);
                // Held until the last write is done.
                drop(lock);
            })
            .map_err(SignerError::io("cannot start the signing thread"))?;
        Ok(Self { address, requests: Some(requests), thread: Some(thread) })
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, SignerError>>) -> Request,
    ) -> Result<T, SignerError> {
        let requests = self.requests.as_ref().ok_or(SignerError::Stopped)?;
        let (reply, answer) = oneshot::channel();
        requests.send(request(reply)).await.map_err(|_| SignerError::Stopped)?;
        answer.await.map_err(|_| SignerError::Stopped)?
    }
}

#[async_trait]
impl Signer for LocalSigner {
    async fn address(&self) -> Address {
        self.address
    }

    async fn sign(&self, intent: &Intent) -> Result<SignedTx, SignerError> {
        let intent = Box::new(intent.clone());
        self.ask(|reply| Request::Sign { intent, reply }).await
    }

    async fn bump(&self, intent_id: Uuid, fees: Fees, audit: &[String]) -> Result<SignedTx, SignerError> {
        let bump = Box::new(BumpRecord { intent_id, fees, audit: audit.to_vec() });
        self.ask(|reply| Request::Bump { bump, reply }).await
    }

    async fn find(&self, intent_id: Uuid) -> Result<Vec<SignedTx>, SignerError> {
        self.ask(|reply| Request::Find { intent_id, reply }).await
    }
}

impl Drop for LocalSigner {
    fn drop(&mut self) {
        // Closing the queue ends the thread; waiting for it means that the folder is free when `drop` returns.
        self.requests.take();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the signing thread panicked");
        }
    }
}

fn lock(path: &Path) -> Result<File, SignerError> {
    const LOCK: &str = "cannot lock the signer folder";
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(SignerError::io(LOCK))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(SignerError::InUse),
        Err(TryLockError::Error(source)) => Err(SignerError::Io { what: LOCK, source }),
    }
}

/// The folder's key; makes key and journal where neither was announced. The lock is held, so nobody else is at it.
fn open_key(
    paths: &Paths,
    master_key: &MasterKey,
    chain_id: u64,
    chain_nonce: u64,
) -> Result<PrivateKeySigner, SignerError> {
    let has_journal = exists(&paths.journal)?;
    if let Some(key) = key_file::load(&paths.key, master_key, chain_id)? {
        if !has_journal {
            return Err(SignerError::JournalMissing);
        }
        key_file::remove_if_there(&paths.new_key)?;
        return Ok(key);
    }
    if has_journal {
        // The journal is made after the new key was proven, so only the last step can be missing.
        let key = key_file::load(&paths.new_key, master_key, chain_id)?.ok_or(SignerError::KeyMissing)?;
        key_file::announce(paths)?;
        return Ok(key);
    }
    if chain_nonce > 0 {
        // The caller knows an account that this folder does not: the folder was lost, so do not make a new key.
        return Err(SignerError::RolledBack { journal_nonce: 0, chain_nonce });
    }
    // What is left of a key that nobody was told of.
    key_file::remove_if_there(&paths.new_key)?;
    let key = key_file::create(&paths.new_key, master_key, chain_id)?;
    let first = Record::Opened { address: key.address().into(), chain_id };
    Journal::create(&paths.journal, &first)?;
    key_file::announce(paths)?;
    Ok(key)
}

fn exists(path: &Path) -> Result<bool, SignerError> {
    path.try_exists().map_err(SignerError::io("cannot look for the journal"))
}
