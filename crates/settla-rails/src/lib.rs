//! The rails: ports for the on-ramp, the off-ramp, the bank and the price feed, with their HTTP adapters, and
//! the check of token movements on chain.
//!
//! A call to a provider costs one request with a time-out. Every answer has three values: taken (or known),
//! definitely refused, unknown; what is not clearly one of the first two is unknown. This crate never touches
//! the database and never decides what an outcome means for a transfer.

pub mod bank;
pub mod chain;
pub mod event;
pub mod fx;
mod guard;
pub mod http;
mod kept;
pub mod off_ramp;
mod offer;
pub mod on_ramp;
pub mod router;
mod wire;

pub use guard::CIRCUIT_OPEN_METRIC;
pub use offer::Offer;

/// What a provider said to a request to start something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Started<T> {
    /// It has taken it; this is how it stands.
    Taken(T),
    /// It definitely has not taken it and will not. The reason is a stable code.
    Refused(String),
    /// No usable answer: it may or may not have taken it.
    Unknown,
}

/// What a provider said to an enquiry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enquired<T> {
    /// It knows of it; this is how it stands.
    Known(T),
    /// It does not know of it now. Whether a request is still on its way is for the caller to judge.
    NotFound,
    /// No usable answer.
    Unknown,
}

/// What a provider promises about its interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderTerms {
    /// Until this long after a request was sent, "not found" proves nothing.
    pub acceptance_delay_ms: i64,
    /// For how long a repeat with the same key is recognised.
    pub idempotency_lifetime_ms: i64,
    /// Where tokens for it go, on chain.
    pub deposit_address: Option<settla_evm::Address>,
    /// Where its tokens come from, on chain.
    pub treasury_address: Option<settla_evm::Address>,
}

/// A port could not be used at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RailError {
    /// No usable answer.
    #[error("{0} does not answer")]
    Unavailable(String),
    /// The answer does not follow the contract.
    #[error("{0} answered against its contract")]
    Malformed(String),
}
