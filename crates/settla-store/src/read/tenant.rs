//! The tenant itself and its keys.

use crate::StoreError;
use crate::batch::tenant_terms;
use crate::bounded::BoundedPool;
use crate::operator::RateOverrides;
use crate::row::{maybe_at, tenant, tenant_i32};
use crate::tenant_tx;
use settla_domain::id::{KeyId, TenantId};
use settla_domain::tenant::{TenantNo, TenantTerms};
use settla_domain::time::Timestamp;
use sqlx::Row;
use std::collections::{BTreeSet, HashMap};

/// A key that exists, is not revoked and not expired.
#[derive(Debug, Clone)]
pub struct KeyMatch {
    /// The key.
    pub id: KeyId,
    /// Whose.
    pub tenant: TenantNo,
    /// Scopes.
    pub scopes: Vec<String>,
    /// The networks that it may be used from, in CIDR notation; any if there is none.
    pub allowed_ips: Vec<String>,
    /// Until when it is one.
    pub expires_at: Option<Timestamp>,
    /// What was agreed instead of the usual limits.
    pub rate_limits: RateOverrides,
}

/// Looks keys up by their hashes, in one round trip however many there are. Those that are not good are left out.
pub async fn find_api_keys(
    app: &BoundedPool,
    hashes: &[&[u8]],
    environment: &str,
) -> Result<HashMap<Vec<u8>, KeyMatch>, StoreError> {
    let rows = sqlx::query("SELECT * FROM find_api_keys($1, $2)").bind(hashes).bind(environment).fetch_all(app).await?;
    rows.iter()
        .map(|r| {
            let found = KeyMatch {
                id: KeyId(r.try_get("id")?),
                tenant: tenant(r)?,
                scopes: r.try_get("scopes")?,
                allowed_ips: r.try_get("allowed_ips")?,
                expires_at: maybe_at(r, "expires_at")?,
                rate_limits: RateOverrides::of(r)?,
            };
            Ok((r.try_get("hash")?, found))
        })
        .collect()
}

/// The number that every change to keys, or to what comes with them, moves up. It is read before what is to be remembered.
pub async fn access_revision(app: &BoundedPool) -> Result<i64, StoreError> {
    let row = sqlx::query("SELECT revision FROM access_revision").fetch_one(app).await?;
    Ok(row.try_get("revision")?)
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

/// Tenants' profiles, in three round trips however many there are. `runner` is the role that sees several tenants at once:
/// those that it is opened to.
pub async fn profiles(
    runner: &BoundedPool,
    tenants: &BTreeSet<TenantNo>,
) -> Result<HashMap<TenantNo, TenantProfile>, StoreError> {
    let mut tx = tenant_tx::begin_for(runner, tenants).await?;
    let rows = sqlx::query(
        "SELECT t.tenant, t.public_id, t.name, t.status, t.spread_bps, t.dek_wrapped,
                (SELECT coalesce(jsonb_object_agg(f.currency, to_jsonb(f)), '{}') FROM fee_schedules f WHERE f.tenant = t.tenant) AS fees,
                (SELECT coalesce(jsonb_object_agg(m.currency, to_jsonb(m)), '{}') FROM limits m WHERE m.tenant = t.tenant) AS limits
         FROM tenants t WHERE t.tenant = ANY ($1)",
    )
    .bind(tenants.iter().map(|number| tenant_i32(*number)).collect::<Vec<_>>())
    .fetch_all(&mut *tx)
    .await?;
    rows.iter()
        .map(|r| {
            let profile = TenantProfile {
                id: TenantId(r.try_get("public_id")?),
                name: r.try_get("name")?,
                terms: tenant_terms(r)?,
                dek_wrapped: r.try_get("dek_wrapped")?,
            };
            Ok((tenant(r)?, profile))
        })
        .collect()
}
