//! What the server says when it does not do what was asked. Nothing in here tells of internals; what an
//! operator needs is in the log, under the request id.

use settla_domain::refusal::Refusal;

/// An error for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// A business rule says no.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// A field is not usable.
    #[error("{field}: {message}")]
    Invalid {
        /// JSON pointer without the leading slash, such as `beneficiary/account/iban`.
        field: &'static str,
        /// Stable code, such as `iban_checksum`.
        code: &'static str,
        /// For people.
        message: String,
    },
    /// Nothing of that id belongs to the caller.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The key is not known, revoked, expired or for another environment.
    #[error("the API key is not valid")]
    Unauthenticated,
    /// The key lacks a scope.
    #[error("the API key lacks the scope `{0}`")]
    Forbidden(&'static str),
    /// A provider's webhook is not signed as it must be.
    #[error("the signature is not valid")]
    BadSignature,
    /// The request with this idempotency key is still being carried out.
    #[error("the first request with this Idempotency-Key is still running")]
    InFlight,
    /// The cursor was not made for this list.
    #[error("the cursor is not valid for this list")]
    BadCursor,
    /// Too much is queued already.
    #[error("too busy; try again in a moment")]
    Overloaded,
    /// Something the request needs does not answer.
    #[error("temporarily unavailable; try again in a moment")]
    Unavailable,
    /// A defect on our side.
    #[error("internal error")]
    Internal,
}
