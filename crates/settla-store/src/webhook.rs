//! Deliveries that are due, and what became of them.

use crate::StoreError;
use crate::row::{at, tenant, tenant_i32};
use settla_domain::tenant::TenantNo;
use settla_domain::time::Timestamp;
use sqlx::Row;
use sqlx::postgres::PgPool;
use uuid::Uuid;

/// A delivery that a worker holds for a while.
#[derive(Debug, Clone)]
pub struct DueDelivery {
    /// The delivery.
    pub id: Uuid,
    /// Whose.
    pub tenant: TenantNo,
    /// The endpoint.
    pub endpoint: Uuid,
    /// Where to.
    pub url: String,
    /// The endpoint's secret, sealed under the master key.
    pub secret_sealed: Vec<u8>,
    /// The event, also the `webhook-id`.
    pub event_id: Uuid,
    /// Its number within the tenant.
    pub sequence: i64,
    /// Its type.
    pub kind: String,
    /// Its data.
    pub data: serde_json::Value,
    /// When it happened.
    pub at: Timestamp,
    /// This attempt's number, from 1.
    pub attempt: i32,
}

/// Claims up to `limit` due deliveries for `lease_ms`, at most `per_endpoint` to one endpoint, so that a slow
/// endpoint does not take all places.
pub async fn claim(worker: &PgPool, limit: i64, per_endpoint: i64, lease_ms: i64) -> Result<Vec<DueDelivery>, StoreError> {
    let rows = sqlx::query(
        "WITH due AS (
             SELECT id, endpoint, next_at FROM webhook_deliveries WHERE status = 'pending' AND next_at <= now()
             ORDER BY next_at LIMIT $1 * 4 FOR UPDATE SKIP LOCKED),
         ranked AS (SELECT id, row_number() OVER (PARTITION BY endpoint ORDER BY next_at) AS place FROM due),
         taken AS (
             UPDATE webhook_deliveries d SET attempts = d.attempts + 1, next_at = now() + $3 * interval '1 millisecond'
             WHERE d.id IN (SELECT id FROM ranked WHERE place <= $2 LIMIT $1)
             RETURNING d.*)
         SELECT t.id, t.tenant, t.endpoint, t.event_id, t.event_sequence, t.attempts, p.url, p.secret_sealed, e.kind, e.data, e.at
         FROM taken t
         JOIN webhook_endpoints p ON p.tenant = t.tenant AND p.id = t.endpoint AND p.status = 'enabled'
         JOIN events e ON e.tenant = t.tenant AND e.sequence = t.event_sequence",
    )
    .bind(limit)
    .bind(per_endpoint)
    .bind(lease_ms)
    .fetch_all(worker)
    .await?;
    rows.iter()
        .map(|r| {
            Ok(DueDelivery {
                id: r.try_get("id")?,
                tenant: tenant(r)?,
                endpoint: r.try_get("endpoint")?,
                url: r.try_get("url")?,
                secret_sealed: r.try_get("secret_sealed")?,
                event_id: r.try_get("event_id")?,
                sequence: r.try_get("event_sequence")?,
                kind: r.try_get("kind")?,
                data: r.try_get("data")?,
                at: at(r, "at")?,
                attempt: r.try_get("attempts")?,
            })
        })
        .collect()
}

/// What came of an attempt.
#[derive(Debug, Clone)]
pub struct Attempted {
    /// The delivery.
    pub delivery: Uuid,
    /// Whose.
    pub tenant: TenantNo,
    /// The attempt's number.
    pub attempt: i32,
    /// When it began.
    pub at: Timestamp,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// Why there was none, a stable code.
    pub error: Option<String>,
    /// How long it took.
    pub latency_ms: i64,
    /// What is next.
    pub next: Next,
}

/// What is next for a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It was taken.
    Delivered,
    /// Another attempt, so many milliseconds from now.
    RetryInMs(i64),
    /// No more attempts.
    GiveUp,
}

/// Records attempts: two statements however many there are.
pub async fn attempted(worker: &PgPool, attempts: &[Attempted]) -> Result<(), StoreError> {
    if attempts.is_empty() {
        return Ok(());
    }
    let status = |a: &Attempted| match a.next {
        Next::Delivered => "delivered",
        Next::RetryInMs(_) => "pending",
        Next::GiveUp => "failed",
    };
    let delay = |a: &Attempted| if let Next::RetryInMs(ms) = a.next { ms } else { 0 };
    let mut tx = worker.begin().await?;
    sqlx::query(
        "INSERT INTO webhook_attempts (tenant, delivery, attempt, at, status, error, latency_ms)
         SELECT * FROM unnest($1::int[], $2::uuid[], $3::int[], $4::timestamptz[], $5::int[], $6::text[], $7::bigint[]) ON CONFLICT DO NOTHING",
    )
    .bind(attempts.iter().map(|a| tenant_i32(a.tenant)).collect::<Vec<_>>())
    .bind(attempts.iter().map(|a| a.delivery).collect::<Vec<_>>())
    .bind(attempts.iter().map(|a| a.attempt).collect::<Vec<_>>())
    .bind(attempts.iter().map(|a| a.at.to_datetime()).collect::<Vec<_>>())
    .bind(attempts.iter().map(|a| a.status.map(i32::from)).collect::<Vec<_>>())
    .bind(attempts.iter().map(|a| a.error.as_deref()).collect::<Vec<_>>())
    .bind(attempts.iter().map(|a| a.latency_ms).collect::<Vec<_>>())
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "UPDATE webhook_deliveries d SET status = k.status, next_at = now() + k.delay_ms * interval '1 millisecond'
         FROM unnest($1::uuid[], $2::text[], $3::bigint[]) k (id, status, delay_ms) WHERE d.id = k.id AND d.status = 'pending'",
    )
    .bind(attempts.iter().map(|a| a.delivery).collect::<Vec<_>>())
    .bind(attempts.iter().map(status).collect::<Vec<_>>())
    .bind(attempts.iter().map(delay).collect::<Vec<_>>())
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

/// Disables an endpoint that answered 410 Gone. Its other deliveries fail.
pub async fn disable(worker: &PgPool, tenant: TenantNo, endpoint: Uuid) -> Result<(), StoreError> {
    sqlx::query(
        "WITH e AS (UPDATE webhook_endpoints SET status = 'disabled' WHERE tenant = $1 AND id = $2 AND status = 'enabled')
         UPDATE webhook_deliveries SET status = 'failed' WHERE endpoint = $2 AND status = 'pending'",
    )
    .bind(tenant_i32(tenant))
    .bind(endpoint)
    .execute(worker)
    .await?;
    Ok(())
}
