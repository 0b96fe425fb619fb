//! Settlement batches: members are fixed before anything is signed, every signed transaction is stored before it
//! is broadcast, and a member is in one live batch at most (the database holds that).

mod gather;

use crate::StoreError;
use crate::bounded::BoundedPool;
use crate::row::tenant;
use settla_domain::effect::EffectKind;
use settla_domain::id::EffectId;
use settla_domain::tenant::TenantNo;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

pub use gather::{ALONE_MAX, AlonePlaces, ClosedBy, Gathering, Waiting, gather, waiting};

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
    /// The payout that the tokens are for: the member's name in the manifest.
    pub payout: EffectId,
}

impl Member {
    /// The payout that a settle effect names, or its transfer's first, which those do not that are older than that there
    /// could be more.
    pub fn payout_of(named: Option<EffectId>, subject: Uuid) -> EffectId {
        named.unwrap_or_else(|| EffectKind::OffRamp.id_for(subject))
    }
}

/// Where a batch goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lane {
    /// CAIP-2.
    pub chain: String,
    /// The receiving provider.
    pub provider: String,
    /// The stablecoin.
    pub currency: String,
    /// Its contract.
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
    /// `closed`, `signed`, `confirmed` or `done`.
    pub status: String,
    /// The nonce that all its transactions have, once signed.
    pub nonce: Option<i64>,
    /// The transaction that counts: the one signed last, then the one in a block at depth.
    pub tx_hash: Option<String>,
    /// How long ago it was closed.
    pub age_ms: i64,
}

/// A signed transaction of a batch.
#[derive(Debug, Clone)]
pub struct SignedTransaction {
    /// Its hash.
    pub tx_hash: String,
    /// Its bytes.
    pub raw: Vec<u8>,
    /// Wei a unit of gas at most.
    pub max_fee_per_gas: i64,
    /// Of it to the block builder.
    pub max_priority_fee_per_gas: i64,
    /// How long ago it was signed.
    pub age_ms: i64,
}

/// Batches that are not finished, oldest first, at most `limit` of each status: those that wait for an off-ramp to hear
/// of them are not in the way of those that are to be signed.
pub async fn open(worker: &BoundedPool, limit: i64) -> Result<Vec<Settlement>, StoreError> {
    let rows = sqlx::query(
        "SELECT *, (extract(epoch FROM now() - created_at) * 1000)::bigint AS age_ms
         FROM (SELECT *, row_number() OVER (PARTITION BY status ORDER BY created_at) AS place FROM settlements
                        WHERE status NOT IN ('done', 'failed')) o WHERE place <= $1 ORDER BY created_at",
    )
    .bind(limit)
    .fetch_all(worker)
    .await?;
    rows.iter().map(settlement).collect()
}

/// Batches that are done and whose block may still be lost to a reorganisation, oldest first.
pub async fn not_final(worker: &BoundedPool, limit: i64) -> Result<Vec<Settlement>, StoreError> {
    let rows = sqlx::query(
        "SELECT *, (extract(epoch FROM now() - created_at) * 1000)::bigint AS age_ms
             FROM settlements WHERE status = 'done' AND NOT final ORDER BY updated_at LIMIT $1",
    )
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
            currency: row.try_get("currency")?,
            token: row.try_get("token")?,
            destination: row.try_get("destination")?,
        },
        status: row.try_get("status")?,
        nonce: row.try_get("nonce")?,
        tx_hash: row.try_get("tx_hash")?,
        age_ms: row.try_get("age_ms")?,
    })
}

/// A batch's members, in order of effect id.
pub async fn members(worker: &BoundedPool, batch: Uuid) -> Result<Vec<Member>, StoreError> {
    let rows = sqlx::query("SELECT * FROM settlement_members WHERE batch = $1 ORDER BY effect")
        .bind(batch)
        .fetch_all(worker)
        .await?;
    rows.iter()
        .map(|r| {
            let subject = r.try_get("subject")?;
            let payout = r.try_get::<Option<Uuid>, _>("payout")?.map(EffectId);
            Ok(Member {
                effect: EffectId(r.try_get("effect")?),
                tenant: tenant(r)?,
                subject,
                amount: r.try_get("amount")?,
                payout: Member::payout_of(payout, subject),
            })
        })
        .collect()
}

/// A transaction that was signed for a batch.
pub struct NewTransaction<'a> {
    /// The nonce: the same for all of a batch.
    pub nonce: i64,
    /// Its hash.
    pub tx_hash: &'a str,
    /// Its bytes.
    pub raw: &'a [u8],
    /// Wei a unit of gas at most.
    pub max_fee_per_gas: i64,
    /// Of it to the block builder.
    pub max_priority_fee_per_gas: i64,
}

/// Stores a signed transaction. Before its first broadcast: when this fails, nothing may be sent. Once more the same is
/// nothing new; one with another nonce than the batch has is refused.
pub async fn signed(worker: &BoundedPool, batch: Uuid, new: &NewTransaction<'_>) -> Result<(), StoreError> {
    worker.within(store_signed(worker, batch, new)).await
}

async fn store_signed(worker: &BoundedPool, batch: Uuid, new: &NewTransaction<'_>) -> Result<(), StoreError> {
    let mut tx = worker.begin().await?;
    let done = sqlx::query(
        "UPDATE settlements SET status = 'signed', nonce = $2, tx_hash = $3, updated_at = now()
         WHERE batch = $1 AND (status = 'closed' OR status = 'signed' AND nonce = $2)",
    )
    .bind(batch)
    .bind(new.nonce)
    .bind(new.tx_hash)
    .execute(&mut *tx)
    .await?;
    if done.rows_affected() != 1 {
        return Err(StoreError::Corrupt("settlement"));
    }
    sqlx::query(
        "INSERT INTO settlement_transactions (batch, tx_hash, raw, max_fee_per_gas, max_priority_fee_per_gas)
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (tx_hash) DO NOTHING",
    )
    .bind(batch)
    .bind(new.tx_hash)
    .bind(new.raw)
    .bind(new.max_fee_per_gas)
    .bind(new.max_priority_fee_per_gas)
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

/// All signed transactions of a batch, the last one last.
pub async fn transactions(worker: &BoundedPool, batch: Uuid) -> Result<Vec<SignedTransaction>, StoreError> {
    let rows = sqlx::query(
        "SELECT *, (extract(epoch FROM now() - signed_at) * 1000)::bigint AS age_ms FROM settlement_transactions
         WHERE batch = $1 ORDER BY max_fee_per_gas",
    )
    .bind(batch)
    .fetch_all(worker)
    .await?;
    rows.iter()
        .map(|r| {
            Ok(SignedTransaction {
                tx_hash: r.try_get("tx_hash")?,
                raw: r.try_get("raw")?,
                max_fee_per_gas: r.try_get("max_fee_per_gas")?,
                max_priority_fee_per_gas: r.try_get("max_priority_fee_per_gas")?,
                age_ms: r.try_get("age_ms")?,
            })
        })
        .collect()
}

/// A transaction of the batch is in a block at depth and has done what it says.
pub async fn confirmed(worker: &BoundedPool, batch: Uuid, tx_hash: &str) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE settlements SET status = 'confirmed', tx_hash = $2, updated_at = now()
         WHERE batch = $1 AND status = 'signed'",
    )
    .bind(batch)
    .bind(tx_hash)
    .execute(worker)
    .await?;
    Ok(())
}

/// After a reorganisation another transaction of a finished batch is in a block.
pub async fn found_again(worker: &BoundedPool, batch: Uuid, tx_hash: &str) -> Result<(), StoreError> {
    sqlx::query("UPDATE settlements SET tx_hash = $2 WHERE batch = $1 AND status = 'done'")
        .bind(batch)
        .bind(tx_hash)
        .execute(worker)
        .await?;
    Ok(())
}

/// Every member was told.
pub async fn done(worker: &BoundedPool, batch: Uuid) -> Result<(), StoreError> {
    sqlx::query("UPDATE settlements SET status = 'done', updated_at = now() WHERE batch = $1 AND status = 'confirmed'")
        .bind(batch)
        .execute(worker)
        .await?;
    Ok(())
}

/// The block of a finished batch is so deep that nobody looks at it any more.
pub async fn finalised(worker: &BoundedPool, batches: &[Uuid]) -> Result<(), StoreError> {
    sqlx::query("UPDATE settlements SET final = true WHERE batch = ANY ($1) AND status = 'done'")
        .bind(batches)
        .execute(worker)
        .await?;
    Ok(())
}

/// The batch's nonce was used up at depth without moving its tokens. Its members may join another one after
/// `delay_ms`. Once: said again, it would free members of the batch that they have joined since.
pub async fn failed(worker: &BoundedPool, batch: Uuid, failure: &str, delay_ms: i64) -> Result<(), StoreError> {
    sqlx::query(
        "WITH f AS (UPDATE settlements SET status = 'failed', failure = $3, updated_at = now()
                    WHERE batch = $1 AND status IN ('closed', 'signed') RETURNING batch),
              m AS (UPDATE settlement_members SET released = true WHERE batch IN (SELECT batch FROM f) RETURNING effect)
         UPDATE outbox o SET status = 'ready', next_at = now() + $2 * interval '1 millisecond'
         FROM m WHERE o.id = m.effect AND CASE o.status WHEN 'batched' THEN true END",
    )
    .bind(batch)
    .bind(delay_ms)
    .bind(failure)
    .execute(worker)
    .await?;
    Ok(())
}
