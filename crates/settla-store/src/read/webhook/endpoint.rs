//! Webhook endpoints, as their tenant sees and changes them.

use super::{Asked, Changed, Tx, audit, claim_key};
use crate::StoreError;
use crate::batch::{Idempotency, Recorded};
use crate::bounded::BoundedPool;
use crate::row::{at, tenant_i32};
use crate::tenant_tx;
use settla_domain::id::EndpointId;
use settla_domain::tenant::TenantNo;
use settla_domain::time::Timestamp;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

/// An endpoint as stored, without its secret.
#[derive(Debug, Clone)]
pub struct EndpointRow {
    /// Its id.
    pub id: Uuid,
    /// Where deliveries go.
    pub url: String,
    /// Event types.
    pub events: Vec<String>,
    /// `enabled`, `disabled`.
    pub status: String,
    /// Until when the secret before the present one signs too.
    pub old_secret_until: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

fn endpoint_row(row: &PgRow) -> Result<EndpointRow, StoreError> {
    Ok(EndpointRow {
        id: row.try_get("id")?,
        url: row.try_get("url")?,
        events: row.try_get("events")?,
        status: row.try_get("status")?,
        old_secret_until: row.try_get::<Option<_>, _>("old_secret_until")?.map(Timestamp::from_datetime),
        created_at: at(row, "created_at")?,
    })
}

/// An endpoint to be made.
pub struct NewEndpoint<'a> {
    /// Its row.
    pub row: &'a EndpointRow,
    /// Its secret, sealed.
    pub secret_sealed: &'a [u8],
    /// The most endpoints that a tenant may have.
    pub endpoints_max: i64,
    /// Who does it.
    pub actor: &'a str,
    /// The request.
    pub request_id: &'a str,
}

/// What came of making an endpoint.
#[derive(Debug)]
pub enum EndpointMade {
    /// It was made.
    Made,
    /// The key was used before.
    Recorded(Recorded),
    /// The tenant has too many.
    TooMany,
}

/// Makes an endpoint with its idempotency row and audit entry, unless the key was used before.
pub async fn create_endpoint(
    app: &BoundedPool,
    first: &Idempotency,
    new: &NewEndpoint<'_>,
) -> Result<EndpointMade, StoreError> {
    let mut tx = tenant_tx::begin(app, first.tenant).await?;
    if let Err(used) = claim_key(&mut tx, first).await? {
        return Ok(EndpointMade::Recorded(used.recorded));
    }
    // One at a time within the tenant, so that what is counted stays so.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('webhook_endpoints', $1))")
        .bind(i64::from(first.tenant.0))
        .execute(&mut *tx)
        .await?;
    let row = sqlx::query("SELECT count(*) AS n FROM webhook_endpoints WHERE tenant = $1 AND status <> 'deleted'")
        .bind(tenant_i32(first.tenant))
        .fetch_one(&mut *tx)
        .await?;
    if row.try_get::<i64, _>("n")? >= new.endpoints_max {
        return Ok(EndpointMade::TooMany);
    }
    sqlx::query("INSERT INTO webhook_endpoints (tenant, id, url, events, secret_sealed, status, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)")
        .bind(tenant_i32(first.tenant))
        .bind(new.row.id)
        .bind(&new.row.url)
        .bind(&new.row.events)
        .bind(new.secret_sealed)
        .bind(&new.row.status)
        .bind(new.row.created_at.to_datetime())
        .execute(&mut *tx)
        .await?;
    let asked = Asked { first, actor: new.actor, request_id: new.request_id };
    audit(&mut tx, &asked, "webhook_endpoint.create", EndpointId(new.row.id).to_string()).await?;
    tx.commit().await?;
    Ok(EndpointMade::Made)
}

/// One endpoint, deleted ones included.
pub async fn endpoint(app: &BoundedPool, tenant: TenantNo, id: Uuid) -> Result<Option<EndpointRow>, StoreError> {
    let mut tx = tenant_tx::begin(app, tenant).await?;
    let row = sqlx::query("SELECT * FROM webhook_endpoints WHERE tenant = $1 AND id = $2")
        .bind(tenant_i32(tenant))
        .bind(id)
        .fetch_optional(&mut *tx)
        .await?;
    row.as_ref().map(endpoint_row).transpose()
}

/// Endpoints before `before`, newest first.
pub async fn endpoints(
    app: &BoundedPool,
    tenant: TenantNo,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<EndpointRow>, StoreError> {
    let mut tx = tenant_tx::begin(app, tenant).await?;
    let rows = sqlx::query("SELECT * FROM webhook_endpoints WHERE tenant = $1 AND status <> 'deleted' AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3")
        .bind(tenant_i32(tenant))
        .bind(before)
        .bind(limit)
        .fetch_all(&mut *tx)
        .await?;
    rows.iter().map(endpoint_row).collect()
}

/// What of an endpoint is to be another; what is absent stays.
#[derive(Debug, Clone, Copy, Default)]
pub struct EndpointChange<'a> {
    /// Where deliveries go.
    pub url: Option<&'a str>,
    /// Event types.
    pub events: Option<&'a [String]>,
    /// `enabled` or `disabled`.
    pub status: Option<&'a str>,
}

/// Changes an endpoint. What is pending for one that becomes disabled fails.
pub async fn change_endpoint(
    app: &BoundedPool,
    asked: &Asked<'_>,
    id: Uuid,
    change: EndpointChange<'_>,
) -> Result<Changed<()>, StoreError> {
    let (tenant, mut tx) = (asked.first.tenant, tenant_tx::begin(app, asked.first.tenant).await?);
    if let Err(used) = claim_key(&mut tx, asked.first).await? {
        return Ok(Changed::Before(used));
    }
    let done = sqlx::query(
        "UPDATE webhook_endpoints SET url = coalesce($3, url), events = coalesce($4, events), status = coalesce($5, status)
         WHERE tenant = $1 AND id = $2 AND status <> 'deleted'",
    )
    .bind(tenant_i32(tenant))
    .bind(id)
    .bind(change.url)
    .bind(change.events)
    .bind(change.status)
    .execute(&mut *tx)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(Changed::Absent);
    }
    if change.status == Some("disabled") {
        drop_pending(&mut tx, tenant, id).await?;
    }
    audit(&mut tx, asked, "webhook_endpoint.update", EndpointId(id).to_string()).await?;
    tx.commit().await?;
    Ok(Changed::Made(()))
}

/// Gives an endpoint a new secret. The present one signs as well for `overlap_s` seconds, the one before it no more. Says
/// when it was done.
pub async fn rotate_secret(
    app: &BoundedPool,
    asked: &Asked<'_>,
    id: Uuid,
    secret_sealed: &[u8],
    overlap_s: i64,
) -> Result<Changed<Timestamp>, StoreError> {
    let mut tx = tenant_tx::begin(app, asked.first.tenant).await?;
    let since = match claim_key(&mut tx, asked.first).await? {
        Ok(since) => since,
        Err(used) => return Ok(Changed::Before(used)),
    };
    let done = sqlx::query(
        "UPDATE webhook_endpoints SET secret_sealed = $3, old_secret_sealed = CASE WHEN $4 > 0 THEN secret_sealed END,
             old_secret_until = CASE WHEN $4 > 0 THEN now() + $4 * interval '1 second' END
         WHERE tenant = $1 AND id = $2 AND status <> 'deleted'",
    )
    .bind(tenant_i32(asked.first.tenant))
    .bind(id)
    .bind(secret_sealed)
    .bind(overlap_s)
    .execute(&mut *tx)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(Changed::Absent);
    }
    audit(&mut tx, asked, "webhook_endpoint.rotate_secret", EndpointId(id).to_string()).await?;
    tx.commit().await?;
    Ok(Changed::Made(since))
}

/// Deletes an endpoint and its secrets; its pending deliveries fail.
pub async fn delete_endpoint(app: &BoundedPool, asked: &Asked<'_>, id: Uuid) -> Result<Changed<()>, StoreError> {
    let (tenant, mut tx) = (asked.first.tenant, tenant_tx::begin(app, asked.first.tenant).await?);
    if let Err(used) = claim_key(&mut tx, asked.first).await? {
        return Ok(Changed::Before(used));
    }
    let done = sqlx::query(
        "UPDATE webhook_endpoints SET status = 'deleted', secret_sealed = '', old_secret_sealed = NULL, old_secret_until = NULL
         WHERE tenant = $1 AND id = $2 AND status <> 'deleted'",
    )
    .bind(tenant_i32(tenant))
    .bind(id)
    .execute(&mut *tx)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(Changed::Absent);
    }
    drop_pending(&mut tx, tenant, id).await?;
    audit(&mut tx, asked, "webhook_endpoint.delete", EndpointId(id).to_string()).await?;
    tx.commit().await?;
    Ok(Changed::Made(()))
}

async fn drop_pending(tx: &mut Tx, tenant: TenantNo, endpoint: Uuid) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE webhook_deliveries SET status = 'failed' WHERE tenant = $1 AND endpoint = $2 AND status = 'pending'",
    )
    .bind(tenant_i32(tenant))
    .bind(endpoint)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
