//! What providers send us, kept before it is acknowledged and applied at leisure. An event id is kept once.

use crate::StoreError;
use crate::bounded::BoundedPool;
use sqlx::Row;
use sqlx::types::Json;
use std::collections::HashSet;

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

/// How long a worker has an event for itself, in milliseconds.
pub const LEASE_MS: i64 = 10_000;

/// What an event is known by: provider and the provider's id.
pub type EventName = (String, String);

impl InboxEvent {
    /// Its name.
    pub fn name(&self) -> EventName {
        (self.provider.clone(), self.event_id.clone())
    }
}

/// Keeps events; repeats are passed over. Those that come with `true` are leased at once to whoever keeps them. Returns
/// which were new.
pub async fn keep(worker: &BoundedPool, events: &[(&InboxEvent, bool)]) -> Result<HashSet<EventName>, StoreError> {
    let rows = sqlx::query(
        "INSERT INTO provider_events (provider, event_id, body, attempts, next_at)
         SELECT k.provider, k.event_id, k.body, k.leased::int, now() + k.leased::int * $5 * interval '1 millisecond'
         FROM unnest($1::text[], $2::text[], $3::jsonb[], $4::bool[]) k (provider, event_id, body, leased)
         ON CONFLICT DO NOTHING RETURNING provider, event_id",
    )
    .bind(events.iter().map(|(e, _)| e.provider.as_str()).collect::<Vec<_>>())
    .bind(events.iter().map(|(e, _)| e.event_id.as_str()).collect::<Vec<_>>())
    .bind(events.iter().map(|(e, _)| Json(&e.body)).collect::<Vec<_>>())
    .bind(events.iter().map(|(_, leased)| *leased).collect::<Vec<_>>())
    .bind(LEASE_MS)
    .fetch_all(worker)
    .await?;
    rows.iter().map(|r| Ok((r.try_get("provider")?, r.try_get("event_id")?))).collect()
}

/// Claims up to `limit` events that are due, for [`LEASE_MS`].
pub async fn claim(worker: &BoundedPool, limit: i64) -> Result<Vec<InboxEvent>, StoreError> {
    let rows = sqlx::query(
        "UPDATE provider_events p SET attempts = p.attempts + 1, next_at = now() + $2 * interval '1 millisecond'
         FROM (SELECT provider, event_id FROM provider_events WHERE NOT processed AND next_at <= now()
               ORDER BY next_at LIMIT $1 FOR UPDATE SKIP LOCKED) due
         WHERE p.provider = due.provider AND p.event_id = due.event_id
         RETURNING p.provider, p.event_id, p.body, p.attempts",
    )
    .bind(limit)
    .bind(LEASE_MS)
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
pub async fn processed(worker: &BoundedPool, events: &[EventName]) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE provider_events p SET processed = true
         FROM unnest($1::text[], $2::text[]) k (provider, event_id) WHERE p.provider = k.provider AND p.event_id = k.event_id",
    )
    .bind(events.iter().map(|(provider, _)| provider.as_str()).collect::<Vec<_>>())
    .bind(events.iter().map(|(_, id)| id.as_str()).collect::<Vec<_>>())
    .execute(worker)
    .await?;
    Ok(())
}

/// Has an event looked at again after `delay_ms`.
pub async fn postpone(worker: &BoundedPool, event: &InboxEvent, delay_ms: i64) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE provider_events SET next_at = now() + $3 * interval '1 millisecond' WHERE provider = $1 AND event_id = $2",
    )
    .bind(&event.provider)
    .bind(&event.event_id)
    .bind(delay_ms)
    .execute(worker)
    .await?;
    Ok(())
}

/// A checkpoint's value.
pub async fn checkpoint(worker: &BoundedPool, name: &str) -> Result<Option<String>, StoreError> {
    let row = sqlx::query("SELECT value FROM checkpoints WHERE name = $1").bind(name).fetch_optional(worker).await?;
    Ok(row.map(|r| r.try_get("value")).transpose()?)
}

/// Moves a checkpoint. Only after what lies before it has been applied.
pub async fn set_checkpoint(worker: &BoundedPool, name: &str, value: &str) -> Result<(), StoreError> {
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
    worker: &BoundedPool,
    reference: &str,
) -> Result<Option<settla_domain::tenant::TenantNo>, StoreError> {
    let row = sqlx::query("SELECT find_topup_owner($1) AS tenant").bind(reference).fetch_one(worker).await?;
    let number: Option<i32> = row.try_get("tenant")?;
    Ok(number.and_then(|n| u32::try_from(n).ok()).map(settla_domain::tenant::TenantNo))
}
