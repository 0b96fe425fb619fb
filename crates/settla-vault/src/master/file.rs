//! The master key's file: one line of text, mode 0600, made once and never written again.
//!
//! ```text
//! settla-master-key-1 <64 hex digits> <16 hex digits of a checksum>
//! ```
//!
//! The checksum tells a damaged file from a wrong key before anything is sealed under it.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;
use zeroize::Zeroizing;

use crate::aead::{AeadKey, mac};
use crate::random::random_bytes;

const MAGIC: &str = "settla-master-key-1";
const CHECKSUM_BYTES: usize = 8;
/// More than the file ever has; a longer one is not ours.
const FILE_BYTES_MAX: u64 = 256;

/// Why there is no master key to work with.
#[derive(Debug, Error)]
pub enum MasterKeyError {
    /// There is no such file.
    #[error("there is no master key file at {0}")]
    Absent(PathBuf),
    /// The file is there, or may be there, and cannot be read or written.
    #[error("cannot {action} the master key file {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Others than the owner may read it.
    #[error("master key file {path} has mode {mode:04o}: others than its owner can read it; run chmod 600")]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is not what was once written.
    #[error("master key file {0} is damaged; restore it from a backup")]
    Damaged(PathBuf),
}

pub(super) fn load(path: &Path) -> Result<AeadKey, MasterKeyError> {
    let file = File::open(path).map_err(|source| match source.kind() {
        ErrorKind::NotFound => MasterKeyError::Absent(path.to_owned()),
        _ => io_error("open", path, source),
    })?;
    let mode = file.metadata().map_err(|source| io_error("inspect", path, source))?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(MasterKeyError::TooOpen { path: path.to_owned(), mode });
    }
    // The full capacity at once: growing would leave pieces of the key in freed memory.
    let mut text = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX as usize + 1));
    file.take(FILE_BYTES_MAX).read_to_end(&mut text).map_err(|source| io_error("read", path, source))?;
    parse(&text).ok_or_else(|| MasterKeyError::Damaged(path.to_owned()))
}

pub(super) fn load_or_create(path: &Path) -> Result<AeadKey, MasterKeyError> {
    match load(path) {
        Err(MasterKeyError::Absent(_)) => create(path),
        loaded_or_refused => loaded_or_refused,
    }
}

/// Writes a whole, synced file beside the final name and then links it there. Linking fails when the name is taken, so a
/// key is never overwritten, and the name never stands for half a key. Whoever loses the race reads the winner's key.
fn create(path: &Path) -> Result<AeadKey, MasterKeyError> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let draft = folder.join(format!(".master-key-draft-{}", hex::encode(random_bytes::<8>())));
    let written = write_draft(&draft, &AeadKey::generate());
    let linked = written.and_then(|()| std::fs::hard_link(&draft, path));
    // Whatever happened, the draft has served; one that cannot be removed is a spare name for the same key.
    let _ = std::fs::remove_file(&draft);
    match linked {
        Err(source) if source.kind() != ErrorKind::AlreadyExists => {
            return Err(io_error("create", path, source));
        }
        _ => {}
    }
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| io_error("sync the folder of", path, source))?;
    load(path)
}

fn write_draft(draft: &Path, key: &AeadKey) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    file.write_all(render(key).as_bytes())?;
    file.sync_all()
}

fn render(key: &AeadKey) -> Zeroizing<String> {
    let mut digits = Zeroizing::new([0_u8; 64]);
    hex::encode_to_slice(key.bytes(), digits.as_mut_slice()).expect("64 digits hold 32 bytes");
    let mut line = Zeroizing::new(String::with_capacity(FILE_BYTES_MAX as usize));
    line.push_str(MAGIC);
    line.push(' ');
    line.extend(digits.iter().copied().map(char::from));
    line.push(' ');
    line.push_str(&hex::encode(checksum(key.bytes())));
    line.push('\n');
    line
}

fn parse(text: &[u8]) -> Option<AeadKey> {
    let line = std::str::from_utf8(text).ok()?.strip_suffix('\n')?;
    let (digits, check) = line.strip_prefix(MAGIC)?.strip_prefix(' ')?.split_once(' ')?;
    let mut bytes = Zeroizing::new([0_u8; 32]);
    hex::decode_to_slice(digits, bytes.as_mut_slice()).ok()?;
    (hex::encode(checksum(&bytes)) == check).then(|| AeadKey::from_array(&bytes))
}

fn checksum(bytes: &[u8; 32]) -> [u8; CHECKSUM_BYTES] {
    let digest = mac(bytes, &[b"settla/master-key-checksum/1"]);
    let mut check = [0; CHECKSUM_BYTES];
    check.copy_from_slice(&digest[..CHECKSUM_BYTES]);
    check
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> MasterKeyError {
    MasterKeyError::Io { action, path: path.to_owned(), source }
}
