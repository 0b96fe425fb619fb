//! Growth: monthly partitions, made ahead and taken out by people, and the sweeping of what need not be kept.
//!
//! What is swept, and how old it has to be, is a policy of the table's: to the workers' role nothing else is there.

use crate::StoreError;
use crate::bounded::BoundedPool;
use crate::operator::audit;
use settla_domain::tenant::TenantNo;
use sqlx::Row;
use sqlx::postgres::PgExecutor;
use uuid::Uuid;

/// Tables in monthly partitions.
pub const PARTITIONED: [&str; 4] = ["audit_log", "events", "outbox", "postings"];
/// Most strays that are counted.
const STRAYS_MAX: i64 = 1_000;
/// A row's id may be older by the clock of its writer than that of what it is about, by this.
const CLOCKS_APART_MS: u64 = 24 * 3_600 * 1_000;

/// Makes the partitions of this and the next three months, where there are none. A table that is too busy for a moment
/// is left out; [`ahead`] tells.
///
/// **Costs** a look at the catalogue when all are there. Any number of processes may do so at once.
pub async fn make_partitions(worker: impl PgExecutor<'_>) -> Result<(), StoreError> {
    sqlx::query("SELECT make_partitions()").execute(worker).await?;
    Ok(())
}

/// For how many months after this one each table has partitions.
pub async fn ahead(auditor: &BoundedPool) -> Result<Vec<(String, i64)>, StoreError> {
    let rows = sqlx::query(
        "SELECT p.relname::text AS name, count(c.oid) AS ahead FROM pg_class p
         LEFT JOIN pg_inherits i ON i.inhparent = p.oid
         LEFT JOIN pg_class c ON c.oid = i.inhrelid AND c.relname ~ '_[0-9]{4}_[0-9]{2}$'
             AND right(c.relname, 7) > to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM')
         WHERE p.relnamespace = 'settla'::regnamespace AND p.relkind = 'p' GROUP BY p.relname ORDER BY 1",
    )
    .fetch_all(auditor)
    .await?;
    rows.iter().map(|r| Ok((r.try_get("name")?, r.try_get("ahead")?))).collect()
}

/// Rows that have come by a clock for whose month there is no partition, by table; no more than 1,000 are counted.
pub async fn strays(auditor: &BoundedPool) -> Result<Vec<(&'static str, i64)>, StoreError> {
    let mut strays = Vec::with_capacity(PARTITIONED.len());
    for table in PARTITIONED {
        let count = format!("SELECT count(*) AS n FROM (SELECT FROM {table}_rest WHERE has_time(id) LIMIT $1) s");
        let row = sqlx::query(&count).bind(STRAYS_MAX).fetch_one(auditor).await?;
        strays.push((table, row.try_get("n")?));
    }
    Ok(strays)
}

/// A month of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// The table.
    pub table: String,
    /// `2026-01`, or `rest`: rows that belong to no month.
    pub month: String,
    /// Rows, as the last vacuum or analysis has estimated them; nothing before the first one.
    pub rows: Option<i64>,
    /// Bytes with indexes.
    pub bytes: i64,
    /// For how many months after its own a month is kept at least; nothing: for ever.
    pub months_kept: Option<i32>,
}

/// All partitions, by table and month.
pub async fn partitions(auditor: &BoundedPool) -> Result<Vec<Partition>, StoreError> {
    let rows = sqlx::query(
        "SELECT p.relname::text AS name, replace(substr(c.relname, length(p.relname) + 2), '_', '-') AS month,
             nullif(c.reltuples, -1)::bigint AS rows, pg_total_relation_size(c.oid) AS bytes, months_kept(p.relname::text) AS months_kept
         FROM pg_class p JOIN pg_inherits i ON i.inhparent = p.oid JOIN pg_class c ON c.oid = i.inhrelid
         WHERE p.relnamespace = 'settla'::regnamespace AND p.relkind = 'p' ORDER BY 1, 2",
    )
    .fetch_all(auditor)
    .await?;
    rows.iter()
        .map(|r| {
            Ok(Partition {
                table: r.try_get("name")?,
                month: r.try_get("month")?,
                rows: r.try_get("rows")?,
                bytes: r.try_get("bytes")?,
                months_kept: r.try_get("months_kept")?,
            })
        })
        .collect()
}

/// Takes a month (its first day) out of a table, with an entry in the audit log. Says why not, if it is still needed.
/// [`StoreError::Retry`] if the table was too busy to be locked for a moment.
pub async fn detach(
    operator: &BoundedPool,
    table: &str,
    month: time::Date,
    by: &str,
    ticket: &str,
) -> Result<Result<(), String>, StoreError> {
    let mut tx = operator.begin().await?;
    let row =
        sqlx::query("SELECT detach_partition($1, $2) AS why_not").bind(table).bind(month).fetch_one(&mut *tx).await?;
    if let Some(why_not) = row.try_get("why_not")? {
        return Ok(Err(why_not));
    }
    let object = format!("{table} {}-{:02} {ticket}", month.year(), u8::from(month.month()));
    audit(&mut tx, TenantNo::PLATFORM, by, "data.detach", &object).await?;
    tx.commit().await?;
    Ok(Ok(()))
}

/// What need not be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swept {
    /// First answers, 24 hours after them.
    Idempotency,
    /// Quotes that nobody used, two days after they have expired.
    Quotes,
    /// Markers of commits, after seven days.
    CommitMarkers,
    /// What providers sent, once it has been dealt with and is 30 days old.
    ProviderEvents,
}

impl Swept {
    /// All there are. A quote goes after the first answer that is it.
    pub const ALL: [Self; 4] = [Self::Idempotency, Self::Quotes, Self::CommitMarkers, Self::ProviderEvents];

    /// The table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idempotency => "idempotency",
            Self::Quotes => "quotes",
            Self::CommitMarkers => "commit_markers",
            Self::ProviderEvents => "provider_events",
        }
    }

    /// Deletes the oldest `$1`.
    pub fn statement(self) -> &'static str {
        match self {
            Self::Idempotency => {
                "DELETE FROM idempotency i USING (
                     SELECT tenant, key FROM idempotency ORDER BY created_at LIMIT $1) o
                 WHERE i.tenant = o.tenant AND i.key = o.key"
            }
            Self::Quotes => {
                "DELETE FROM quotes q USING (
                     SELECT tenant, id FROM quotes WHERE NOT used ORDER BY expires_at LIMIT $1) o
                 WHERE q.tenant = o.tenant AND q.id = o.id"
            }
            // Ids of batches say when they began.
            Self::CommitMarkers => {
                "DELETE FROM commit_markers m USING (
                     SELECT batch FROM commit_markers WHERE batch < id_floor(now() - interval '7 days') ORDER BY batch LIMIT $1) o
                 WHERE m.batch = o.batch"
            }
            // Of these the role sees younger ones, too, and may not delete them.
            Self::ProviderEvents => {
                "DELETE FROM provider_events p USING (
                     SELECT provider, event_id FROM provider_events
                     WHERE processed AND received_at < now() - interval '30 days' ORDER BY received_at LIMIT $1) o
                 WHERE p.provider = o.provider AND p.event_id = o.event_id"
            }
        }
    }
}

/// Deletes up to `limit` of the oldest rows that need not be kept any more. Returns how many.
///
/// **Costs** a walk along an index of so many rows, whatever else is in the table.
pub async fn sweep(worker: &BoundedPool, what: Swept, limit: i64) -> Result<u64, StoreError> {
    Ok(sqlx::query(what.statement()).bind(limit).execute(worker).await?.rows_affected())
}

/// The least id of a row about something: later parts of a table alone need to be searched for such rows.
pub(crate) fn not_before(subject: Uuid) -> Uuid {
    let millisecond = (subject.as_u128() >> 80) as u64;
    Uuid::from_u128(u128::from(millisecond.saturating_sub(CLOCKS_APART_MS)) << 80)
}
