//! Settlement batches: members are fixed before anything is signed, the raw transaction is stored before it
//! is broadcast, and a member is in one live batch at most (the database holds that).

use crate::StoreError;
use crate::outbox::{Claim, claimed};
use crate::row::{minor_i64, tenant, tenant_i32};
use settla_domain::effect::EffectKind;
use settla_domain::id::EffectId;
use settla_domain::tenant::TenantNo;
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{Postgres, Row, Transaction};
use uuid::Uuid;

/// A member of a batch.
#[derive(Debug, Clone)]
pub struct Member {
    /// The settle effect.
    pub effect: EffectId,
    /// Whose.
    pub tenant: TenantNo,
    /// The transfer.
    pub subject: Uuid,
    /// Token minor units.
    pub amount: i64,
}

/// Where a batch goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lane {
    /// CAIP-2.
    pub chain: String,
    /// The receiving provider.
    pub provider: String,
    /// Token contract.
    pub token: String,
    /// The provider's deposit address.
    pub destination: String,
}

/// A batch on its way.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// Its id, also the signer's intent id.
    pub batch: Uuid,
    /// Where it goes.
    pub lane: Lane,
    /// Sum of its members.
    pub total: i64,
    /// Hash of the manifest.
    pub manifest_hash: Vec<u8>,
    /// `closed`, `signed` or `confirmed`.
    pub status: String,
    /// The transaction, once signed.
    pub tx_hash: Option<String>,
    /// Its bytes.
    pub raw: Option<Vec<u8>>,
}

/// Claims due settle effects and holds them locked until the batches they go into are written.
pub struct Gathering {
    tx: Transaction<'static, Postgres>,
    /// What was found.
    pub claims: Vec<Claim>,
}

/// Starts a gathering of at most `limit` effects. Only joining a batch counts as an attempt: a claim's `attempt`
/// is the number of batches that it was in before.
pub async fn gather(worker: &PgPool, limit: i64) -> Result<Gathering, StoreError> {
    let mut tx = worker.begin().await?;
    let rows = sqlx::query(
        "SELECT id, tenant, subject, payload, status, attempts, coalesce(first_attempt_at, now()) AS first_attempt_at, epoch
         FROM outbox WHERE kind = $1 AND status = 'ready' AND next_at <= now()
         ORDER BY next_at LIMIT $2 FOR UPDATE SKIP LOCKED",
    )
    .bind(EffectKind::Settle.name())
    .bind(limit)
    .fetch_all(&mut *tx)
    .await?;
    let claims = rows.iter().map(claimed).collect::<Result<_, _>>()?;
    Ok(Gathering { tx, claims })
}

impl Gathering {
    /// Writes a closed batch with its members.
    pub async fn close(
        &mut self,
        batch: Uuid,
        lane: &Lane,
        members: &[Member],
        manifest_hash: &[u8],
    ) -> Result<(), StoreError> {
        let total = members
            .iter()
            .try_fold(0i128, |sum, m| sum.checked_add(i128::from(m.amount)))
            .ok_or(StoreError::Corrupt("total"))?;
        sqlx::query(
            "INSERT INTO settlements (batch, chain, provider, token, destination, total, manifest_hash, status, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, 'closed', now(), now())",
        )
        .bind(batch)
        .bind(&lane.chain)
        .bind(&lane.provider)
        .bind(&lane.token)
        .bind(&lane.destination)
        .bind(minor_i64(total)?)
        .bind(manifest_hash)
        .execute(&mut *self.tx)
        .await?;
        sqlx::query(
            "WITH batched AS (UPDATE outbox SET status = 'batched', attempts = attempts + 1, epoch = epoch + 1,
                  first_attempt_at = coalesce(first_attempt_at, now()) WHERE id = ANY ($2))
             INSERT INTO settlement_members (batch, effect, tenant, subject, amount)
             SELECT $1, * FROM unnest($2::uuid[], $3::int[], $4::uuid[], $5::bigint[])",
        )
        .bind(batch)
        .bind(members.iter().map(|m| m.effect.0).collect::<Vec<_>>())
        .bind(members.iter().map(|m| tenant_i32(m.tenant)).collect::<Vec<_>>())
        .bind(members.iter().map(|m| m.subject).collect::<Vec<_>>())
        .bind(members.iter().map(|m| m.amount).collect::<Vec<_>>())
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// Makes the batches real.
    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.tx.commit().await?)
    }
}

/// Batches that are not finished, oldest first.
pub async fn open(worker: &PgPool, limit: i64) -> Result<Vec<Settlement>, StoreError> {
    let rows =
        sqlx::query("SELECT * FROM settlements WHERE status NOT IN ('done', 'failed') ORDER BY created_at LIMIT $1")
            .bind(limit)
            .fetch_all(worker)
            .await?;
    rows.iter().map(settlement).collect()
}

fn settlement(row: &PgRow) -> Result<Settlement, StoreError> {
    Ok(Settlement {
        batch: row.try_get("batch")?,
        lane: Lane {
            chain: row.try_get("chain")?,
            provider: row.try_get("provider")?,
            token: row.try_get("token")?,
            destination: row.try_get("destination")?,
        },
        total: row.try_get("total")?,
        manifest_hash: row.try_get("manifest_hash")?,
        status: row.try_get("status")?,
        tx_hash: row.try_get("tx_hash")?,
        raw: row.try_get("raw")?,
    })
}

/// A batch's members, in order of effect id.
pub async fn members(worker: &PgPool, batch: Uuid) -> Result<Vec<Member>, StoreError> {
    let rows = sqlx::query("SELECT * FROM settlement_members WHERE batch = $1 ORDER BY effect")
        .bind(batch)
        .fetch_all(worker)
        .await?;
    rows.iter()
        .map(|r| {
            Ok(Member {
                effect: EffectId(r.try_get("effect")?),
                tenant: tenant(r)?,
                subject: r.try_get("subject")?,
                amount: r.try_get("amount")?,
            })
        })
        .collect()
}

/// Stores the signed transaction. Before the first broadcast: when this fails, nothing may be sent.
pub async fn signed(worker: &PgPool, batch: Uuid, nonce: i64, tx_hash: &str, raw: &[u8]) -> Result<(), StoreError> {
    let done = sqlx::query(
        "UPDATE settlements SET status = 'signed', nonce = $2, tx_hash = $3, raw = $4, updated_at = now()
         WHERE batch = $1 AND (status = 'closed' OR status = 'signed' AND tx_hash = $3)",
    )
    .bind(batch)
    .bind(nonce)
    .bind(tx_hash)
    .bind(raw)
    .execute(worker)
    .await?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Corrupt("settlement")) }
}

/// Moves a batch on: `confirmed` once the receipt is at depth, `done` once every member was told. Never back.
pub async fn moved(worker: &PgPool, batch: Uuid, status: &str) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE settlements SET status = $2, updated_at = now()
         WHERE batch = $1 AND status = CASE $2 WHEN 'confirmed' THEN 'signed' WHEN 'done' THEN 'confirmed' END",
    )
    .bind(batch)
    .bind(status)
    .execute(worker)
    .await?;
    Ok(())
}

/// The batch was reverted at depth: nothing moved. Its members may join another one after `delay_ms`. Once: said
/// again, it would free members of the batch that they have joined since.
pub async fn failed(worker: &PgPool, batch: Uuid, delay_ms: i64) -> Result<(), StoreError> {
    sqlx::query(
        "WITH f AS (UPDATE settlements SET status = 'failed', updated_at = now() WHERE batch = $1 AND status IN ('closed', 'signed') RETURNING batch),
              m AS (UPDATE settlement_members SET released = true WHERE batch IN (SELECT batch FROM f) RETURNING effect)
         UPDATE outbox SET status = 'ready', next_at = now() + $2 * interval '1 millisecond'
         WHERE id IN (SELECT effect FROM m) AND status = 'batched'",
    )
    .bind(batch)
    .bind(delay_ms)
    .execute(worker)
    .await?;
    Ok(())
}
