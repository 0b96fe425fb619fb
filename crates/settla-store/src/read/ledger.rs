//! Postings.

use crate::StoreError;
use crate::row::{at, money, tenant_i32};
use crate::tenant_tx;
use settla_domain::account::AccountId;
use settla_domain::id::PostingId;
use settla_domain::money::Money;
use settla_domain::tenant::TenantNo;
use settla_domain::time::Timestamp;
use sqlx::Row;
use sqlx::postgres::PgPool;
use uuid::Uuid;

/// A posting as stored.
#[derive(Debug, Clone)]
pub struct PostingRow {
    /// Its id.
    pub id: PostingId,
    /// Its number in the order of writing.
    pub sequence: i64,
    /// What it belongs to.
    pub subject: Uuid,
    /// Number of a `PostingCode`.
    pub code: i16,
    /// Account debited.
    pub debit: AccountId,
    /// Account credited.
    pub credit: AccountId,
    /// How much.
    pub amount: Money,
    /// When.
    pub at: Timestamp,
}

/// The tenant's postings before a number, newest first.
pub async fn postings(
    app: &PgPool,
    tenant: TenantNo,
    subject: Option<Uuid>,
    account: Option<(AccountId, &str)>,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<PostingRow>, StoreError> {
    let mut tx = tenant_tx::begin(app, tenant).await?;
    // One text a filter, so that each has its own plan and index.
    let filter = match (subject, account) {
        (Some(_), _) => "AND subject = $3 AND ($4::uuid IS NULL OR ((debit = $4 OR credit = $4) AND currency = $5))",
        (None, Some(_)) => "AND $3::uuid IS NULL AND (debit = $4 OR credit = $4) AND currency = $5",
        (None, None) => "AND $3::uuid IS NULL AND $4::uuid IS NULL AND $5::text IS NULL",
    };
    let statement =
        format!("SELECT * FROM postings WHERE tenant = $1 AND sequence < $2 {filter} ORDER BY sequence DESC LIMIT $6");
    let rows = sqlx::query(&statement)
        .bind(tenant_i32(tenant))
        .bind(before.unwrap_or(i64::MAX))
        .bind(subject)
        .bind(account.map(|(id, _)| id.to_uuid()))
        .bind(account.map(|(_, currency)| currency))
        .bind(limit)
        .fetch_all(&mut *tx)
        .await?;
    rows.iter()
        .map(|r| {
            Ok(PostingRow {
                id: PostingId(r.try_get("id")?),
                sequence: r.try_get("sequence")?,
                subject: r.try_get("subject")?,
                code: r.try_get("code")?,
                debit: AccountId::from_uuid(r.try_get("debit")?),
                credit: AccountId::from_uuid(r.try_get("credit")?),
                amount: money(r, "currency", "amount")?,
                at: at(r, "at")?,
            })
        })
        .collect()
}
