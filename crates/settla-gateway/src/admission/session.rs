//! From the `Authorization` header to a caller in one of the worlds.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use settla_port::Platform;
use settla_port::caller::{Caller, Scope};
use settla_vault::ApiKey;

use crate::gateway::Gateway;
use crate::problem::Problem;

/// An authenticated caller and the world of its key. Only admission makes one, so a handler that takes it cannot run
/// without a key that may do this.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) platform: Arc<dyn Platform>,
    pub(crate) caller: Caller,
}

impl Session {
    /// Resolves the key. Whatever is wrong with it, the answer is the same.
    pub(super) async fn open(gateway: &Gateway, headers: &HeaderMap) -> Result<Self, Problem> {
        let key = bearer(headers)?;
        let platform = gateway.world(key.environment()).ok_or_else(refused)?;
        let caller = platform.authenticate(&key).await?;
        if caller.environment() != key.environment() {
            tracing::error!("a key was resolved in the wrong environment");
            return Err(refused());
        }
        let span = tracing::Span::current();
        span.record("tenant", caller.tenant().0);
        span.record("environment", caller.environment().as_str());
        Ok(Self { platform: platform.clone(), caller })
    }

    /// Says neither from where the key may be used nor from where it was: whoever has found a key learns no more of it.
    pub(super) fn require_address(&self, address: IpAddr) -> Result<(), Problem> {
        if self.caller.may_come_from(address) { Ok(()) } else { Err(Problem::address_not_allowed()) }
    }

    pub(super) fn require(&self, scope: Scope) -> Result<(), Problem> {
        if self.caller.may(scope) { Ok(()) } else { Err(Problem::forbidden(scope.name())) }
    }
}

/// The key from the one place where it may be: a query string or a cookie would end up in logs.
fn bearer(headers: &HeaderMap) -> Result<ApiKey, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Err(Problem::unauthenticated("Bearer", "Send your API key as `Authorization: Bearer sk_…`."));
    };
    if values.next().is_some() {
        return Err(refused());
    }
    let (scheme, key) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(refused)?;
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Err(refused());
    }
    ApiKey::parse(key).map_err(|_| refused())
}

fn refused() -> Problem {
    settla_port::error::PortError::Unauthenticated.into()
}

impl<S: Sync> FromRequestParts<S> for Session {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            tracing::error!("a handler asks for a session on a route without a key");
            Problem::internal()
        })
    }
}
