//! What waits to be settled, and putting it into batches.

use super::{Lane, Member};
use crate::StoreError;
use crate::bounded::BoundedPool;
use crate::outbox::{Claim, Moment, readable};
use crate::row::{json, minor_i64, tenant, tenant_i32};
use crate::set_aside;
use settla_domain::effect::{Effect, EffectKind};
use settla_domain::money::{Currency, Money};
use settla_domain::tenant::TenantNo;
use settla_domain::transfer::Settlement as Mode;
use sqlx::{Postgres, Row, Transaction};
use std::collections::HashMap;
use uuid::Uuid;

/// What waits for one destination on one chain in one stablecoin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// CAIP-2.
    pub chain: String,
    /// The receiving provider.
    pub provider: String,
    /// The stablecoin.
    pub currency: Currency,
    /// For how long the first one has been due.
    pub oldest_ms: i64,
    /// Sum of what may be batched; it may be more than one batch can be.
    pub total: Money,
    /// How many may be batched.
    pub batched: i64,
    /// How many want a transaction of their own and get it.
    pub alone: i64,
}

/// What closed a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClosedBy {
    /// Its oldest member had waited for the whole window.
    Window,
    /// Its amount was reached.
    Amount,
    /// It was full.
    Members,
    /// It is for one member that does not wait for others.
    Alone,
}

impl ClosedBy {
    /// Name as stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Window => "window",
            Self::Amount => "amount",
            Self::Members => "members",
            Self::Alone => "alone",
        }
    }
}

/// How many batches of one member each tenant may have under way; what is more joins the others. A batch takes one of the
/// few places that the chain is followed in, whoever asked for it.
pub const ALONE_MAX: usize = 8;

/// Places for batches of one member, by tenant.
#[derive(Debug, Clone, Default)]
pub struct AlonePlaces {
    taken: HashMap<TenantNo, usize>,
}

impl AlonePlaces {
    /// Those that are taken now.
    pub async fn taken(worker: &BoundedPool) -> Result<Self, StoreError> {
        let rows = sqlx::query(
            "SELECT m.tenant, count(*) AS n FROM settlements s JOIN settlement_members m ON m.batch = s.batch
             WHERE s.status NOT IN ('done', 'failed') AND s.closed_by = 'alone' GROUP BY m.tenant",
        )
        .fetch_all(worker)
        .await?;
        let mut taken = HashMap::new();
        for row in &rows {
            let count: i64 = row.try_get("n")?;
            taken.insert(tenant(row)?, usize::try_from(count).unwrap_or(usize::MAX));
        }
        Ok(Self { taken })
    }

    /// Takes one. Returns whether there was one left.
    pub fn take(&mut self, tenant: TenantNo) -> bool {
        let taken = self.taken.entry(tenant).or_default();
        let is_free = *taken < ALONE_MAX;
        *taken += usize::from(is_free);
        is_free
    }
}

/// Looks at what waits, without taking it: at most `limit` effects. What cannot be read is set aside.
pub async fn waiting(worker: &BoundedPool, limit: i64, mut places: AlonePlaces) -> Result<Vec<Waiting>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, tenant, payload, (extract(epoch FROM now() - next_at) * 1000)::bigint AS waited_ms FROM outbox
         WHERE kind = $1 AND status = 'ready' AND next_at <= now() ORDER BY next_at LIMIT $2",
    )
    .bind(EffectKind::Settle.name())
    .bind(limit)
    .fetch_all(worker)
    .await?;
    let (mut lanes, mut unreadable) = (Vec::new(), Vec::new());
    for row in &rows {
        match json(row, "payload") {
            Ok(Effect::Settle { chain, provider, amount, settlement, .. }) => {
                let lane = lane(&mut lanes, chain, provider, amount.currency, row.try_get("waited_ms")?);
                match settlement {
                    Mode::Alone if places.take(tenant(row)?) => lane.alone += 1,
                    Mode::Alone | Mode::Batched => {
                        lane.batched += 1;
                        lane.total.minor = lane.total.minor.saturating_add(amount.minor);
                    }
                }
            }
            _ => unreadable.push(row.try_get("id")?),
        }
    }
    set_aside::unreadable(worker, &unreadable).await?;
    Ok(lanes)
}

/// The lane among those seen so far. Rows come oldest first, so whoever opens one has waited longest in it.
fn lane(lanes: &mut Vec<Waiting>, chain: String, provider: String, currency: Currency, oldest_ms: i64) -> &mut Waiting {
    let seen = lanes.iter().position(|l| (&l.chain, &l.provider, l.currency) == (&chain, &provider, currency));
    let place = seen.unwrap_or_else(|| {
        lanes.push(Waiting {
            chain,
            provider,
            currency,
            oldest_ms,
            total: Money::new(currency, 0),
            batched: 0,
            alone: 0,
        });
        lanes.len() - 1
    });
    &mut lanes[place]
}

/// Claims due settle effects and holds them locked until the batches they go into are written.
pub struct Gathering {
    tx: Transaction<'static, Postgres>,
    /// What was found, oldest first.
    pub claims: Vec<Claim>,
}

/// Starts a gathering of at most `limit` effects of one lane. Only joining a batch counts as an attempt: a claim's
/// `attempt` is the number of batches that it was in before.
pub async fn gather(worker: &BoundedPool, lane: &Waiting, limit: i64) -> Result<Gathering, StoreError> {
    let mut tx = worker.begin().await?;
    let rows = sqlx::query(
        "SELECT id, tenant, subject, payload, status, attempts, coalesce(first_attempt_at, now()) AS first_attempt_at, epoch
         FROM outbox WHERE kind = $1 AND status = 'ready' AND next_at <= now()
             AND payload->>'chain' = $3 AND payload->>'provider' = $4 AND payload->'amount'->>'currency' = $5
         ORDER BY next_at LIMIT $2 FOR UPDATE SKIP LOCKED",
    )
    .bind(EffectKind::Settle.name())
    .bind(limit)
    .bind(&lane.chain)
    .bind(&lane.provider)
    .bind(lane.currency.code())
    .fetch_all(&mut *tx)
    .await?;
    let (claims, unreadable) = readable(&rows, Moment::now())?;
    set_aside::unreadable(&mut *tx, &unreadable).await?;
    Ok(Gathering { tx, claims })
}

impl Gathering {
    /// Writes a closed batch with its members.
    pub async fn close(
        &mut self,
        batch: Uuid,
        lane: &Lane,
        closed_by: ClosedBy,
        members: &[Member],
        manifest_hash: &[u8],
    ) -> Result<(), StoreError> {
        let total = members
            .iter()
            .try_fold(0i128, |sum, m| sum.checked_add(i128::from(m.amount)))
            .ok_or(StoreError::Corrupt("total"))?;
        sqlx::query(
            "INSERT INTO settlements (batch, chain, provider, currency, token, destination, total, manifest_hash, closed_by,
                 status, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'closed', now(), now())",
        )
        .bind(batch)
        .bind(&lane.chain)
        .bind(&lane.provider)
        .bind(&lane.currency)
        .bind(&lane.token)
        .bind(&lane.destination)
        .bind(minor_i64(total)?)
        .bind(manifest_hash)
        .bind(closed_by.name())
        .execute(&mut *self.tx)
        .await?;
        sqlx::query(
            "WITH batched AS (UPDATE outbox o SET status = 'batched', attempts = o.attempts + 1, epoch = o.epoch + 1,
                  first_attempt_at = coalesce(o.first_attempt_at, now()) FROM unnest($2::uuid[]) k (id) WHERE o.id = k.id)
             INSERT INTO settlement_members (batch, effect, tenant, subject, amount, payout)
             SELECT $1, * FROM unnest($2::uuid[], $3::int[], $4::uuid[], $5::bigint[], $6::uuid[])",
        )
        .bind(batch)
        .bind(members.iter().map(|m| m.effect.0).collect::<Vec<_>>())
        .bind(members.iter().map(|m| tenant_i32(m.tenant)).collect::<Vec<_>>())
        .bind(members.iter().map(|m| m.subject).collect::<Vec<_>>())
        .bind(members.iter().map(|m| m.amount).collect::<Vec<_>>())
        .bind(members.iter().map(|m| m.payout.0).collect::<Vec<_>>())
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// Makes the batches real.
    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.tx.commit().await?)
    }
}
