//! Who is calling, and what a mutation carries besides its body.

use crate::rate_limit::{RateClass, RateLimits};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use settla_domain::id::{KeyId, TenantId};
use settla_domain::tenant::TenantNo;
use settla_domain::time::Timestamp;
use settla_vault::Environment;
use std::net::IpAddr;
use std::sync::Arc;
use utoipa::ToSchema;

/// What an API key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All reads without personal data.
    Read,
    /// Making quotes.
    Quotes,
    /// Making and cancelling transfers.
    Transfers,
    /// Top-ups and withdrawals.
    Treasury,
    /// Webhook endpoints.
    Webhooks,
    /// API keys.
    Keys,
    /// Personal data in clear.
    Pii,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Scope; 7] =
        [Self::Read, Self::Quotes, Self::Transfers, Self::Treasury, Self::Webhooks, Self::Keys, Self::Pii];

    /// Name as stored and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Quotes => "quotes",
            Self::Transfers => "transfers",
            Self::Treasury => "treasury",
            Self::Webhooks => "webhooks",
            Self::Keys => "keys",
            Self::Pii => "pii",
        }
    }

    /// From its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }
}

/// What a key turned out to be.
#[derive(Debug)]
pub struct Authenticated {
    /// The key that was presented.
    pub key: KeyId,
    /// The tenant that it belongs to.
    pub tenant: TenantNo,
    /// The world that it is for.
    pub environment: Environment,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// The networks that it may be used from; any if there is none.
    pub allowed_ips: Vec<IpNet>,
    /// From when on it is no key any more.
    pub expires_at: Option<Timestamp>,
    /// What its tenant may ask in a minute.
    pub rate_limits: RateLimits,
}

/// An authenticated caller. Only [`Platform::authenticate`](crate::Platform::authenticate) makes one, so a
/// tenant cannot come from anywhere else.
#[derive(Debug, Clone)]
pub struct Caller(Arc<Authenticated>);

impl Caller {
    /// For the implementation of `authenticate` alone.
    pub fn from_authentication(authenticated: Authenticated) -> Self {
        Self(Arc::new(authenticated))
    }

    /// The key that was presented.
    pub fn key(&self) -> KeyId {
        self.0.key
    }

    /// The tenant that the key belongs to.
    pub fn tenant(&self) -> TenantNo {
        self.0.tenant
    }

    /// The world that the key is for.
    pub fn environment(&self) -> Environment {
        self.0.environment
    }

    /// Whether the key may be used for this.
    pub fn may(&self, scope: Scope) -> bool {
        self.0.scopes.contains(&scope)
    }

    /// All scopes of the key.
    pub fn scopes(&self) -> &[Scope] {
        &self.0.scopes
    }

    /// Whether the key may be used from this address.
    pub fn may_come_from(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.allowed_ips.is_empty() || self.0.allowed_ips.iter().any(|network| network.contains(&address))
    }

    /// The networks that the key may be used from; any if there is none.
    pub fn allowed_ips(&self) -> &[IpNet] {
        &self.0.allowed_ips
    }

    /// From when on the key is none any more.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.0.expires_at
    }

    /// What the tenant may ask in a minute.
    pub fn rate_limits(&self) -> &RateLimits {
        &self.0.rate_limits
    }
}

/// What every mutation carries besides its body.
#[derive(Debug, Clone)]
pub struct Mutation {
    /// The `Idempotency-Key`, unquoted, 1 to 255 visible ASCII characters.
    pub idempotency_key: String,
    /// SHA-256 over method, path, query and body: the same key with another one is a conflict.
    pub fingerprint: [u8; 32],
    /// The request's id, for logs and audit.
    pub request_id: String,
}

/// An answer to a mutation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply<T> {
    /// The answer, as it was the first time.
    pub value: T,
    /// Whether an earlier request with this key had been carried out.
    pub replayed: bool,
}

/// `GET /v1/me`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Me {
    /// The tenant.
    #[schema(value_type = String, example = "tn_01939d2a7f0e7c4e9a53a1c2b3d4e5f6")]
    pub tenant_id: TenantId,
    /// Its name.
    #[schema(example = "Lemfi")]
    pub name: String,
    /// `onboarding`, `active`, `suspended` or `closed`.
    #[schema(example = "active")]
    pub status: String,
    /// `live` or `test`.
    #[schema(example = "test")]
    pub environment: String,
    /// The key used.
    #[schema(value_type = String, example = "key_01939d2a7f0e7c4e9a53a1c2b3d4e5f6")]
    pub key_id: KeyId,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// The tenant's fees by source currency.
    pub fees: Vec<FeeView>,
    /// The tenant's limits by source currency.
    pub limits: Vec<LimitView>,
    /// Requests that the tenant may make in a minute.
    pub rate_limits: Vec<RateLimitView>,
}

/// Requests a minute of one class, over all keys of the tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RateLimitView {
    /// The class, as in the `RateLimit` field.
    #[schema(value_type = String, example = "quotes")]
    pub class: RateClass,
    /// Requests in any minute.
    #[schema(example = 1000)]
    pub per_minute: u32,
}

impl RateLimitView {
    /// All classes.
    pub fn all(limits: &RateLimits) -> Vec<Self> {
        RateClass::ALL.iter().map(|class| Self { class: *class, per_minute: limits.of(*class) }).collect()
    }
}

/// Fees in one source currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FeeView {
    /// The currency, which also counts the amounts.
    #[schema(example = "GBP")]
    pub currency: String,
    /// Basis points of the on-ramp leg.
    pub on_ramp_bps: u16,
    /// Basis points of the off-ramp leg.
    pub off_ramp_bps: u16,
    /// The least that a transfer costs, decimal.
    #[schema(example = "0.50")]
    pub minimum: String,
    /// The most that a transfer costs, decimal.
    #[schema(example = "250.00")]
    pub maximum: String,
}

/// Limits in one source currency, decimal amounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LimitView {
    /// The currency.
    #[schema(example = "GBP")]
    pub currency: String,
    /// One transfer.
    pub per_transfer: String,
    /// One UTC day.
    pub per_day: String,
    /// All transfers that have not ended.
    pub pending: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_key_is_used_from_its_networks_alone() {
        let caller = |networks: &[&str]| {
            Caller::from_authentication(Authenticated {
                key: KeyId(Uuid::nil()),
                tenant: TenantNo(1),
                environment: Environment::Test,
                scopes: Vec::new(),
                allowed_ips: networks.iter().map(|network| network.parse().unwrap()).collect(),
                expires_at: None,
                rate_limits: RateLimits::default(),
            })
        };
        let from = |networks: &[&str], address: &str| caller(networks).may_come_from(address.parse().unwrap());
        assert!(from(&[], "198.51.100.7") && from(&[], "2001:db8::1"));
        let networks = ["203.0.113.0/24", "192.0.2.7/32", "2001:db8:1::/48"];
        for inside in ["203.0.113.0", "203.0.113.255", "192.0.2.7", "2001:db8:1:ffff::1", "::ffff:203.0.113.9"] {
            assert!(from(&networks, inside), "{inside}");
        }
        for outside in ["203.0.112.255", "203.0.114.0", "192.0.2.6", "2001:db8:2::", "::ffff:192.0.2.8", "::1"] {
            assert!(!from(&networks, outside), "{outside}");
        }
    }
}
