//! Standard Webhooks 1.0.0, symmetric signatures (`v1`, HMAC-SHA256), for sending and for receiving.
//!
//! The signed content is `{id}.{timestamp}.{raw body}`. The id stays the same over retries, the timestamp is that of the
//! attempt. The body is the bytes on the wire: sign and verify before anything parses them.

mod secret;
mod verify;

pub use secret::{SecretError, WebhookSecret};
pub use verify::{VerifyError, WebhookHeaders, verify};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::aead::mac;

/// Header with the message's id.
pub const HEADER_ID: &str = "webhook-id";
/// Header with the Unix seconds of this attempt.
pub const HEADER_TIMESTAMP: &str = "webhook-timestamp";
/// Header with the signatures, separated by spaces.
pub const HEADER_SIGNATURE: &str = "webhook-signature";
/// The clock difference that the official libraries allow, both ways.
pub const TOLERANCE_S: u64 = 300;

/// The signature of one message, `v1,…`. While a secret is being rotated, sign with both and join with a space.
///
/// An id with a `.` in it gives a signature that [`verify`] refuses, as the standard demands.
pub fn sign(secret: &WebhookSecret, id: &str, timestamp_s: i64, body: &[u8]) -> String {
    format!("v1,{}", STANDARD.encode(digest(secret, id, &timestamp_s.to_string(), body)))
}

fn digest(secret: &WebhookSecret, id: &str, timestamp: &str, body: &[u8]) -> [u8; 32] {
    mac(secret.bytes(), &[id.as_bytes(), b".", timestamp.as_bytes(), b".", body])
}

#[cfg(test)]
mod tests;
