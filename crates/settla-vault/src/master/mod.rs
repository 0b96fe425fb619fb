//! The master key: wraps tenants' keys, and seals what belongs to the installation (the signer's key, webhook secrets).

mod file;

use std::path::Path;

pub use file::MasterKeyError;

use crate::aead::{AeadKey, mac};
use crate::seal::{Dek, OpenError};
use crate::secret::Secret;

/// The key above all others. Held in memory only by the roles that need it; wiped on drop.
#[derive(Debug)]
pub struct MasterKey(AeadKey);

impl MasterKey {
    /// Takes a key that came from elsewhere (a key management service, a test).
    pub fn from_bytes(mut bytes: [u8; 32]) -> Self {
        use zeroize::Zeroize;
        let key = Self(AeadKey::from_array(&bytes));
        bytes.zeroize();
        key
    }

    /// Reads the key file. An absent file is [`MasterKeyError::Absent`]; any other trouble is an error of its own.
    pub fn load(path: &Path) -> Result<Self, MasterKeyError> {
        file::load(path).map(Self)
    }

    /// Reads the key file, or makes it (mode 0600) when there is none. Never overwrites: a file that cannot be read or is
    /// damaged is an error. Safe against a kill at any instant and against two processes starting together. The folder
    /// must exist.
    pub fn load_or_create(path: &Path) -> Result<Self, MasterKeyError> {
        file::load_or_create(path).map(Self)
    }

    /// Wraps a tenant's key for storage.
    pub fn wrap(&self, dek: &Dek, tenant: u32) -> Vec<u8> {
        self.0.seal(&wrap_context(tenant), dek.0.bytes())
    }

    /// Unwraps what [`wrap`](Self::wrap) made for the same tenant.
    pub fn unwrap(&self, wrapped: &[u8], tenant: u32) -> Result<Dek, OpenError> {
        let bytes = self.0.open(&wrap_context(tenant), wrapped)?;
        AeadKey::from_slice(bytes.expose()).map(Dek).ok_or(OpenError::NotAKey)
    }

    /// Seals bytes that belong to the installation. `label` says what they are and where they live, and must be given again
    /// to open them.
    pub fn seal(&self, label: &str, plaintext: &[u8]) -> Vec<u8> {
        self.0.seal(&label_context(label), plaintext)
    }

    /// Opens what [`seal`](Self::seal) made under the same label.
    pub fn open(&self, label: &str, sealed: &[u8]) -> Result<Secret<Vec<u8>>, OpenError> {
        self.0.open(&label_context(label), sealed)
    }

    /// A value that is equal for equal keys and tells nothing of the key: for comparing instances at start.
    pub fn fingerprint(&self) -> String {
        hex::encode(mac(self.0.bytes(), &[b"settla/master-key-fingerprint/1"]))
    }
}

// The two contexts start with different words, so that a wrapped key never opens as a labelled value or the other way.

fn wrap_context(tenant: u32) -> Vec<u8> {
    [b"settla/dek/1\0".as_slice(), &tenant.to_be_bytes()].concat()
}

fn label_context(label: &str) -> Vec<u8> {
    [b"settla/label/1\0".as_slice(), label.as_bytes()].concat()
}

#[cfg(test)]
mod tests;
