//! Checking a received message.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::{Choice, ConstantTimeEq};
use thiserror::Error;

use super::{HEADER_ID, HEADER_SIGNATURE, HEADER_TIMESTAMP, WebhookSecret, digest};

const ID_BYTES_MAX: usize = 256;
const SIGNATURE_HEADER_BYTES_MAX: usize = 4096;
const SIGNATURES_MAX: usize = 16;
/// Enough digits for any time an `i64` of seconds is ever asked to hold here.
const TIMESTAMP_DIGITS_MAX: usize = 12;

/// The three headers, as received.
#[derive(Debug, Clone, Copy, Default)]
pub struct WebhookHeaders<'a> {
    /// `webhook-id`
    pub id: Option<&'a str>,
    /// `webhook-timestamp`
    pub timestamp: Option<&'a str>,
    /// `webhook-signature`
    pub signature: Option<&'a str>,
}

/// Why a message is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum VerifyError {
    /// No secret was given to check with.
    #[error("no webhook secret is set up")]
    NoSecret,
    /// A header is absent.
    #[error("header {0} is missing")]
    MissingHeader(&'static str),
    /// The id is empty, too long, or has a character that an id cannot have (`.` above all).
    #[error("header webhook-id is malformed")]
    MalformedId,
    /// The timestamp is not a plain number of seconds.
    #[error("header webhook-timestamp is malformed")]
    MalformedTimestamp,
    /// Sent too long ago: late, or replayed.
    #[error("message is too old")]
    TooOld,
    /// From the future.
    #[error("message is from the future")]
    TooNew,
    /// The signature header is too long or holds too many signatures.
    #[error("header webhook-signature is too long")]
    TooManySignatures,
    /// No signature of version `v1`.
    #[error("no signature of a version in use")]
    NoSupportedSignature,
    /// No `v1` signature has the form of one: empty, truncated, not base64.
    #[error("signature is malformed")]
    MalformedSignature,
    /// Well formed, and not ours.
    #[error("signature does not match")]
    Mismatch,
}

/// Accepts the message if any of its `v1` signatures was made with any of the secrets (both sides may be rotating), and its
/// timestamp is at most `tolerance_s` away from `now_s`. Replays within the tolerance are the caller's to refuse, by id.
pub fn verify(
    secrets: &[WebhookSecret],
    headers: &WebhookHeaders<'_>,
    body: &[u8],
    now_s: i64,
    tolerance_s: u64,
) -> Result<(), VerifyError> {
    if secrets.is_empty() {
        return Err(VerifyError::NoSecret);
    }
    let id = headers.id.ok_or(VerifyError::MissingHeader(HEADER_ID))?;
    let timestamp = headers.timestamp.ok_or(VerifyError::MissingHeader(HEADER_TIMESTAMP))?;
    let signature = headers.signature.ok_or(VerifyError::MissingHeader(HEADER_SIGNATURE))?;
    check_id(id)?;
    check_time(parse_timestamp(timestamp)?, now_s, tolerance_s)?;

    let candidates = parse_signatures(signature)?;
    let mut matched = Choice::from(0);
    for secret in secrets {
        let expected = digest(secret, id, timestamp, body);
        for candidate in &candidates {
            matched |= expected.ct_eq(candidate);
        }
    }
    if bool::from(matched) { Ok(()) } else { Err(VerifyError::Mismatch) }
}

fn check_id(id: &str) -> Result<(), VerifyError> {
    let well_formed =
        !id.is_empty() && id.len() <= ID_BYTES_MAX && id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'.');
    if well_formed { Ok(()) } else { Err(VerifyError::MalformedId) }
}

/// Digits only: `parse` alone would take a sign.
fn parse_timestamp(text: &str) -> Result<i64, VerifyError> {
    let plain = text.len() <= TIMESTAMP_DIGITS_MAX && text.bytes().all(|byte| byte.is_ascii_digit());
    if !plain {
        return Err(VerifyError::MalformedTimestamp);
    }
    text.parse().map_err(|_| VerifyError::MalformedTimestamp)
}

fn check_time(timestamp_s: i64, now_s: i64, tolerance_s: u64) -> Result<(), VerifyError> {
    if timestamp_s.abs_diff(now_s) <= tolerance_s {
        Ok(())
    } else if timestamp_s < now_s {
        Err(VerifyError::TooOld)
    } else {
        Err(VerifyError::TooNew)
    }
}

/// The well-formed `v1` signatures, at least one. Other versions are passed over, and so are malformed ones beside a good
/// one: the sender may be rotating to something newer.
fn parse_signatures(header: &str) -> Result<Vec<[u8; 32]>, VerifyError> {
    if header.len() > SIGNATURE_HEADER_BYTES_MAX || header.split(' ').count() > SIGNATURES_MAX {
        return Err(VerifyError::TooManySignatures);
    }
    let mut supported = 0;
    let mut signatures = Vec::new();
    for encoded in header.split(' ').filter_map(|item| item.strip_prefix("v1,")) {
        supported += 1;
        // An array of 32 bytes, so that an empty or truncated signature can never be compared at all.
        let decoded = STANDARD.decode(encoded).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        signatures.extend(decoded);
    }
    match (supported, signatures.is_empty()) {
        (0, _) => Err(VerifyError::NoSupportedSignature),
        (_, true) => Err(VerifyError::MalformedSignature),
        _ => Ok(signatures),
    }
}
