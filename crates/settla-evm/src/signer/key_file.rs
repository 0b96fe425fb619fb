//! The signer's key on disk: sealed, made once, never overwritten.
//!
//! A new key is written and synced under a provisional name, read back, opened and re-derived before anything else
//! names its address; then its journal is made; only then does it get its real name, by a link, which fails where
//! the name exists. So a crash leaves either nothing that anybody was told of, or everything.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use alloy::primitives::B256;
use alloy::signers::local::PrivateKeySigner;
use serde::{Deserialize, Serialize};
use settla_vault::{MasterKey, Secret, fill_random};

use super::SignerError;
use crate::Address;

const FILE_BYTES_MAX: u64 = 4096;
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    version: u32,
    chain_id: u64,
    address: Address,
    #[serde(with = "hex::serde")]
    sealed: Vec<u8>,
}

impl KeyFile {
    /// The seal holds for this chain and this address alone.
    fn label(chain_id: u64, address: Address) -> String {
        format!("settla-evm/signer-key/{VERSION}/{chain_id}/{address}")
    }
}

/// Where a signer's files are.
pub(super) struct Paths {
    pub key: PathBuf,
    pub new_key: PathBuf,
    pub journal: PathBuf,
    pub lock: PathBuf,
}

impl Paths {
    pub fn new(dir: &Path) -> Self {
        Self {
            key: dir.join("signer-key.json"),
            new_key: dir.join("signer-key.new"),
            journal: dir.join("signer-journal.jsonl"),
            lock: dir.join("signer.lock"),
        }
    }
}

/// The address that a folder's key file claims; `None` where there is no key file.
pub(super) fn claimed_address(path: &Path) -> Result<Option<Address>, SignerError> {
    Ok(read_file(path)?.map(|file| file.address))
}

/// Opens the key under `path`; `None` only where there is no such file.
pub(super) fn load(
    path: &Path,
    master_key: &MasterKey,
    chain_id: u64,
) -> Result<Option<PrivateKeySigner>, SignerError> {
    let Some(file) = read_file(path)? else {
        return Ok(None);
    };
    if file.version != VERSION {
        return Err(SignerError::KeyDamaged("its version is not known"));
    }
    if file.chain_id != chain_id {
        return Err(SignerError::WrongChain { expected: chain_id, actual: file.chain_id });
    }
    let label = KeyFile::label(file.chain_id, file.address);
    let secret = master_key
        .open(&label, &file.sealed)
        .map_err(|_| SignerError::KeyDamaged("the master key does not open it"))?;
    let key = PrivateKeySigner::from_slice(secret.expose())
        .ok()
        .filter(|_| secret.expose().len() == 32)
        .ok_or(SignerError::KeyDamaged("it holds no key"))?;
    if Address::from(key.address()) != file.address {
        return Err(SignerError::KeyDamaged("the key has another address"));
    }
    Ok(Some(key))
}

/// Makes a key under a provisional `path` and proves that it can be read back.
pub(super) fn create(path: &Path, master_key: &MasterKey, chain_id: u64) -> Result<PrivateKeySigner, SignerError> {
    const MAKE: &str = "cannot make the signer key";
    let secret = random_secret()?;
    let address: Address = PrivateKeySigner::from_bytes(&B256::from(*secret.expose()))
        .map_err(|_| SignerError::KeyDamaged("it holds no key"))?
        .address()
        .into();
    let file = KeyFile {
        version: VERSION,
        chain_id,
        address,
        sealed: master_key.seal(&KeyFile::label(chain_id, address), secret.expose()),
    };
    let bytes = serde_json::to_vec(&file).map_err(|_| SignerError::KeyDamaged("it cannot be written down"))?;
    let mut handle =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(SignerError::io(MAKE))?;
    handle.write_all(&bytes).and_then(|()| handle.sync_all()).map_err(SignerError::io(MAKE))?;
    sync_folder_of(path)?;
    let key = load(path, master_key, chain_id)?.ok_or(SignerError::KeyMissing)?;
    if Address::from(key.address()) != address {
        return Err(SignerError::KeyDamaged("it reads back as another key"));
    }
    Ok(key)
}

/// Gives a proven key its real name.
pub(super) fn announce(paths: &Paths) -> Result<(), SignerError> {
    fs::hard_link(&paths.new_key, &paths.key).map_err(SignerError::io("cannot name the signer key"))?;
    sync_folder_of(&paths.key)?;
    remove_if_there(&paths.new_key)
}

/// Removes a file that may be absent.
pub(super) fn remove_if_there(path: &Path) -> Result<(), SignerError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(SignerError::Io { what: "cannot remove a left-over file", source: error })
        }
        _ => Ok(()),
    }
}

/// Makes a new name in a folder last.
pub(super) fn sync_folder_of(path: &Path) -> Result<(), SignerError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(SignerError::io("cannot sync the signer folder"))
}

fn read_file(path: &Path) -> Result<Option<KeyFile>, SignerError> {
    const READ: &str = "cannot read the signer key";
    let file = match File::open(path) {
        Ok(file) => file,
        // Only this is "not there"; every other trouble is a key that we fail to read.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(SignerError::Io { what: READ, source }),
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(SignerError::io(READ))?;
    serde_json::from_slice(&bytes).map(Some).map_err(|_| SignerError::KeyDamaged("the key file is not what we write"))
}

/// 32 random bytes that are a valid key; nearly all are.
fn random_secret() -> Result<Secret<[u8; 32]>, SignerError> {
    let mut bytes = zeroize::Zeroizing::new([0; 32]);
    for _ in 0..4 {
        fill_random(&mut *bytes);
        if PrivateKeySigner::from_slice(&*bytes).is_ok() {
            return Ok(Secret::new(*bytes));
        }
    }
    Err(SignerError::KeyDamaged("the random source makes no key"))
}
