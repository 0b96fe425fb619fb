//! AES-256-GCM under one key: the format that every sealed value here shares.
//!
//! ```text
//! 1 byte format (1) | 4 bytes key id | 12 bytes random nonce | ciphertext | 16 bytes tag
//! ```
//!
//! The key id is derived from the key, so that "sealed under another key" (a wrong key file, a key that was rotated) can be
//! told from "damaged or moved". Format and key id are part of what the tag authenticates.
//!
//! Random 96-bit nonces bound a key to 2^32 values (chance of a repeat 2^-32). A key serves one tenant's fields, or one
//! installation's files and wrapped keys; both stay far below.

use std::fmt;

use aes_gcm::aead::AeadInPlace;
use aes_gcm::{Aes256Gcm, KeyInit, Nonce, Tag};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroize;

use crate::random::{fill_random, random_bytes};
use crate::seal::OpenError;
use crate::secret::Secret;

const FORMAT: u8 = 1;
const KEY_ID_BYTES: usize = 4;
const HEADER_BYTES: usize = 1 + KEY_ID_BYTES;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
/// Bytes that sealing adds to a value.
pub(crate) const OVERHEAD_BYTES: usize = HEADER_BYTES + NONCE_BYTES + TAG_BYTES;

/// A 256-bit key, kept in one place on the heap so that moving the owner leaves no copies behind.
pub(crate) struct AeadKey {
    bytes: Box<[u8; 32]>,
    id: [u8; KEY_ID_BYTES],
}

impl AeadKey {
    pub(crate) fn generate() -> Self {
        let mut bytes = Box::new([0; 32]);
        fill_random(bytes.as_mut_slice());
        Self::from_box(bytes)
    }

    pub(crate) fn from_array(array: &[u8; 32]) -> Self {
        let mut bytes = Box::new([0; 32]);
        bytes.copy_from_slice(array);
        Self::from_box(bytes)
    }

    /// `None` unless there are exactly 32 bytes.
    pub(crate) fn from_slice(slice: &[u8]) -> Option<Self> {
        slice.try_into().ok().map(Self::from_array)
    }

    fn from_box(bytes: Box<[u8; 32]>) -> Self {
        let digest = mac(bytes.as_slice(), &[b"settla/key-id/1"]);
        let mut id = [0; KEY_ID_BYTES];
        id.copy_from_slice(&digest[..KEY_ID_BYTES]);
        Self { bytes, id }
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    fn header(&self) -> [u8; HEADER_BYTES] {
        let mut header = [FORMAT; HEADER_BYTES];
        header[1..].copy_from_slice(&self.id);
        header
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(self.bytes.as_ref().into())
    }

    pub(crate) fn seal(&self, context: &[u8], plaintext: &[u8]) -> Vec<u8> {
        let header = self.header();
        let nonce: [u8; NONCE_BYTES] = random_bytes();
        // The exact capacity: growing later would leave the plaintext behind in freed memory.
        let mut out = Vec::with_capacity(plaintext.len() + OVERHEAD_BYTES);
        out.extend_from_slice(&header);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(plaintext);
        let tag = self
            .cipher()
            .encrypt_in_place_detached(
                Nonce::from_slice(&nonce),
                &authenticated(&header, context),
                &mut out[HEADER_BYTES + NONCE_BYTES..],
            )
            .expect("AES-GCM refuses only values over 64 GiB");
        out.extend_from_slice(&tag);
        out
    }

    pub(crate) fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Secret<Vec<u8>>, OpenError> {
        if sealed.len() < OVERHEAD_BYTES {
            return Err(OpenError::TooShort);
        }
        let (header, rest) = sealed.split_at(HEADER_BYTES);
        if header[0] != FORMAT {
            return Err(OpenError::UnknownFormat(header[0]));
        }
        if header[1..] != self.id {
            return Err(OpenError::OtherKey);
        }
        let (nonce, rest) = rest.split_at(NONCE_BYTES);
        let (ciphertext, tag) = rest.split_at(rest.len() - TAG_BYTES);
        let mut plaintext = ciphertext.to_vec();
        self.cipher()
            .decrypt_in_place_detached(
                Nonce::from_slice(nonce),
                &authenticated(header, context),
                &mut plaintext,
                Tag::from_slice(tag),
            )
            .map_err(|_| OpenError::Refused)?;
        Ok(Secret::new(plaintext))
    }
}

impl Drop for AeadKey {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl fmt::Debug for AeadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

fn authenticated(header: &[u8], context: &[u8]) -> Vec<u8> {
    [header, context].concat()
}

/// HMAC-SHA256 over the parts, one after the other.
pub(crate) fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}
