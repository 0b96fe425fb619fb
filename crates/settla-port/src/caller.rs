//! Who is calling, and what a mutation carries besides its body.

use crate::rate_limit::{RateClass, RateLimits};
use serde::Serialize;
use settla_domain::id::{KeyId, TenantId};
use settla_domain::tenant::TenantNo;
use settla_vault::Environment;
use utoipa::ToSchema;

/// What an API key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
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

/// An authenticated caller. Only [`Platform::authenticate`](crate::Platform::authenticate) makes one, so a
/// tenant cannot come from anywhere else.
#[derive(Debug, Clone)]
pub struct Caller {
    key: KeyId,
    tenant: TenantNo,
    environment: Environment,
    scopes: Vec<Scope>,
    rate_limits: RateLimits,
}

impl Caller {
    /// For the implementation of `authenticate` alone.
    pub fn from_authentication(
        key: KeyId,
        tenant: TenantNo,
        environment: Environment,
        scopes: Vec<Scope>,
        rate_limits: RateLimits,
    ) -> Self {
        Self { key, tenant, environment, scopes, rate_limits }
    }

    /// The key that was presented.
    pub fn key(&self) -> KeyId {
        self.key
    }

    /// The tenant that the key belongs to.
    pub fn tenant(&self) -> TenantNo {
        self.tenant
    }

    /// The world that the key is for.
    pub fn environment(&self) -> Environment {
        self.environment
    }

    /// Whether the key may be used for this.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// All scopes of the key.
    pub fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    /// What the tenant may ask in a minute.
    pub fn rate_limits(&self) -> &RateLimits {
        &self.rate_limits
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
