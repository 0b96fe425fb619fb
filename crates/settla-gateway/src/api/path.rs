//! Ids in paths. What is not an id names nothing, so it is not found.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use settla_domain::id::{BatchId, DeliveryId, EndpointId, KeyId, QuoteId, TransferId};
use settla_domain::money::Currency;

use crate::problem::Problem;

/// Something that a path may name.
pub(crate) trait Named: FromStr {
    /// What it is called in `…_not_found`.
    const NAME: &'static str;
}

impl Named for KeyId {
    const NAME: &'static str = "api_key";
}

impl Named for QuoteId {
    const NAME: &'static str = "quote";
}

impl Named for TransferId {
    const NAME: &'static str = "transfer";
}

impl Named for BatchId {
    const NAME: &'static str = "settlement_batch";
}

impl Named for EndpointId {
    const NAME: &'static str = "webhook_endpoint";
}

impl Named for DeliveryId {
    const NAME: &'static str = "webhook_delivery";
}

impl Named for Currency {
    const NAME: &'static str = "position";
}

/// A ledger account's id; the ledger knows its form.
pub(crate) struct LedgerAccountId(pub(super) String);

/// Longer than any account id.
const ACCOUNT_ID_LENGTH_MAX: usize = 64;

impl FromStr for LedgerAccountId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let plausible = text.len() <= ACCOUNT_ID_LENGTH_MAX && text.bytes().all(|b| b.is_ascii_graphic());
        if plausible { Ok(Self(text.to_owned())) } else { Err(()) }
    }
}

impl Named for LedgerAccountId {
    const NAME: &'static str = "ledger_account";
}

/// The only parameter of the path.
pub(crate) struct InPath<T>(pub(super) T);

impl<T: Named, S: Send + Sync> FromRequestParts<S> for InPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        let parsed = text.ok().and_then(|Path(text)| text.parse().ok());
        parsed.map(Self).ok_or_else(|| Problem::not_found(T::NAME))
    }
}
