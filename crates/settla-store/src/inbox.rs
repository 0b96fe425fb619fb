//! What providers send us, kept before it is acknowledged and applied at leisure. An event id is kept once.

use crate::StoreError;
use sqlx::Row;
use sqlx::postgres::PgPool;

/// A provider's event.
#[derive(Debug, Clone)]
pub struct InboxEvent {
    /// The provider.
    pub provider: String,
    /// The provider's id of the event.
    pub event_id: String,
    /// The verified body.
    pub body: serde_json::Value,
    /// How often it has been claimed.
    pub attempts: i32,
}

/// Keeps events; repeats are passed over. Returns how many were new.
pub async fn keep(worker: &PgPool, events: &[InboxEvent]) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "INSERT INTO provider_events (provider, event_id, body) SELECT * FROM unnest($1::text[], $2::text[], $3::jsonb[]) ON CONFLICT DO NOTHING",
    )
    .bind(events.iter().map(|e| e.provider.as_str()).collect::<Vec<_>>())
    .bind(events.iter().map(|e| e.event_id.as_str()).collect::<Vec<_>>())
    .bind(events.iter().map(|e| e.body.clone()).collect::<Vec<_>>())
    .execute(worker)
    .await?;
    Ok(done.rows_affected())
}

/// Claims up to `limit` events that are due, for `lease_ms`.
pub async fn claim(worker: &PgPool, limit: i64, lease_ms: i64) -> Result<Vec<InboxEvent>, StoreError> {
    let rows = sqlx::query(
        "UPDATE provider_events p SET attempts = p.attempts + 1, next_at = now() + $2 * interval '1 millisecond'
         FROM (SELECT provider, event_id FROM provider_events WHERE NOT processed AND next_at <= now()
               ORDER BY next_at LIMIT $1 FOR UPDATE SKIP LOCKED) due
         WHERE p.provider = due.provider AND p.event_id = due.event_id
         RETURNING p.provider, p.event_id, p.body, p.attempts",
    )
    .bind(limit)
    .bind(lease_ms)
    .fetch_all(worker)
    .await?;
    rows.iter()
        .map(|r| {
            Ok(InboxEvent {
                provider: r.try_get("provider")?,
                event_id: r.try_get("event_id")?,
                body: r.try_get("body")?,
                attempts: r.try_get("attempts")?,
            })
        })
        .collect()
}

/// Marks events as dealt with.
pub async fn processed(worker: &PgPool, events: &[&InboxEvent]) -> Result<(), StoreError> {
    update(worker, events, "SET processed = true").await
}

/// Has events looked at again after `delay_ms`.
pub async fn postpone(worker: &PgPool, events: &[&InboxEvent], delay_ms: i64) -> Result<(), StoreError> {
    update(worker, events, &format!("SET next_at = now() + {delay_ms} * interval '1 millisecond'")).await
}

async fn update(worker: &PgPool, events: &[&InboxEvent], set: &str) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    let statement = format!(
        "UPDATE provider_events p {set} FROM unnest($1::text[], $2::text[]) k (provider, event_id) WHERE p.provider = k.provider AND p.event_id = k.event_id"
    );
    sqlx::query(&statement)
        .bind(events.iter().map(|e| e.provider.as_str()).collect::<Vec<_>>())
        .bind(events.iter().map(|e| e.event_id.as_str()).collect::<Vec<_>>())
        .execute(worker)
        .await?;
    Ok(())
}

/// A checkpoint's value.
pub async fn checkpoint(worker: &PgPool, name: &str) -> Result<Option<String>, StoreError> {
    let row = sqlx::query("SELECT value FROM checkpoints WHERE name = $1").bind(name).fetch_optional(worker).await?;
    Ok(row.map(|r| r.try_get("value")).transpose()?)
}

/// Moves a checkpoint. Only after what lies before it has been applied.
pub async fn set_checkpoint(worker: &PgPool, name: &str, value: &str) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO checkpoints (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind(name)
    .bind(value)
    .execute(worker)
    .await?;
    Ok(())
}

/// The tenant that a top-up's reference belongs to.
pub async fn topup_owner(
    worker: &PgPool,
    reference: &str,
) -> Result<Option<settla_domain::tenant::TenantNo>, StoreError> {
    let row = sqlx::query("SELECT find_topup_owner($1) AS tenant").bind(reference).fetch_one(worker).await?;
    let number: Option<i32> = row.try_get("tenant")?;
    Ok(number.and_then(|n| u32::try_from(n).ok()).map(settla_domain::tenant::TenantNo))
}
