//! Webhook endpoints and deliveries, as their tenant sees them.

use crate::StoreError;
use crate::batch::{Idempotency, Recorded};
use crate::row::{at, tenant_i32};
use crate::tenant_tx;
use settla_domain::tenant::TenantNo;
use settla_domain::time::Timestamp;
use sqlx::Row;
use sqlx::postgres::{PgPool, PgRow};
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
    /// When it was made.
    pub created_at: Timestamp,
}

fn endpoint_row(row: &PgRow) -> Result<EndpointRow, StoreError> {
    Ok(EndpointRow {
        id: row.try_get("id")?,
        url: row.try_get("url")?,
        events: row.try_get("events")?,
        status: row.try_get("status")?,
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
    app: &PgPool,
    first: &Idempotency,
    new: &NewEndpoint<'_>,
) -> Result<EndpointMade, StoreError> {
    let mut tx = tenant_tx::begin(app, first.tenant).await?;
    if let Some(recorded) = claim_key(&mut tx, first).await? {
        return Ok(EndpointMade::Recorded(recorded));
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
    audit(&mut tx, first.tenant, new.actor, "webhook_endpoint.create", new.row.id, new.request_id).await?;
    tx.commit().await?;
    Ok(EndpointMade::Made)
}

type Tx = sqlx::Transaction<'static, sqlx::Postgres>;

/// Takes an idempotency key within the transaction, or returns what it was used for. A concurrent first use
/// is waited for.
async fn claim_key(tx: &mut Tx, first: &Idempotency) -> Result<Option<Recorded>, StoreError> {
    let done = sqlx::query("INSERT INTO idempotency (tenant, key, fingerprint, subject, created_at) VALUES ($1, $2, $3, $4, now()) ON CONFLICT DO NOTHING")
        .bind(tenant_i32(first.tenant))
        .bind(&first.key)
        .bind(&first.fingerprint)
        .bind(first.subject)
        .execute(&mut **tx)
        .await?;
    if done.rows_affected() == 1 {
        return Ok(None);
    }
    let row = sqlx::query("SELECT fingerprint, subject FROM idempotency WHERE tenant = $1 AND key = $2")
        .bind(tenant_i32(first.tenant))
        .bind(&first.key)
        .fetch_one(&mut **tx)
        .await?;
    Ok(Some(Recorded { fingerprint: row.try_get("fingerprint")?, refusal: None, subject: row.try_get("subject")? }))
}

async fn audit(
    tx: &mut Tx,
    tenant: TenantNo,
    actor: &str,
    action: &str,
    object: Uuid,
    request_id: &str,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO audit_log (id, tenant, at, actor, action, object, request_id) VALUES ($1, $2, now(), $3, $4, $5, $6)")
        .bind(Uuid::now_v7())
        .bind(tenant_i32(tenant))
        .bind(actor)
        .bind(action)
        .bind(settla_domain::id::EndpointId(object).to_string())
        .bind(request_id)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// One endpoint, deleted ones included.
pub async fn endpoint(app: &PgPool, tenant: TenantNo, id: Uuid) -> Result<Option<EndpointRow>, StoreError> {
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
    app: &PgPool,
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

/// Deletes an endpoint; its pending deliveries fail. Returns whether the endpoint was there, or what the key
/// was used for before.
pub async fn delete_endpoint(
    app: &PgPool,
    first: &Idempotency,
    id: Uuid,
    actor: &str,
    request_id: &str,
) -> Result<Result<bool, Recorded>, StoreError> {
    let mut tx = tenant_tx::begin(app, first.tenant).await?;
    if let Some(recorded) = claim_key(&mut tx, first).await? {
        return Ok(Err(recorded));
    }
    let done = sqlx::query(
        "UPDATE webhook_endpoints SET status = 'deleted' WHERE tenant = $1 AND id = $2 AND status <> 'deleted'",
    )
    .bind(tenant_i32(first.tenant))
    .bind(id)
    .execute(&mut *tx)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(Ok(false));
    }
    sqlx::query(
        "UPDATE webhook_deliveries SET status = 'failed' WHERE tenant = $1 AND endpoint = $2 AND status = 'pending'",
    )
    .bind(tenant_i32(first.tenant))
    .bind(id)
    .execute(&mut *tx)
    .await?;
    audit(&mut tx, first.tenant, actor, "webhook_endpoint.delete", id, request_id).await?;
    tx.commit().await?;
    Ok(Ok(true))
}

/// A delivery with its attempts.
#[derive(Debug, Clone)]
pub struct DeliveryRow {
    /// Its id.
    pub id: Uuid,
    /// The endpoint.
    pub endpoint: Uuid,
    /// The event.
    pub event_id: Uuid,
    /// The event's type.
    pub kind: String,
    /// `pending`, `delivered`, `failed`.
    pub status: String,
    /// When the next attempt is due.
    pub next_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
    /// What was tried.
    pub attempts: Vec<AttemptRow>,
}

/// One attempt.
#[derive(Debug, Clone, serde::Deserialize)]
pub struct AttemptRow {
    /// Microseconds since the epoch.
    pub at_us: i64,
    /// HTTP status.
    pub status: Option<u16>,
    /// Why there was no answer.
    pub error: Option<String>,
    /// How long it took.
    pub latency_ms: i64,
}

/// Deliveries before `before`, newest first.
pub async fn deliveries(
    app: &PgPool,
    tenant: TenantNo,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<DeliveryRow>, StoreError> {
    let mut tx = tenant_tx::begin(app, tenant).await?;
    let rows = sqlx::query(
        "SELECT d.id, d.endpoint, d.event_id, e.kind, d.status, d.next_at, d.created_at,
             (SELECT coalesce(jsonb_agg(jsonb_build_object('at_us', (extract(epoch FROM a.at) * 1000000)::bigint, 'status', a.status, 'error', a.error, 'latency_ms', a.latency_ms) ORDER BY a.attempt), '[]')
              FROM webhook_attempts a WHERE a.tenant = d.tenant AND a.delivery = d.id) AS attempts
         FROM webhook_deliveries d JOIN events e ON e.id = d.event_id AND e.tenant = d.tenant AND e.sequence = d.event_sequence
         WHERE d.tenant = $1 AND ($2::uuid IS NULL OR d.id < $2) ORDER BY d.id DESC LIMIT $3",
    )
    .bind(tenant_i32(tenant))
    .bind(before)
    .bind(limit)
    .fetch_all(&mut *tx)
    .await?;
    rows.iter()
        .map(|r| {
            Ok(DeliveryRow {
                id: r.try_get("id")?,
                endpoint: r.try_get("endpoint")?,
                event_id: r.try_get("event_id")?,
                kind: r.try_get("kind")?,
                status: r.try_get("status")?,
                next_at: at(r, "next_at")?,
                created_at: at(r, "created_at")?,
                attempts: crate::row::json(r, "attempts")?,
            })
        })
        .collect()
}
