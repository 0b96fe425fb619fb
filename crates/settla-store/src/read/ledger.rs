//! Postings, and what they add up to at an instant.

use crate::StoreError;
use crate::bounded::BoundedPool;
use crate::row::{at, money, tenant_i32};
use crate::tenant_tx;
use settla_domain::account::AccountId;
use settla_domain::id::PostingId;
use settla_domain::money::{Currency, Money};
use settla_domain::tenant::TenantNo;
use settla_domain::time::Timestamp;
use sqlx::Row;
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
    app: &BoundedPool,
    tenant: TenantNo,
    subject: Option<Uuid>,
    account: Option<(AccountId, &str)>,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<PostingRow>, StoreError> {
    let mut tx = tenant_tx::begin(app, tenant).await?;
    // One text a filter, so that each has its own plan and index.
    let filter = match (subject, account) {
        (Some(_), _) => {
            "AND id >= $7 AND id <= $8 AND subject = $3
             AND ($4::uuid IS NULL OR ((debit = $4 OR credit = $4) AND currency = $5))"
        }
        (None, Some(_)) => {
            "AND $3::uuid IS NULL AND $7::uuid IS NULL AND $8::uuid IS NULL AND (debit = $4 OR credit = $4) AND currency = $5"
        }
        (None, None) => {
            "AND $3::uuid IS NULL AND $7::uuid IS NULL AND $8::uuid IS NULL AND $4::uuid IS NULL AND $5::text IS NULL"
        }
    };
    let ids = subject.map(PostingId::of_subject);
    let statement =
        format!("SELECT * FROM postings WHERE tenant = $1 AND sequence < $2 {filter} ORDER BY sequence DESC LIMIT $6");
    let rows = sqlx::query(&statement)
        .bind(tenant_i32(tenant))
        .bind(before.unwrap_or(i64::MAX))
        .bind(subject)
        .bind(account.map(|(id, _)| id.to_uuid()))
        .bind(account.map(|(_, currency)| currency))
        .bind(limit)
        .bind(ids.map(|(low, _)| low))
        .bind(ids.map(|(_, high)| high))
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

/// Postings read for one balance at most.
const READ_MAX: i64 = 200_000;
/// Servers that post for one tenant have clocks that are no further apart than this.
const CLOCKS_APART_S: i32 = 10;

/// What an account of the tenant held at an instant: all its postings that are stamped with it or with an earlier one,
/// added up, minor units. Nothing if that takes too many postings, because they are not folded yet.
///
/// **Costs** two look-ups of a checkpoint and, by the index of a tenant's postings, those since the checkpoint before the
/// instant: usually under 1,000 of them, and what was posted in the ten seconds after it. After the last
/// checkpoint, what was posted since the last round of reconciliation besides; never more than 200,000.
pub async fn balance_at(
    app: &BoundedPool,
    tenant: TenantNo,
    account: AccountId,
    currency: Currency,
    at: Timestamp,
) -> Result<Option<i128>, StoreError> {
    let mut tx = tenant_tx::begin(app, tenant).await?;
    sqlx::query(BY_INDEX).execute(&mut *tx).await?;
    let row = sqlx::query(BALANCE_AT)
        .bind(tenant_i32(tenant))
        .bind(account.to_uuid())
        .bind(currency.code())
        .bind(at.to_datetime())
        .bind(format!("{account}/{currency}"))
        .bind(CLOCKS_APART_S)
        .bind(READ_MAX)
        .fetch_one(&mut *tx)
        .await?;
    let (read, balance): (i64, i64) = (row.try_get("read")?, row.try_get("balance")?);
    Ok((read < READ_MAX).then_some(i128::from(balance)))
}

/// A plan that was made when the table was small would read all of it for ever.
pub const BY_INDEX: &str =
    "SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
    set_config('enable_sort', 'off', true)";

/// Stamps grow with the numbers of a tenant's postings but for the difference of clocks, and a checkpoint has the latest
/// stamp up to it: all postings up to the first checkpoint below count, and none after the second one. Each bound is a
/// query of its own, since under row-level security Postgres takes a bare `coalesce` to no index.
pub const BALANCE_AT: &str = "WITH below AS MATERIALIZED (
        SELECT sequence, balances FROM ledger_checkpoints WHERE tenant = $1 AND max_at <= $4
        ORDER BY max_at DESC, sequence DESC LIMIT 1),
    above AS MATERIALIZED (
        SELECT sequence FROM ledger_checkpoints WHERE tenant = $1 AND max_at > $4 + $6 * interval '1 second'
        ORDER BY max_at, sequence LIMIT 1),
    since AS MATERIALIZED (
        SELECT debit, credit, currency, amount, at FROM postings WHERE tenant = $1
            AND sequence > (SELECT coalesce((SELECT sequence FROM below), 0))
            AND sequence <= (SELECT coalesce((SELECT sequence FROM above), 9223372036854775807))
        ORDER BY sequence LIMIT $7)
    SELECT (SELECT count(*) FROM since) AS read,
        coalesce((SELECT (balances ->> $5)::bigint FROM below), 0)
        + coalesce((SELECT sum(CASE WHEN credit = $2 THEN amount ELSE 0 END - CASE WHEN debit = $2 THEN amount ELSE 0 END)::bigint
                    FROM since WHERE currency = $3 AND at <= $4), 0) AS balance";
