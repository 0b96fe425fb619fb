//! Settlement batches as a tenant sees them: those that its transfers are in, and of their members its own.

use crate::StoreError;
use crate::bounded::BoundedPool;
use crate::row::{at, money, tenant_i32};
use crate::tenant_tx;
use settla_domain::id::{BatchId, TransferId};
use settla_domain::money::{Currency, Money};
use settla_domain::tenant::TenantNo;
use settla_domain::time::Timestamp;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

/// A batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRow {
    /// Its id.
    pub id: BatchId,
    /// `closed`, `signed`, `confirmed`, `done` or `failed`.
    pub status: String,
    /// `window`, `amount`, `members` or `alone`.
    pub closed_by: String,
    /// CAIP-2.
    pub chain: String,
    /// The receiving provider.
    pub provider: String,
    /// Token contract.
    pub token: String,
    /// The provider's deposit address.
    pub destination: String,
    /// The transaction that counts, once one is signed.
    pub tx_hash: Option<String>,
    /// All that were signed, oldest first.
    pub transactions: Vec<String>,
    /// Hash of the manifest.
    pub manifest_hash: Vec<u8>,
    /// Why it failed.
    pub failure: Option<String>,
    /// The tenant's part of it.
    pub amount: Money,
    /// How many of the tenant's transfers are in it.
    pub members: i64,
    /// When it was closed.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

const SELECT: &str = "SELECT s.batch, s.status, s.closed_by, s.chain, s.provider, s.token, s.destination, s.tx_hash, s.manifest_hash,
        s.failure, s.currency, s.created_at, s.updated_at, own.amount, own.members,
        ARRAY(SELECT t.tx_hash FROM settlement_transactions t WHERE t.batch = s.batch ORDER BY t.max_fee_per_gas) AS transactions
     FROM settlements s JOIN";

/// Batches before `before`, newest first.
pub async fn batches(
    app: &BoundedPool,
    tenant: TenantNo,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<BatchRow>, StoreError> {
    let mut tx = tenant_tx::begin(app, tenant).await?;
    let rows = sqlx::query(&format!(
        "{SELECT} (SELECT batch, sum(amount)::bigint AS amount, count(*) AS members FROM settlement_members
             WHERE tenant = $1 AND batch < coalesce($2, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
             GROUP BY batch ORDER BY batch DESC LIMIT $3) own ON own.batch = s.batch ORDER BY s.batch DESC"
    ))
    .bind(tenant_i32(tenant))
    .bind(before)
    .bind(limit)
    .fetch_all(&mut *tx)
    .await?;
    rows.iter().map(batch).collect()
}

/// One batch with the tenant's own members, if it has any.
pub async fn settlement_batch(
    app: &BoundedPool,
    tenant: TenantNo,
    id: BatchId,
) -> Result<Option<(BatchRow, Vec<(TransferId, Money)>)>, StoreError> {
    let mut tx = tenant_tx::begin(app, tenant).await?;
    let row = sqlx::query(&format!(
        "{SELECT} (SELECT batch, sum(amount)::bigint AS amount, count(*) AS members FROM settlement_members
             WHERE tenant = $1 AND batch = $2 GROUP BY batch) own ON own.batch = s.batch"
    ))
    .bind(tenant_i32(tenant))
    .bind(id.0)
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let found = batch(&row)?;
    let rows =
        sqlx::query("SELECT subject, amount FROM settlement_members WHERE tenant = $1 AND batch = $2 ORDER BY subject")
            .bind(tenant_i32(tenant))
            .bind(id.0)
            .fetch_all(&mut *tx)
            .await?;
    let currency: Currency = found.amount.currency;
    let member = |r: &PgRow| -> Result<_, StoreError> {
        let amount: i64 = r.try_get("amount")?;
        Ok((TransferId(r.try_get("subject")?), Money::new(currency, i128::from(amount))))
    };
    let members = rows.iter().map(member).collect::<Result<_, _>>()?;
    Ok(Some((found, members)))
}

fn batch(row: &PgRow) -> Result<BatchRow, StoreError> {
    Ok(BatchRow {
        id: BatchId(row.try_get("batch")?),
        status: row.try_get("status")?,
        closed_by: row.try_get("closed_by")?,
        chain: row.try_get("chain")?,
        provider: row.try_get("provider")?,
        token: row.try_get("token")?,
        destination: row.try_get("destination")?,
        tx_hash: row.try_get("tx_hash")?,
        transactions: row.try_get("transactions")?,
        manifest_hash: row.try_get("manifest_hash")?,
        failure: row.try_get("failure")?,
        amount: money(row, "currency", "amount")?,
        members: row.try_get("members")?,
        created_at: at(row, "created_at")?,
        updated_at: at(row, "updated_at")?,
    })
}
