//! From a presented key to a caller. Whatever is wrong with a key, the answer is the same.

use super::Server;
use settla_port::caller::{Caller, Scope};
use settla_port::error::PortError;
use settla_port::rate_limit::RateLimits;
use settla_store::operator::RateOverrides;
use settla_vault::ApiKey;

pub(super) async fn authenticate(server: &Server, key: &ApiKey) -> Result<Caller, PortError> {
    let environment = server.config.environment;
    if key.environment() != environment {
        return Err(PortError::Unauthenticated);
    }
    for hasher in &server.config.hashers {
        if let Some(found) = server.access.key(hasher.hash(key).as_bytes()).await? {
            let scopes = found.scopes.iter().filter_map(|name| Scope::from_name(name)).collect();
            let limits = rate_limits(&found.rate_limits);
            return Ok(Caller::from_authentication(found.id, found.tenant, environment, scopes, limits));
        }
    }
    Err(PortError::Unauthenticated)
}

fn rate_limits(agreed: &RateOverrides) -> RateLimits {
    let usual = RateLimits::default();
    RateLimits {
        quotes: agreed.quotes.unwrap_or(usual.quotes),
        transfers: agreed.transfers.unwrap_or(usual.transfers),
        treasury_reads: agreed.treasury_reads.unwrap_or(usual.treasury_reads),
        other: agreed.other.unwrap_or(usual.other),
    }
}
