//! From a presented key to a caller. Whatever is wrong with a key, the answer is the same.

use super::Server;
use ipnet::IpNet;
use settla_port::caller::{Authenticated, Caller, Scope};
use settla_port::error::PortError;
use settla_port::rate_limit::RateLimits;
use settla_store::operator::RateOverrides;
use settla_store::read::KeyMatch;
use settla_vault::{ApiKey, Environment};

pub(super) async fn authenticate(server: &Server, key: &ApiKey) -> Result<Caller, PortError> {
    let environment = server.config.environment;
    if key.environment() != environment {
        return Err(PortError::Unauthenticated);
    }
    for hasher in &server.config.hashers {
        let hash = hasher.hash(key);
        if let Some(found) = server.access.key(hash.as_bytes()).await? {
            server.key_uses.note(found.id);
            // The first one signs: a key that is found under another one is hashed anew, so that the other can go.
            if let Some(present) = server.config.hashers.first().filter(|first| first.version() > hash.version()) {
                server.key_uses.note_older_hash(&hash, &present.hash(key));
            }
            return caller(environment, &found).map(Caller::from_authentication);
        }
    }
    Err(PortError::Unauthenticated)
}

fn caller(environment: Environment, found: &KeyMatch) -> Result<Authenticated, PortError> {
    // A network that cannot be read must not be left out: without any, the key could be used from anywhere.
    let networks = found.allowed_ips.iter().map(|network| network.parse());
    let allowed_ips = networks.collect::<Result<Vec<IpNet>, _>>().map_err(|_| {
        tracing::error!(key = %found.id, "a network of a key cannot be read");
        PortError::Internal
    })?;
    Ok(Authenticated {
        key: found.id,
        tenant: found.tenant,
        environment,
        scopes: found.scopes.iter().filter_map(|name| Scope::from_name(name)).collect(),
        allowed_ips,
        expires_at: found.expires_at,
        rate_limits: rate_limits(&found.rate_limits),
    })
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
