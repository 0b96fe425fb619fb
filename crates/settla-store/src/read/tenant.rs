//! The tenant itself and its keys.

use crate::StoreError;
use crate::batch::tenant_terms;
use crate::operator::RateOverrides;
use crate::row::{tenant, tenant_i32};
use crate::tenant_tx;
use settla_domain::id::{KeyId, TenantId};
use settla_domain::tenant::{TenantNo, TenantTerms};
use sqlx::Row;
use sqlx::postgres::PgPool;

/// A key that exists, is not revoked and not expired.
#[derive(Debug, Clone)]
pub struct KeyMatch {
    /// The key.
    pub id: KeyId,
    /// Whose.
    pub tenant: TenantNo,
    /// Scopes.
    pub scopes: Vec<String>,
    /// What was agreed instead of the usual limits.
    pub rate_limits: RateOverrides,
}

/// Looks a key up by its hash.
pub async fn find_api_key(app: &PgPool, hash: &[u8], environment: &str) -> Result<Option<KeyMatch>, StoreError> {
    let row =
        sqlx::query("SELECT * FROM find_api_key($1, $2)").bind(hash).bind(environment).fetch_optional(app).await?;
    row.map(|r| {
        Ok(KeyMatch {
            id: KeyId(r.try_get("id")?),
            tenant: tenant(&r)?,
            scopes: r.try_get("scopes")?,
            rate_limits: RateOverrides::of(&r)?,
        })
    })
    .transpose()
}

/// A tenant with what was agreed.
#[derive(Debug, Clone)]
pub struct TenantProfile {
    /// Public id.
    pub id: TenantId,
    /// Name.
    pub name: String,
    /// Prices, limits and status.
    pub terms: TenantTerms,
    /// The tenant's data encryption key, wrapped by the master key.
    pub dek_wrapped: Vec<u8>,
}

/// The tenant's own profile.
pub async fn profile(app: &PgPool, number: TenantNo) -> Result<Option<TenantProfile>, StoreError> {
    let mut tx = tenant_tx::begin(app, number).await?;
    let row = sqlx::query(
        "SELECT t.public_id, t.name, t.status, t.spread_bps, t.dek_wrapped,
                (SELECT coalesce(jsonb_object_agg(f.currency, to_jsonb(f)), '{}') FROM fee_schedules f WHERE f.tenant = t.tenant) AS fees,
                (SELECT coalesce(jsonb_object_agg(m.currency, to_jsonb(m)), '{}') FROM limits m WHERE m.tenant = t.tenant) AS limits
         FROM tenants t WHERE t.tenant = $1",
    )
    .bind(tenant_i32(number))
    .fetch_optional(&mut *tx)
    .await?;
    row.map(|r| {
        Ok(TenantProfile {
            id: TenantId(r.try_get("public_id")?),
            name: r.try_get("name")?,
            terms: tenant_terms(&r)?,
            dek_wrapped: r.try_get("dek_wrapped")?,
        })
    })
    .transpose()
}
