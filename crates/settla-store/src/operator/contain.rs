//! The first step of an incident: nothing new happens with what may be in wrong hands.

use super::audit_with;
use super::lifecycle::{Reason, lock, status};
use crate::StoreError;
use crate::bounded::BoundedPool;
use crate::read::api_key::lock_keys;
use crate::row::{maybe_at, tenant, tenant_i32};
use serde_json::json;
use settla_domain::id::KeyId;
use settla_domain::tenant::{TenantNo, TenantStatus};
use settla_domain::time::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{Postgres, Row, Transaction};

/// A key that was revoked by this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contained {
    /// Its id.
    pub id: KeyId,
    /// Whose.
    pub tenant: TenantNo,
    /// Prefix and last four characters.
    pub hint: String,
    /// Name.
    pub name: String,
    /// When it was last used, to some seconds.
    pub last_used_at: Option<Timestamp>,
}

fn contained(r: &PgRow) -> Result<Contained, StoreError> {
    Ok(Contained {
        id: KeyId(r.try_get("id")?),
        tenant: tenant(r)?,
        hint: r.try_get("hint")?,
        name: r.try_get("name")?,
        last_used_at: maybe_at(r, "last_used_at")?,
    })
}

/// Suspends a tenant, if it is active, and revokes all of its keys, in one transaction. Returns the status
/// that it had and the keys.
pub async fn contain_tenant(
    operator: &BoundedPool,
    why: &Reason<'_>,
) -> Result<(TenantStatus, Vec<Contained>), StoreError> {
    let mut tx = operator.begin().await?;
    lock_keys(&mut tx, why.tenant).await?;
    let before = lock(&mut tx, why.tenant).await?;
    if before == TenantStatus::Active {
        status(&mut tx, why, before, TenantStatus::Suspended).await?;
    }
    let rows = sqlx::query(
        "UPDATE api_keys SET revoked_at = now() WHERE tenant = $1 AND revoked_at IS NULL RETURNING id, tenant, hint, name, last_used_at",
    )
    .bind(tenant_i32(why.tenant))
    .fetch_all(&mut *tx)
    .await?;
    let keys = rows.iter().map(contained).collect::<Result<Vec<_>, _>>()?;
    record(&mut tx, why.actor, why.reason, &format!("tenant {}", why.tenant.0), &keys).await?;
    tx.commit().await?;
    Ok((before, keys))
}

/// Revokes a key and all that were made with it, and with those: whoever had it has them. Returns them; none if there is no
/// such key or all have been revoked before.
pub async fn contain_key(
    operator: &BoundedPool,
    key: KeyId,
    actor: &str,
    reason: &str,
) -> Result<Vec<Contained>, StoreError> {
    let mut tx = operator.begin().await?;
    if let Some(row) =
        sqlx::query("SELECT tenant FROM api_keys WHERE id = $1").bind(key.0).fetch_optional(&mut *tx).await?
    {
        lock_keys(&mut tx, tenant(&row)?).await?;
    }
    let rows = sqlx::query(
        "WITH RECURSIVE made (id) AS (
             SELECT id FROM api_keys WHERE id = $1
             UNION SELECT k.id FROM made m JOIN api_keys o ON o.id = m.id JOIN api_keys k ON k.tenant = o.tenant AND k.made_by = m.id)
         UPDATE api_keys k SET revoked_at = now() FROM made m
         WHERE k.id = m.id AND k.revoked_at IS NULL RETURNING k.id, k.tenant, k.hint, k.name, k.last_used_at",
    )
    .bind(key.0)
    .fetch_all(&mut *tx)
    .await?;
    let keys = rows.iter().map(contained).collect::<Result<Vec<_>, _>>()?;
    record(&mut tx, actor, reason, &key.to_string(), &keys).await?;
    tx.commit().await?;
    Ok(keys)
}

async fn record(
    tx: &mut Transaction<'_, Postgres>,
    actor: &str,
    reason: &str,
    what: &str,
    keys: &[Contained],
) -> Result<(), StoreError> {
    for key in keys {
        audit_with(tx, key.tenant, actor, "key.contain", &key.id.to_string(), &json!({ "reason": reason })).await?;
    }
    if keys.is_empty() {
        audit_with(tx, TenantNo::PLATFORM, actor, "incident.nothing_to_contain", what, &json!({ "reason": reason }))
            .await?;
    }
    Ok(())
}
