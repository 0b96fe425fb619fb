//! What operators do: tenants, fees, limits, API keys. Each with its audit entry, in one transaction.

mod contain;
mod lifecycle;

pub use contain::{Contained, contain_key, contain_tenant};
pub use lifecycle::{FeesChange, LimitsChange, Reason, change_fees, change_limits, set_status};

use crate::StoreError;
use crate::bounded::BoundedPool;
use crate::read::api_key::lock_keys;
use crate::row::{at, maybe_at, tenant_i32};
use settla_domain::fee::FeeSchedule;
use settla_domain::id::{KeyId, TenantId};
use settla_domain::limit::Limits;
use settla_domain::money::Currency;
use settla_domain::tenant::{TenantNo, TenantStatus};
use settla_domain::time::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{Postgres, Row, Transaction};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A tenant to be set up.
pub struct NewTenant<'a> {
    /// Public id.
    pub id: TenantId,
    /// Short name, lower case, unique.
    pub slug: &'a str,
    /// Name for people.
    pub name: &'a str,
    /// Whether it may begin at once.
    pub status: TenantStatus,
    /// The platform's spread.
    pub spread_bps: u16,
    /// Prices and limits by source currency.
    pub currencies: &'a [(Currency, FeeSchedule, Limits)],
    /// Who does it.
    pub actor: &'a str,
}

/// Requests a minute by class, where other than usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RateOverrides {
    /// Making quotes.
    pub quotes: Option<u32>,
    /// Starting and cancelling transfers.
    pub transfers: Option<u32>,
    /// Reading positions, top-ups, withdrawals and the ledger.
    pub treasury_reads: Option<u32>,
    /// Everything else.
    pub other: Option<u32>,
}

impl RateOverrides {
    pub(crate) fn of(row: &PgRow) -> Result<Self, StoreError> {
        let read = |column: &'static str| -> Result<Option<u32>, StoreError> {
            let value: Option<i32> = row.try_get(column)?;
            value.map(|v| u32::try_from(v).map_err(|_| StoreError::Corrupt(column))).transpose()
        };
        Ok(Self {
            quotes: read("quotes_per_minute")?,
            transfers: read("transfers_per_minute")?,
            treasury_reads: read("treasury_reads_per_minute")?,
            other: read("other_per_minute")?,
        })
    }
}

/// A tenant as an operator lists it.
#[derive(Debug, Clone)]
pub struct TenantRow {
    /// Number.
    pub number: TenantNo,
    /// Public id.
    pub id: TenantId,
    /// Short name.
    pub slug: String,
    /// Name.
    pub name: String,
    /// Status.
    pub status: String,
    /// Requests a minute, where other than usual.
    pub rate_limits: RateOverrides,
}

/// Sets a tenant up. `wrap` is given the new number and returns the tenant's wrapped DEK.
pub async fn create_tenant(
    operator: &BoundedPool,
    new: &NewTenant<'_>,
    wrap: impl FnOnce(TenantNo) -> Vec<u8>,
) -> Result<TenantNo, StoreError> {
    let mut tx = operator.begin().await?;
    let row = sqlx::query("SELECT nextval(pg_get_serial_sequence('settla.tenants', 'tenant'))::int AS tenant")
        .fetch_one(&mut *tx)
        .await?;
    let number = crate::row::tenant(&row)?;
    sqlx::query("INSERT INTO tenants (tenant, public_id, slug, name, status, spread_bps, dek_wrapped) VALUES ($1, $2, $3, $4, $7, $5, $6)")
        .bind(tenant_i32(number))
        .bind(new.id.0)
        .bind(new.slug)
        .bind(new.name)
        .bind(i16::try_from(new.spread_bps).map_err(|_| StoreError::Corrupt("spread_bps"))?)
        .bind(wrap(number))
        .bind(new.status.name())
        .execute(&mut *tx)
        .await?;
    sqlx::query("INSERT INTO tenant_locks (tenant) VALUES ($1)").bind(tenant_i32(number)).execute(&mut *tx).await?;
    for (currency, fees, limits) in new.currencies {
        terms(&mut tx, number, *currency, fees, limits).await?;
    }
    audit(&mut tx, number, new.actor, "tenant.create", &new.id.to_string()).await?;
    tx.commit().await?;
    Ok(number)
}

async fn terms(
    tx: &mut Transaction<'_, Postgres>,
    tenant: TenantNo,
    currency: Currency,
    fees: &FeeSchedule,
    limits: &Limits,
) -> Result<(), StoreError> {
    let bps = |value: u16| i16::try_from(value).map_err(|_| StoreError::Corrupt("bps"));
    sqlx::query(
        "INSERT INTO fee_schedules (tenant, currency, on_ramp_bps, off_ramp_bps, minimum, maximum) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (tenant, currency) DO UPDATE SET on_ramp_bps = excluded.on_ramp_bps, off_ramp_bps = excluded.off_ramp_bps,
             minimum = excluded.minimum, maximum = excluded.maximum",
    )
    .bind(tenant_i32(tenant))
    .bind(currency.code())
    .bind(bps(fees.on_ramp_bps)?)
    .bind(bps(fees.off_ramp_bps)?)
    .bind(fees.minimum)
    .bind(fees.maximum)
    .execute(&mut **tx)
    .await?;
    sqlx::query(
        "INSERT INTO limits (tenant, currency, per_transfer, per_day, pending) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (tenant, currency) DO UPDATE SET per_transfer = excluded.per_transfer, per_day = excluded.per_day, pending = excluded.pending",
    )
    .bind(tenant_i32(tenant))
    .bind(currency.code())
    .bind(limits.per_transfer)
    .bind(limits.per_day)
    .bind(limits.pending)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes down what an operator does beside the tables of operators.
pub async fn note(
    operator: &BoundedPool,
    tenant: TenantNo,
    actor: &str,
    action: &str,
    object: &str,
) -> Result<(), StoreError> {
    let mut tx = operator.begin().await?;
    audit(&mut tx, tenant, actor, action, object).await?;
    Ok(tx.commit().await?)
}

pub(crate) async fn audit(
    tx: &mut Transaction<'_, Postgres>,
    tenant: TenantNo,
    actor: &str,
    action: &str,
    object: &str,
) -> Result<(), StoreError> {
    audit_with(tx, tenant, actor, action, object, &serde_json::json!({})).await
}

async fn audit_with(
    tx: &mut Transaction<'_, Postgres>,
    tenant: TenantNo,
    actor: &str,
    action: &str,
    object: &str,
    detail: &serde_json::Value,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO audit_log (id, tenant, at, actor, action, object, detail) VALUES ($1, $2, now(), $3, $4, $5, $6)",
    )
    .bind(Uuid::now_v7())
    .bind(tenant_i32(tenant))
    .bind(actor)
    .bind(action)
    .bind(object)
    .bind(detail)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Changes how many requests a minute a tenant may make: every class, so that `None` is the usual limit again.
/// Counts within a second, everywhere.
pub async fn set_rate_limits(
    operator: &BoundedPool,
    tenant: TenantNo,
    limits: &RateOverrides,
    actor: &str,
) -> Result<(), StoreError> {
    let bound =
        |limit: Option<u32>| limit.map(|l| i32::try_from(l).map_err(|_| StoreError::Corrupt("rate limit"))).transpose();
    let mut tx = operator.begin().await?;
    sqlx::query(
        "UPDATE tenants SET quotes_per_minute = $2, transfers_per_minute = $3, treasury_reads_per_minute = $4,
             other_per_minute = $5 WHERE tenant = $1",
    )
    .bind(tenant_i32(tenant))
    .bind(bound(limits.quotes)?)
    .bind(bound(limits.transfers)?)
    .bind(bound(limits.treasury_reads)?)
    .bind(bound(limits.other)?)
    .execute(&mut *tx)
    .await?;
    audit(&mut tx, tenant, actor, "tenant.rate_limits", &format!("{limits:?}")).await?;
    Ok(tx.commit().await?)
}

/// The tenant of this short name.
pub async fn find_tenant(operator: &BoundedPool, slug: &str) -> Result<Option<TenantRow>, StoreError> {
    Ok(tenants(operator).await?.into_iter().find(|t| t.slug == slug))
}

/// All tenants.
pub async fn tenants(operator: &BoundedPool) -> Result<Vec<TenantRow>, StoreError> {
    let rows = sqlx::query("SELECT * FROM tenants ORDER BY tenant").fetch_all(operator).await?;
    rows.iter()
        .map(|r| {
            Ok(TenantRow {
                number: crate::row::tenant(r)?,
                id: TenantId(r.try_get("public_id")?),
                slug: r.try_get("slug")?,
                name: r.try_get("name")?,
                status: r.try_get("status")?,
                rate_limits: RateOverrides::of(r)?,
            })
        })
        .collect()
}

/// A key to be stored: only its hash ever is.
pub struct NewKey<'a> {
    /// Its id.
    pub id: KeyId,
    /// Whose.
    pub tenant: TenantNo,
    /// `live` or `test`.
    pub environment: &'a str,
    /// HMAC of the key.
    pub hash: &'a [u8],
    /// Version of the HMAC secret.
    pub hash_version: u16,
    /// Prefix and last four characters.
    pub hint: &'a str,
    /// Name for people.
    pub name: &'a str,
    /// Scopes.
    pub scopes: &'a [&'a str],
    /// The networks that it may be used from, in CIDR notation; any if there is none.
    pub allowed_ips: &'a [String],
    /// From when on it is no key any more.
    pub expires_at: Option<Timestamp>,
    /// Who does it.
    pub actor: &'a str,
}

/// Stores a key.
pub async fn create_key(operator: &BoundedPool, new: &NewKey<'_>) -> Result<(), StoreError> {
    let mut tx = operator.begin().await?;
    sqlx::query("INSERT INTO api_keys (id, tenant, environment, hash, hash_version, hint, name, scopes, allowed_ips, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::text[]::cidr[], $10)")
        .bind(new.id.0)
        .bind(tenant_i32(new.tenant))
        .bind(new.environment)
        .bind(new.hash)
        .bind(i16::try_from(new.hash_version).map_err(|_| StoreError::Corrupt("hash_version"))?)
        .bind(new.hint)
        .bind(new.name)
        .bind(new.scopes)
        .bind(new.allowed_ips)
        .bind(new.expires_at.map(Timestamp::to_datetime))
        .execute(&mut *tx)
        .await?;
    audit(&mut tx, new.tenant, new.actor, "key.create", &new.id.to_string()).await?;
    Ok(tx.commit().await?)
}

/// Revokes a key, for good. Returns whether it was active.
pub async fn revoke_key(operator: &BoundedPool, id: KeyId, actor: &str) -> Result<bool, StoreError> {
    let mut tx = operator.begin().await?;
    let owner = sqlx::query("SELECT tenant FROM api_keys WHERE id = $1").bind(id.0).fetch_optional(&mut *tx).await?;
    let Some(owner) = owner else { return Ok(false) };
    lock_keys(&mut tx, crate::row::tenant(&owner)?).await?;
    let row =
        sqlx::query("UPDATE api_keys SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL RETURNING tenant")
            .bind(id.0)
            .fetch_optional(&mut *tx)
            .await?;
    let Some(row) = row else { return Ok(false) };
    audit(&mut tx, crate::row::tenant(&row)?, actor, "key.revoke", &id.to_string()).await?;
    tx.commit().await?;
    Ok(true)
}

/// A key as an operator lists it.
#[derive(Debug, Clone)]
pub struct KeyRow {
    /// Its id.
    pub id: KeyId,
    /// The tenant's short name.
    pub tenant: String,
    /// `live` or `test`.
    pub environment: String,
    /// Prefix and last four characters.
    pub hint: String,
    /// Name.
    pub name: String,
    /// Scopes.
    pub scopes: Vec<String>,
    /// The networks that it may be used from; any if there is none.
    pub allowed_ips: Vec<String>,
    /// Version of the secret that its hash is under.
    pub hash_version: i16,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is no key any more.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to some seconds.
    pub last_used_at: Option<Timestamp>,
    /// Whether it was revoked.
    pub revoked: bool,
}

/// All keys, or one tenant's.
pub async fn keys(operator: &BoundedPool, slug: Option<&str>) -> Result<Vec<KeyRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT k.id, t.slug, k.environment, k.hint, k.name, k.scopes, k.allowed_ips::text[] AS allowed_ips, k.hash_version, k.created_at,
                least(k.expires_at, k.retires_at) AS expires_at, k.last_used_at, k.revoked_at IS NOT NULL AS revoked
         FROM api_keys k JOIN tenants t ON t.tenant = k.tenant WHERE $1::text IS NULL OR t.slug = $1 ORDER BY k.id",
    )
    .bind(slug)
    .fetch_all(operator)
    .await?;
    rows.iter()
        .map(|r| {
            Ok(KeyRow {
                id: KeyId(r.try_get("id")?),
                tenant: r.try_get("slug")?,
                environment: r.try_get("environment")?,
                hint: r.try_get("hint")?,
                name: r.try_get("name")?,
                scopes: r.try_get("scopes")?,
                allowed_ips: r.try_get("allowed_ips")?,
                hash_version: r.try_get("hash_version")?,
                created_at: at(r, "created_at")?,
                expires_at: maybe_at(r, "expires_at")?,
                last_used_at: maybe_at(r, "last_used_at")?,
                revoked: r.try_get("revoked")?,
            })
        })
        .collect()
}

/// How many keys are good and hashed under each version of the secret.
pub async fn good_keys_by_secret(operator: &BoundedPool) -> Result<BTreeMap<i16, i64>, StoreError> {
    let rows = sqlx::query(
        "SELECT k.hash_version, count(*) AS n FROM api_keys k JOIN tenants t ON t.tenant = k.tenant
         WHERE k.revoked_at IS NULL AND coalesce(least(k.expires_at, k.retires_at) > now(), true) AND t.status <> 'closed' GROUP BY k.hash_version",
    )
    .fetch_all(operator)
    .await?;
    rows.iter().map(|r| Ok((r.try_get("hash_version")?, r.try_get("n")?))).collect()
}

/// Records a fact that all processes must agree on, or returns the differing one that is recorded already.
pub async fn agree(operator: &BoundedPool, name: &str, value: &str) -> Result<Result<(), String>, StoreError> {
    sqlx::query("INSERT INTO shared_facts (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(name)
        .bind(value)
        .execute(operator)
        .await?;
    let row = sqlx::query("SELECT value FROM shared_facts WHERE name = $1").bind(name).fetch_one(operator).await?;
    let recorded: String = row.try_get("value")?;
    Ok(if recorded == value { Ok(()) } else { Err(recorded) })
}
