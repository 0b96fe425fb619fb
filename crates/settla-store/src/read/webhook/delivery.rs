//! Deliveries and their attempts.

use crate::StoreError;
use crate::bounded::BoundedPool;
use crate::row::{at, json, tenant_i32};
use crate::tenant_tx;
use settla_domain::event::TEST_EVENT_TYPE;
use settla_domain::tenant::TenantNo;
use settla_domain::time::Timestamp;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

/// A delivery with its attempts.
#[derive(Debug, Clone)]
pub struct DeliveryRow {
    /// Its id.
    pub id: Uuid,
    /// The endpoint.
    pub endpoint: Uuid,
    /// The event.
    pub event_id: Uuid,
    /// The event's number; a test has none.
    pub sequence: Option<i64>,
    /// The event's type.
    pub kind: String,
    /// Which delivery of this event to this endpoint it is, from 0.
    pub round: i32,
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
    /// From 1.
    pub number: i32,
    /// Microseconds since the epoch.
    pub at_us: i64,
    /// HTTP status.
    pub status: Option<u16>,
    /// Why there was no answer.
    pub error: Option<String>,
    /// How long it took.
    pub latency_ms: i64,
}

/// Which deliveries.
#[derive(Debug, Clone, Copy, Default)]
pub struct DeliveryFilter<'a> {
    /// To this endpoint.
    pub endpoint: Option<Uuid>,
    /// `pending`, `delivered` or `failed`.
    pub status: Option<&'a str>,
}

/// A delivery's columns and attempts, of which there are as many as a delivery has: ten.
const SELECT: &str = "
    SELECT d.id, d.endpoint, d.event_id, d.event_sequence, coalesce(e.kind, $2) AS kind, d.round, d.status, d.next_at, d.created_at,
        (SELECT coalesce(jsonb_agg(jsonb_build_object('number', a.attempt, 'at_us', (extract(epoch FROM a.at) * 1000000)::bigint, 'status', a.status,
             'error', a.error, 'latency_ms', a.latency_ms) ORDER BY a.attempt), '[]')
         FROM webhook_attempts a WHERE a.tenant = d.tenant AND a.delivery = d.id) AS attempts
    FROM webhook_deliveries d LEFT JOIN events e ON e.id = d.event_id AND e.tenant = d.tenant AND e.sequence = d.event_sequence
    WHERE d.tenant = $1";

fn delivery_row(row: &PgRow) -> Result<DeliveryRow, StoreError> {
    Ok(DeliveryRow {
        id: row.try_get("id")?,
        endpoint: row.try_get("endpoint")?,
        event_id: row.try_get("event_id")?,
        sequence: row.try_get("event_sequence")?,
        kind: row.try_get("kind")?,
        round: row.try_get("round")?,
        status: row.try_get("status")?,
        next_at: at(row, "next_at")?,
        created_at: at(row, "created_at")?,
        attempts: json(row, "attempts")?,
    })
}

/// One delivery.
pub async fn delivery(app: &BoundedPool, tenant: TenantNo, id: Uuid) -> Result<Option<DeliveryRow>, StoreError> {
    let mut tx = tenant_tx::begin(app, tenant).await?;
    let row = sqlx::query(&format!("{SELECT} AND d.id = $3"))
        .bind(tenant_i32(tenant))
        .bind(TEST_EVENT_TYPE)
        .bind(id)
        .fetch_optional(&mut *tx)
        .await?;
    row.as_ref().map(delivery_row).transpose()
}

/// Deliveries before `before`, newest first.
pub async fn deliveries(
    app: &BoundedPool,
    tenant: TenantNo,
    filter: DeliveryFilter<'_>,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<DeliveryRow>, StoreError> {
    // A statement a filter: a plan that is kept must not be the one for another filter.
    let by_endpoint = if filter.endpoint.is_some() { "AND d.endpoint = $5" } else { "AND $5::uuid IS NULL" };
    let by_status = match filter.status {
        None => "AND $6::text IS NULL",
        Some("failed") => "AND d.status = 'failed' AND $6::text IS NOT NULL",
        Some(_) => "AND d.status = $6",
    };
    let statement = format!(
        "{SELECT} AND d.id < coalesce($3, 'ffffffff-ffff-ffff-ffff-ffffffffffff') {by_endpoint} {by_status} ORDER BY d.id DESC LIMIT $4"
    );
    let mut tx = tenant_tx::begin(app, tenant).await?;
    let rows = sqlx::query(&statement)
        .bind(tenant_i32(tenant))
        .bind(TEST_EVENT_TYPE)
        .bind(before)
        .bind(limit)
        .bind(filter.endpoint)
        .bind(filter.status)
        .fetch_all(&mut *tx)
        .await?;
    rows.iter().map(delivery_row).collect()
}
