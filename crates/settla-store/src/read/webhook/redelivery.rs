//! Deliveries that a tenant asks for: of an event again, of a range of events, of a test.
//!
//! Each is a delivery of its own with attempts of its own, of the same event and so with the same `webhook-id` and body.
//! What is still pending is not made a second time.

use super::{Asked, Changed, Tx, audit, claim_key};
use crate::StoreError;
use crate::bounded::BoundedPool;
use crate::row::{at, tenant_i32};
use crate::tenant_tx;
use settla_domain::id::{DeliveryId, EndpointId};
use settla_domain::tenant::TenantNo;
use settla_domain::time::Timestamp;
use sqlx::Row;
use uuid::Uuid;

/// Delivers the event of a delivery once more, as the delivery that the key's subject names.
pub async fn redeliver(app: &BoundedPool, asked: &Asked<'_>, id: Uuid) -> Result<Changed<()>, StoreError> {
    let (tenant, mut tx) = (asked.first.tenant, tenant_tx::begin(app, asked.first.tenant).await?);
    if let Err(used) = claim_key(&mut tx, asked.first).await? {
        return Ok(Changed::Before(used));
    }
    let found = sqlx::query("SELECT endpoint, event_id FROM webhook_deliveries WHERE tenant = $1 AND id = $2")
        .bind(tenant_i32(tenant))
        .bind(id)
        .fetch_optional(&mut *tx)
        .await?;
    let Some(found) = found else { return Ok(Changed::Absent) };
    let (endpoint, event): (Uuid, Uuid) = (found.try_get("endpoint")?, found.try_get("event_id")?);
    // One that was deleted is not enabled either; the delivery itself is there.
    if not_enabled::<()>(&mut tx, tenant, endpoint).await?.is_some() {
        return Ok(Changed::Disabled);
    }
    // Under the endpoint's lock: nobody else makes one of the same round meanwhile.
    let made = sqlx::query(
        "INSERT INTO webhook_deliveries (id, tenant, endpoint, event_sequence, event_id, test_at, round, status, next_at, created_at)
         SELECT $3, d.tenant, d.endpoint, d.event_sequence, d.event_id, d.test_at, k.round + 1, 'pending', now(), now()
         FROM webhook_deliveries d, (SELECT max(round) AS round, bool_or(status = 'pending') AS waits
                                     FROM webhook_deliveries WHERE tenant = $1 AND endpoint = $4 AND event_id = $5) k
         WHERE d.tenant = $1 AND d.id = $2 AND NOT k.waits",
    )
    .bind(tenant_i32(tenant))
    .bind(id)
    .bind(asked.first.subject)
    .bind(endpoint)
    .bind(event)
    .execute(&mut *tx)
    .await?;
    if made.rows_affected() == 0 {
        return Ok(Changed::Pending);
    }
    audit(&mut tx, asked, "webhook_delivery.redeliver", DeliveryId(id).to_string()).await?;
    tx.commit().await?;
    Ok(Changed::Made(()))
}

/// Which events of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All that the endpoint wants.
    All,
    /// Those of them that it has not taken.
    Undelivered,
}

impl Which {
    /// As stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Undelivered => "undelivered",
        }
    }
}

/// A range of events to be delivered again. The key's subject names it.
#[derive(Debug, Clone)]
pub struct NewRedelivery {
    /// To this endpoint.
    pub endpoint: Uuid,
    /// From this number on.
    pub from_sequence: i64,
    /// Up to this one.
    pub to_sequence: i64,
    /// Which of them.
    pub which: Which,
    /// Ids for the deliveries, as many as the range has numbers.
    pub ids: Vec<Uuid>,
}

/// A range as it was asked for, and what that made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedeliveryRow {
    /// Its id.
    pub id: Uuid,
    /// The endpoint.
    pub endpoint: Uuid,
    /// From this number on.
    pub from_sequence: i64,
    /// Up to this one.
    pub to_sequence: i64,
    /// How many deliveries were made.
    pub deliveries: i64,
    /// When.
    pub created_at: Timestamp,
}

/// Makes deliveries of the events of a range that the endpoint wants now, whether it had been told of them or not:
/// one that was disabled has missed them. Events that are pending for it are left alone.
pub async fn redeliver_range(
    app: &BoundedPool,
    asked: &Asked<'_>,
    new: &NewRedelivery,
) -> Result<Changed<RedeliveryRow>, StoreError> {
    let (tenant, mut tx) = (asked.first.tenant, tenant_tx::begin(app, asked.first.tenant).await?);
    let created_at = match claim_key(&mut tx, asked.first).await? {
        Ok(at) => at,
        Err(used) => return Ok(Changed::Before(used)),
    };
    if let Some(hindrance) = not_enabled(&mut tx, tenant, new.endpoint).await? {
        return Ok(hindrance);
    }
    // Under the endpoint's lock: nobody else makes one of the same round meanwhile.
    let made = sqlx::query(
        "INSERT INTO webhook_deliveries (id, tenant, endpoint, event_sequence, event_id, round, status, next_at, created_at)
         SELECT ($5::uuid[])[row_number() OVER (ORDER BY e.sequence)], e.tenant, p.id, e.sequence, e.id, coalesce(k.round + 1, 0), 'pending', now(), now()
         FROM webhook_endpoints p JOIN events e ON e.tenant = p.tenant AND e.kind = ANY (p.events)
             CROSS JOIN LATERAL (
                 SELECT max(d.round) AS round, coalesce(bool_or(d.status = 'pending'), false) AS waits, coalesce(bool_or(d.status = 'delivered'), false) AS taken
                 FROM webhook_deliveries d WHERE d.tenant = e.tenant AND d.endpoint = p.id AND d.event_id = e.id) k
         WHERE p.tenant = $1 AND p.id = $2 AND e.sequence BETWEEN $3 AND $4 AND NOT k.waits AND NOT (k.taken AND $6 = 'undelivered')",
    )
    .bind(tenant_i32(tenant))
    .bind(new.endpoint)
    .bind(new.from_sequence)
    .bind(new.to_sequence)
    .bind(&new.ids)
    .bind(new.which.name())
    .execute(&mut *tx)
    .await?;
    let row = RedeliveryRow {
        id: asked.first.subject.unwrap_or_default(),
        endpoint: new.endpoint,
        from_sequence: new.from_sequence,
        to_sequence: new.to_sequence,
        deliveries: i64::try_from(made.rows_affected()).unwrap_or(i64::MAX),
        created_at,
    };
    sqlx::query(
        "INSERT INTO webhook_redeliveries (tenant, id, endpoint, from_sequence, to_sequence, which, deliveries, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, now())",
    )
    .bind(tenant_i32(tenant))
    .bind(row.id)
    .bind(row.endpoint)
    .bind(row.from_sequence)
    .bind(row.to_sequence)
    .bind(new.which.name())
    .bind(row.deliveries)
    .execute(&mut *tx)
    .await?;
    audit(&mut tx, asked, "webhook_endpoint.redeliver", EndpointId(new.endpoint).to_string()).await?;
    tx.commit().await?;
    Ok(Changed::Made(row))
}

/// One range that was asked for.
pub async fn redelivery(app: &BoundedPool, tenant: TenantNo, id: Uuid) -> Result<Option<RedeliveryRow>, StoreError> {
    let mut tx = tenant_tx::begin(app, tenant).await?;
    let row = sqlx::query("SELECT * FROM webhook_redeliveries WHERE tenant = $1 AND id = $2")
        .bind(tenant_i32(tenant))
        .bind(id)
        .fetch_optional(&mut *tx)
        .await?;
    let read = |r: &sqlx::postgres::PgRow| {
        Ok(RedeliveryRow {
            id: r.try_get("id")?,
            endpoint: r.try_get("endpoint")?,
            from_sequence: r.try_get("from_sequence")?,
            to_sequence: r.try_get("to_sequence")?,
            deliveries: r.try_get("deliveries")?,
            created_at: at(r, "created_at")?,
        })
    };
    row.as_ref().map(read).transpose()
}

/// Makes a test event for one endpoint, as the delivery that the key's subject names.
pub async fn send_test(app: &BoundedPool, asked: &Asked<'_>, endpoint: Uuid) -> Result<Changed<()>, StoreError> {
    let (tenant, mut tx) = (asked.first.tenant, tenant_tx::begin(app, asked.first.tenant).await?);
    if let Err(used) = claim_key(&mut tx, asked.first).await? {
        return Ok(Changed::Before(used));
    }
    if let Some(hindrance) = not_enabled(&mut tx, tenant, endpoint).await? {
        return Ok(hindrance);
    }
    sqlx::query(
        "INSERT INTO webhook_deliveries (id, tenant, endpoint, event_id, test_at, status, next_at, created_at)
         VALUES ($1, $2, $3, $4, now(), 'pending', now(), now())",
    )
    .bind(asked.first.subject)
    .bind(tenant_i32(tenant))
    .bind(endpoint)
    .bind(Uuid::now_v7())
    .execute(&mut *tx)
    .await?;
    audit(&mut tx, asked, "webhook_endpoint.test", EndpointId(endpoint).to_string()).await?;
    tx.commit().await?;
    Ok(Changed::Made(()))
}

/// Why nothing can be delivered to an endpoint, if so. If not, it stays enabled, and who else asks waits, until the
/// transaction ends.
async fn not_enabled<T>(tx: &mut Tx, tenant: TenantNo, endpoint: Uuid) -> Result<Option<Changed<T>>, StoreError> {
    let row = sqlx::query(
        "SELECT status FROM webhook_endpoints WHERE tenant = $1 AND id = $2 AND status <> 'deleted' FOR NO KEY UPDATE",
    )
    .bind(tenant_i32(tenant))
    .bind(endpoint)
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(Some(Changed::Absent)) };
    Ok((row.try_get::<&str, _>("status")? != "enabled").then_some(Changed::Disabled))
}
