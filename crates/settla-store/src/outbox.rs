//! Claiming effects. A claim is a lease with a fencing epoch: it ends by itself, and a worker that comes back
//! late cannot reschedule what another one has since taken.
//!
//! Findings need no fence: they are facts, and the engine applies each once.
//!
//! The table is partitioned by id. A join goes to the one partition of each id; `= ANY ($1)` in a prepared statement
//! would go to all of them. A status beside ids is asked for in a CASE: as a condition of its own it would have a plan
//! that was made for a small table read all that is open in every month.

use crate::StoreError;
use crate::bounded::BoundedPool;
use crate::row::{at, json, maybe_at, tenant, tenant_i32};
use crate::set_aside;
use settla_domain::effect::{Effect, EffectKind};
use settla_domain::id::EffectId;
use settla_domain::tenant::TenantNo;
use settla_domain::time::Timestamp;
use sqlx::Row;
use sqlx::postgres::PgRow;
use std::time::{Duration, Instant, SystemTime};
use uuid::Uuid;

/// An effect that a worker holds for a while.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The effect.
    pub id: EffectId,
    /// Whose.
    pub tenant: TenantNo,
    /// The transfer or withdrawal it serves.
    pub subject: Uuid,
    /// What to do.
    pub effect: Effect,
    /// Whether the provider has taken it: then only enquire.
    pub accepted: bool,
    /// This attempt's number, from 1.
    pub attempt: i32,
    /// When it was first attempted; it may have reached the provider since then.
    pub first_attempt_at: Timestamp,
    /// The fence.
    pub epoch: i64,
    /// When this process asked for it, before its lease began.
    pub claimed_at: Moment,
}

/// An instant by two clocks: the monotonic one stops while a machine sleeps, the wall clock may be set back.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    monotonic: Instant,
    wall: SystemTime,
}

impl Moment {
    /// This moment.
    pub fn now() -> Self {
        Self { monotonic: Instant::now(), wall: SystemTime::now() }
    }

    /// The longer of the two times since then: whoever was held up must not think that it was not.
    pub fn elapsed(&self) -> Duration {
        self.monotonic.elapsed().max(self.wall.elapsed().unwrap_or_default())
    }
}

/// Claims up to `limit` due effects of a kind for `lease_ms`. Rows that others hold are passed over, so a
/// slow provider blocks nobody else.
pub async fn claim(
    worker: &BoundedPool,
    kind: EffectKind,
    limit: i64,
    lease_ms: i64,
) -> Result<Vec<Claim>, StoreError> {
    let asked_at = Moment::now();
    let rows = sqlx::query(
        "UPDATE outbox o SET attempts = o.attempts + 1, epoch = o.epoch + 1, first_attempt_at = coalesce(o.first_attempt_at, now()),
             lease_until = now() + $3 * interval '1 millisecond', next_at = now() + $3 * interval '1 millisecond'
         FROM (SELECT id FROM outbox WHERE kind = $1 AND status IN ('ready', 'accepted') AND next_at <= now()
               ORDER BY next_at LIMIT $2 FOR UPDATE SKIP LOCKED) due
         WHERE o.id = due.id
         RETURNING o.id, o.tenant, o.subject, o.payload, o.status, o.attempts, o.first_attempt_at, o.epoch",
    )
    .bind(kind.name())
    .bind(limit)
    .bind(lease_ms)
    .fetch_all(worker)
    .await?;
    let (claims, unreadable) = readable(&rows, asked_at)?;
    set_aside::unreadable(worker, &unreadable).await?;
    Ok(claims)
}

/// What of these rows can be read, and the ids of the rest.
pub(crate) fn readable(rows: &[PgRow], claimed_at: Moment) -> Result<(Vec<Claim>, Vec<Uuid>), StoreError> {
    let (mut claims, mut unreadable) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        match claimed(row, claimed_at) {
            Ok(claim) => claims.push(claim),
            Err(_) => unreadable.push(row.try_get("id")?),
        }
    }
    Ok((claims, unreadable))
}

/// On-ramp orders that nobody has touched since they were ordered, longer ago than `age`: tenant and transfer.
pub async fn untouched_orders(
    worker: &BoundedPool,
    age: Duration,
    limit: i64,
) -> Result<Vec<(TenantNo, Uuid)>, StoreError> {
    let rows = sqlx::query(
        "SELECT tenant, subject FROM outbox WHERE kind = $1 AND status = 'ready' AND attempts = 0
             AND next_at < now() - $2 * interval '1 millisecond' ORDER BY next_at LIMIT $3",
    )
    .bind(EffectKind::OnRamp.name())
    .bind(i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
    .bind(limit)
    .fetch_all(worker)
    .await?;
    rows.iter().map(|r| Ok((tenant(r)?, r.try_get("subject")?))).collect()
}

fn claimed(row: &PgRow, claimed_at: Moment) -> Result<Claim, StoreError> {
    Ok(Claim {
        id: EffectId(row.try_get("id")?),
        tenant: tenant(row)?,
        subject: row.try_get("subject")?,
        effect: json(row, "payload")?,
        accepted: row.try_get::<&str, _>("status")? == "accepted",
        attempt: row.try_get("attempts")?,
        first_attempt_at: at(row, "first_attempt_at")?,
        epoch: row.try_get("epoch")?,
        claimed_at,
    })
}

/// Gives claims back, to be looked at again after their delay in milliseconds. A claim that somebody else
/// has taken since is left alone.
pub async fn postpone(worker: &BoundedPool, claims: &[(&Claim, i64)]) -> Result<(), StoreError> {
    if claims.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE outbox o SET lease_until = NULL, next_at = now() + k.delay_ms * interval '1 millisecond'
         FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::int[]) k (id, epoch, delay_ms, tenant)
         WHERE o.id = k.id AND o.tenant = k.tenant AND CASE WHEN o.status IN ('ready', 'accepted') THEN o.epoch = k.epoch END",
    )
    .bind(claims.iter().map(|(c, _)| c.id.0).collect::<Vec<_>>())
    .bind(claims.iter().map(|(c, _)| c.epoch).collect::<Vec<_>>())
    .bind(claims.iter().map(|(_, delay_ms)| *delay_ms).collect::<Vec<_>>())
    .bind(claims.iter().map(|(c, _)| tenant_i32(c.tenant)).collect::<Vec<_>>())
    .execute(worker)
    .await?;
    Ok(())
}

/// Whose an effect is, whatever it says.
pub async fn owner(worker: &BoundedPool, effect: EffectId) -> Result<Option<TenantNo>, StoreError> {
    let row = sqlx::query("SELECT tenant FROM outbox WHERE id = $1").bind(effect.0).fetch_optional(worker).await?;
    row.as_ref().map(tenant).transpose()
}

/// Where an effect belongs.
#[derive(Debug, Clone)]
pub struct Place {
    /// The effect.
    pub id: EffectId,
    /// Whose.
    pub tenant: TenantNo,
    /// The transfer or withdrawal it serves.
    pub subject: Uuid,
    /// What is to be done.
    pub effect: Effect,
    /// When it was first attempted, if it was.
    pub first_attempt_at: Option<Timestamp>,
}

/// Where effects belong. Those that are not there are left out.
pub async fn find(worker: &BoundedPool, effects: &[EffectId]) -> Result<Vec<Place>, StoreError> {
    let ids: Vec<Uuid> = effects.iter().map(|e| e.0).collect();
    let rows = sqlx::query(
        "SELECT o.id, o.tenant, o.subject, o.payload, o.first_attempt_at FROM unnest($1::uuid[]) k (id) JOIN outbox o ON o.id = k.id",
    )
        .bind(ids)
        .fetch_all(worker)
        .await?;
    rows.iter()
        .map(|r| {
            Ok(Place {
                id: EffectId(r.try_get("id")?),
                tenant: tenant(r)?,
                subject: r.try_get("subject")?,
                effect: json(r, "payload")?,
                first_attempt_at: maybe_at(r, "first_attempt_at")?,
            })
        })
        .collect()
}

/// Brings the next look at these effects forward to now, because their provider has news.
pub async fn hasten(worker: &BoundedPool, effects: &[EffectId]) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = effects.iter().map(|e| e.0).collect();
    sqlx::query(
        "UPDATE outbox o SET next_at = now() FROM unnest($1::uuid[]) k (id)
         WHERE o.id = k.id AND CASE o.status WHEN 'accepted' THEN o.lease_until IS NULL END",
    )
    .bind(ids)
    .execute(worker)
    .await?;
    Ok(())
}

/// How many open effects there are by kind, and the age in seconds of the oldest. **Costs** a walk along the indexes of
/// what is open and of open batches; done and cancelled ones, however many, are not looked at.
pub async fn backlog(worker: &BoundedPool) -> Result<Vec<(String, i64, f64)>, StoreError> {
    let rows = sqlx::query(
        "SELECT kind, count(*) AS open, extract(epoch FROM now() - min(created_at))::float8 AS oldest_s
         FROM (SELECT kind, created_at FROM outbox WHERE status IN ('ready', 'accepted')
               UNION ALL SELECT b.kind, b.created_at FROM settlements s JOIN settlement_members m ON m.batch = s.batch
                   JOIN outbox b ON b.id = m.effect
               WHERE s.status NOT IN ('done', 'failed') AND CASE b.status WHEN 'batched' THEN NOT m.released END) o GROUP BY kind",
    )
    .fetch_all(worker)
    .await?;
    rows.iter().map(|r| Ok((r.try_get("kind")?, r.try_get("open")?, r.try_get("oldest_s")?))).collect()
}
