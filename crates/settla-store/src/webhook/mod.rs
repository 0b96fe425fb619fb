//! Deliveries that are due, and what became of them.

pub mod hand_over;
pub mod under_way;

use crate::StoreError;
use crate::bounded::BoundedPool;
use crate::row::{at, tenant, tenant_i32};
use settla_domain::tenant::TenantNo;
use settla_domain::time::Timestamp;
use sqlx::Row;
use sqlx::postgres::PgRow;
use std::collections::{BTreeSet, HashMap};
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
    /// How to reach it.
    pub target: Target,
    /// The event, also the `webhook-id`.
    pub event_id: Uuid,
    /// What happened.
    pub event: DueEvent,
    /// This attempt's number, from 1.
    pub attempt: i32,
}

/// What a delivery tells of.
#[derive(Debug, Clone)]
pub enum DueEvent {
    /// One of the tenant's events.
    Of {
        /// Its number within the tenant.
        sequence: i64,
        /// Its type.
        kind: String,
        /// Its data.
        data: serde_json::Value,
        /// When it happened.
        at: Timestamp,
    },
    /// Nothing: the tenant wanted to see that a delivery comes through.
    Test {
        /// When it was asked for.
        at: Timestamp,
    },
}

/// Where an endpoint is, and what signs for it.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where to.
    pub url: String,
    /// The endpoint's secret, sealed under the master key.
    pub secret_sealed: Vec<u8>,
    /// The one before it, while that signs too.
    pub old_secret_sealed: Option<Vec<u8>>,
}

/// How many deliveries may be under way.
#[derive(Debug, Clone)]
pub struct Places {
    /// In this claim.
    pub free: i64,
    /// To one endpoint.
    pub per_endpoint: i64,
    /// To endpoints that may have more or less than that.
    pub learnt: HashMap<Uuid, usize>,
    /// To all endpoints of one tenant but those that may have more than [`Self::per_endpoint`], which are each by itself.
    pub per_tenant: i64,
}

/// Claims due deliveries for `lease_ms`, the tenants in turn and each one's oldest first, as many as `places`
/// allows: neither a slow endpoint nor a tenant with many of them takes all places or, with all that waits
/// for it, the view of what waits for others. What was meant for an endpoint that is no longer enabled fails
/// here.
pub async fn claim(worker: &BoundedPool, places: &Places, lease_ms: i64) -> Result<Vec<DueDelivery>, StoreError> {
    let rows = sqlx::query(
        "WITH RECURSIVE waiting (endpoint) AS ( -- from endpoint to endpoint through the index, however much waits
             (SELECT endpoint FROM webhook_deliveries WHERE status = 'pending' ORDER BY endpoint LIMIT 1)
             UNION ALL
             SELECT (SELECT d.endpoint FROM webhook_deliveries d WHERE d.status = 'pending' AND d.endpoint > w.endpoint ORDER BY d.endpoint LIMIT 1)
             FROM waiting w WHERE w.endpoint IS NOT NULL),
         under_way AS (
             SELECT tenant, endpoint, count(*) AS n FROM webhook_deliveries WHERE lease_until > now() GROUP BY tenant, endpoint),
         learnt AS (SELECT * FROM unnest($5::uuid[], $6::bigint[]) l (endpoint, n)),
         apart AS (SELECT * FROM learnt WHERE n > $2),
         turns AS ( -- a tenant's next delivery takes the place after those it has; an endpoint that may have more is by itself
             SELECT h.id, h.next_at, coalesce(a.n, $3) AS places, row_number() OVER (PARTITION BY h.tenant, a.endpoint ORDER BY h.next_at)
                 + coalesce((SELECT sum(u.n) FROM under_way u LEFT JOIN apart o ON o.endpoint = u.endpoint
                             WHERE u.tenant = h.tenant AND o.endpoint IS NOT DISTINCT FROM a.endpoint), 0) AS place
             FROM waiting w CROSS JOIN LATERAL (
                 SELECT d.id, d.tenant, d.endpoint, d.next_at FROM webhook_deliveries d
                 WHERE d.endpoint = w.endpoint AND d.status = 'pending' AND d.next_at <= now() ORDER BY d.next_at
                 LIMIT greatest(coalesce((SELECT l.n FROM learnt l WHERE l.endpoint = w.endpoint), $2) - coalesce((SELECT u.n FROM under_way u WHERE u.endpoint = w.endpoint), 0), 0)) h
             LEFT JOIN apart a ON a.endpoint = h.endpoint),
         heads AS (
             SELECT t.id FROM turns t WHERE t.place <= t.places ORDER BY t.place, t.next_at LIMIT $1),
         due AS (
             SELECT d.id FROM webhook_deliveries d JOIN heads ON heads.id = d.id
             WHERE d.status = 'pending' AND d.next_at <= now() FOR UPDATE OF d SKIP LOCKED),
         taken AS (
             UPDATE webhook_deliveries d SET attempts = d.attempts + 1,
                 status = CASE p.status WHEN 'enabled' THEN d.status ELSE 'failed' END,
                 next_at = now() + $4 * interval '1 millisecond',
                 lease_until = CASE p.status WHEN 'enabled' THEN now() + $4 * interval '1 millisecond' END
             FROM due, webhook_endpoints p WHERE d.id = due.id AND p.tenant = d.tenant AND p.id = d.endpoint
             RETURNING d.*, p.url, p.secret_sealed, CASE WHEN p.old_secret_until > now() THEN p.old_secret_sealed END AS old_secret_sealed)
         SELECT t.id, t.tenant, t.endpoint, t.event_id, t.event_sequence, t.test_at, t.attempts, t.url, t.secret_sealed, t.old_secret_sealed, e.kind, e.data, e.at
         FROM taken t LEFT JOIN events e ON e.id = t.event_id AND e.tenant = t.tenant AND e.sequence = t.event_sequence
         WHERE t.status = 'pending'",
    )
    .bind(places.free)
    .bind(places.per_endpoint)
    .bind(places.per_tenant)
    .bind(lease_ms)
    .bind(places.learnt.keys().collect::<Vec<_>>())
    .bind(places.learnt.values().map(|n| i64::try_from(*n).unwrap_or(i64::MAX)).collect::<Vec<_>>())
    .fetch_all(worker)
    .await?;
    rows.iter()
        .map(|r| {
            Ok(DueDelivery {
                id: r.try_get("id")?,
                tenant: tenant(r)?,
                endpoint: r.try_get("endpoint")?,
                target: target(r)?,
                event_id: r.try_get("event_id")?,
                event: due_event(r)?,
                attempt: r.try_get("attempts")?,
            })
        })
        .collect()
}

fn target(row: &PgRow) -> Result<Target, StoreError> {
    Ok(Target {
        url: row.try_get("url")?,
        secret_sealed: row.try_get("secret_sealed")?,
        old_secret_sealed: row.try_get("old_secret_sealed")?,
    })
}

/// How to reach endpoints, as they are now. Those that are not enabled are left out.
pub async fn targets(
    worker: &BoundedPool,
    endpoints: &BTreeSet<(TenantNo, Uuid)>,
) -> Result<HashMap<Uuid, Target>, StoreError> {
    let rows = sqlx::query(
        "SELECT p.id, p.url, p.secret_sealed, CASE WHEN p.old_secret_until > now() THEN p.old_secret_sealed END AS old_secret_sealed
         FROM unnest($1::int[], $2::uuid[]) k (tenant, id) JOIN webhook_endpoints p ON p.tenant = k.tenant AND p.id = k.id
         WHERE p.status = 'enabled'",
    )
    .bind(endpoints.iter().map(|(tenant, _)| tenant_i32(*tenant)).collect::<Vec<_>>())
    .bind(endpoints.iter().map(|(_, endpoint)| *endpoint).collect::<Vec<_>>())
    .fetch_all(worker)
    .await?;
    rows.iter().map(|r| Ok((r.try_get("id")?, target(r)?))).collect()
}

fn due_event(row: &PgRow) -> Result<DueEvent, StoreError> {
    let Some(sequence) = row.try_get("event_sequence")? else {
        return Ok(DueEvent::Test { at: at(row, "test_at")? });
    };
    Ok(DueEvent::Of { sequence, kind: row.try_get("kind")?, data: row.try_get("data")?, at: at(row, "at")? })
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

/// Records attempts and moves their deliveries: one statement however many there are.
pub async fn attempted(worker: &BoundedPool, attempts: &[Attempted]) -> Result<(), StoreError> {
    if attempts.is_empty() {
        return Ok(());
    }
    let status = |a: &Attempted| match a.next {
        Next::Delivered => "delivered",
        Next::RetryInMs(_) => "pending",
        Next::GiveUp => "failed",
    };
    let delay = |a: &Attempted| if let Next::RetryInMs(ms) = a.next { ms } else { 0 };
    sqlx::query(
        "WITH k AS (
             SELECT * FROM unnest($1::int[], $2::uuid[], $3::int[], $4::timestamptz[], $5::int[], $6::text[], $7::bigint[], $8::text[], $9::bigint[])
                 k (tenant, delivery, attempt, at, status, error, latency_ms, becomes, delay_ms)),
         moved AS (
             UPDATE webhook_deliveries d SET next_at = now() + k.delay_ms * interval '1 millisecond', lease_until = NULL,
                 -- Its endpoint may have gone meanwhile: then it has failed, unless it was taken all the same.
                 status = CASE WHEN d.status = 'pending' OR k.becomes = 'delivered' THEN k.becomes ELSE d.status END
             FROM k WHERE d.id = k.delivery RETURNING d.id)
         INSERT INTO webhook_attempts (tenant, delivery, attempt, at, status, error, latency_ms)
         SELECT k.tenant, k.delivery, k.attempt, k.at, k.status, k.error, k.latency_ms FROM k JOIN moved ON moved.id = k.delivery
         ON CONFLICT DO NOTHING",
    )
    .bind(attempts.iter().map(|a| tenant_i32(a.tenant)).collect::<Vec<_>>())
    .bind(attempts.iter().map(|a| a.delivery).collect::<Vec<_>>())
    .bind(attempts.iter().map(|a| a.attempt).collect::<Vec<_>>())
    .bind(attempts.iter().map(|a| a.at.to_datetime()).collect::<Vec<_>>())
    .bind(attempts.iter().map(|a| a.status.map(i32::from)).collect::<Vec<_>>())
    .bind(attempts.iter().map(|a| a.error.as_deref()).collect::<Vec<_>>())
    .bind(attempts.iter().map(|a| a.latency_ms).collect::<Vec<_>>())
    .bind(attempts.iter().map(status).collect::<Vec<_>>())
    .bind(attempts.iter().map(delay).collect::<Vec<_>>())
    .execute(worker)
    .await?;
    Ok(())
}

/// Disables an endpoint that answered 410 Gone. Its other deliveries fail.
pub async fn disable(worker: &BoundedPool, tenant: TenantNo, endpoint: Uuid) -> Result<(), StoreError> {
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

/// Erases secrets that sign no more. Returns how many.
pub async fn erase_old_secrets(worker: &BoundedPool) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "UPDATE webhook_endpoints SET old_secret_sealed = NULL, old_secret_until = NULL WHERE old_secret_until <= now()",
    )
    .execute(worker)
    .await?;
    Ok(done.rows_affected())
}

/// For how many seconds a delivery has been due at most whose tenant has none under way: nobody is at it. What waits
/// behind slow endpoints of its own tenant does not count.
pub async fn neglected_s(worker: &BoundedPool) -> Result<f64, StoreError> {
    let row = sqlx::query(
        "WITH RECURSIVE waiting (endpoint) AS ( -- from endpoint to endpoint through the index, however much waits
             (SELECT endpoint FROM webhook_deliveries WHERE status = 'pending' ORDER BY endpoint LIMIT 1)
             UNION ALL
             SELECT (SELECT d.endpoint FROM webhook_deliveries d WHERE d.status = 'pending' AND d.endpoint > w.endpoint ORDER BY d.endpoint LIMIT 1)
             FROM waiting w WHERE w.endpoint IS NOT NULL),
         busy AS (SELECT DISTINCT tenant FROM webhook_deliveries WHERE lease_until > now())
         SELECT coalesce(max(extract(epoch FROM now() - h.next_at)), 0)::float8 AS neglected_s
         FROM waiting w CROSS JOIN LATERAL (
             SELECT d.tenant, d.next_at FROM webhook_deliveries d
             WHERE d.endpoint = w.endpoint AND d.status = 'pending' AND d.next_at <= now() ORDER BY d.next_at LIMIT 1) h
         WHERE h.tenant NOT IN (SELECT tenant FROM busy)",
    )
    .fetch_one(worker)
    .await?;
    Ok(row.try_get("neglected_s")?)
}
