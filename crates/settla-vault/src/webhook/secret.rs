//! The secret that one endpoint shares with its sender.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::random::fill_random;
use crate::secret::Secret;

const PREFIX: &str = "whsec_";
const BYTES_MIN: usize = 24;
const BYTES_MAX: usize = 64;
/// Base64 digits and padding of the longest secret.
const ENCODED_MAX: usize = BYTES_MAX.div_ceil(3) * 4;
const BYTES_GENERATED: usize = 32;

/// The text is not a webhook secret. Does not quote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SecretError {
    /// It does not start with `whsec_`.
    #[error("a webhook secret starts with whsec_")]
    Prefix,
    /// What follows is not standard base64 with padding.
    #[error("a webhook secret is whsec_ and standard base64 with padding")]
    Base64,
    /// It stands for too few or too many bytes.
    #[error("a webhook secret has 24 to 64 bytes")]
    Length,
}

/// A symmetric webhook secret: `whsec_` and 24 to 64 bytes in base64. One an endpoint. Does not print, wiped on drop.
#[derive(Debug, Clone)]
pub struct WebhookSecret(Secret<Vec<u8>>);

impl WebhookSecret {
    /// A new one of 32 random bytes.
    pub fn generate() -> Self {
        let mut bytes = vec![0; BYTES_GENERATED];
        fill_random(&mut bytes);
        Self(Secret::new(bytes))
    }

    /// Reads the `whsec_` text.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let encoded = text.strip_prefix(PREFIX).ok_or(SecretError::Prefix)?;
        if encoded.len() > ENCODED_MAX {
            return Err(SecretError::Length);
        }
        // Decoded into a buffer that is wiped whatever comes.
        let mut buffer = Zeroizing::new([0; ENCODED_MAX]);
        let length = STANDARD.decode_slice(encoded, buffer.as_mut_slice()).map_err(|_| SecretError::Base64)?;
        Self::from_bytes(&buffer[..length])
    }

    /// From the bare bytes, as they come out of sealed storage.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SecretError> {
        if !(BYTES_MIN..=BYTES_MAX).contains(&bytes.len()) {
            return Err(SecretError::Length);
        }
        Ok(Self(Secret::new(bytes.to_vec())))
    }

    /// The bare bytes, to be sealed before they are stored.
    pub fn bytes(&self) -> &[u8] {
        self.0.expose()
    }

    /// The `whsec_` text, to be shown to the endpoint's owner once.
    pub fn expose(&self) -> Secret<String> {
        // The exact capacity: growing would leave a part of the secret in freed memory.
        let mut text = String::with_capacity(PREFIX.len() + ENCODED_MAX);
        text.push_str(PREFIX);
        STANDARD.encode_string(self.bytes(), &mut text);
        Secret::new(text)
    }
}
