//! Sealing one field of one row under a tenant's key.
//!
//! What a value belongs to (tenant, table, row, field) is authenticated with it and not stored: a ciphertext that was moved
//! to another row, field or tenant does not open.

use thiserror::Error;
use uuid::Uuid;

use crate::aead::AeadKey;
use crate::pii::Pii;
use crate::secret::Secret;

/// The key that seals one tenant's fields; stored only wrapped by the [`MasterKey`](crate::MasterKey).
#[derive(Debug)]
pub struct Dek(pub(crate) AeadKey);

impl Dek {
    /// A new random key.
    pub fn generate() -> Self {
        Self(AeadKey::generate())
    }
}

/// Where a sealed value belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aad<'a> {
    /// The tenant's number.
    pub tenant: u32,
    /// The table that holds the value.
    pub table: &'a str,
    /// The row's id.
    pub row: Uuid,
    /// The column, or the name of the member inside it.
    pub field: &'a str,
}

impl Aad<'_> {
    /// Fixed-width numbers and length-prefixed text: two different places never encode to the same bytes.
    fn encode(&self) -> Vec<u8> {
        let mut out = b"settla/field/1\0".to_vec();
        out.extend_from_slice(&self.tenant.to_be_bytes());
        push_text(&mut out, self.table);
        out.extend_from_slice(self.row.as_bytes());
        push_text(&mut out, self.field);
        out
    }
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u64).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Why a sealed value did not open. Says nothing of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OpenError {
    /// Shorter than any sealed value.
    #[error("sealed value is too short")]
    TooShort,
    /// Written in a format that this build does not know.
    #[error("sealed value has unknown format {0}")]
    UnknownFormat(u8),
    /// Sealed under another key than the one given.
    #[error("sealed value was made with another key")]
    OtherKey,
    /// Damaged, or moved from the place it was sealed for.
    #[error("sealed value is damaged or does not belong here")]
    Refused,
    /// Opened, but what is inside is not a key of 32 bytes.
    #[error("sealed value holds no key")]
    NotAKey,
    /// Opened, but what is inside is not UTF-8 text.
    #[error("sealed value holds no text")]
    NotText,
}

/// Seals `plaintext` for the place that `aad` names. Adds 33 bytes. The same value sealed twice differs.
pub fn seal(dek: &Dek, aad: &Aad<'_>, plaintext: &[u8]) -> Vec<u8> {
    dek.0.seal(&aad.encode(), plaintext)
}

/// Opens what [`seal`] made for the same place under the same key.
pub fn open(dek: &Dek, aad: &Aad<'_>, sealed: &[u8]) -> Result<Secret<Vec<u8>>, OpenError> {
    dek.0.open(&aad.encode(), sealed)
}

/// Opens a text field of personal data, straight into the type that masks it.
pub fn open_pii<Shown>(dek: &Dek, aad: &Aad<'_>, sealed: &[u8]) -> Result<Pii<String, Shown>, OpenError> {
    let bytes = open(dek, aad, sealed)?;
    let text = std::str::from_utf8(bytes.expose()).map_err(|_| OpenError::NotText)?;
    Ok(Pii::new(text.to_owned()))
}

#[cfg(test)]
mod tests;
