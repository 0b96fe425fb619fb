//! Breaks: what does not agree, since when.

use crate::StoreError;
use crate::bounded::BoundedPool;
use crate::row::{at, tenant};
use settla_domain::tenant::TenantNo;
use settla_domain::time::Timestamp;
use sqlx::Row;
use sqlx::postgres::PgRow;

/// Two books that do not agree about something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakRow {
    /// What kind, a stable code.
    pub kind: String,
    /// Which one of its kind.
    pub key: String,
    /// Whose; the platform's if it concerns no tenant, or that is not known.
    pub tenant: TenantNo,
    /// The transfer, withdrawal, top-up, batch, effect or endpoint.
    pub subject: Option<String>,
    /// In which currency.
    pub currency: Option<String>,
    /// What we have, minor units.
    pub ours: Option<i64>,
    /// What they have, minor units.
    pub theirs: Option<i64>,
    /// In words.
    pub detail: String,
    /// When it was first seen.
    pub first_seen: Timestamp,
    /// When it was last seen.
    pub last_seen: Timestamp,
    /// Since when it counts: until then it might have been on its way.
    pub opened_at: Option<Timestamp>,
    /// When it was gone.
    pub resolved_at: Option<Timestamp>,
}

/// Most that are listed.
const LISTED_MAX: i64 = 500;

fn maybe_at(row: &PgRow, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
    let at: Option<time::OffsetDateTime> = row.try_get(column)?;
    Ok(at.map(Timestamp::from_datetime))
}

pub(super) fn break_row(r: &PgRow) -> Result<BreakRow, StoreError> {
    Ok(BreakRow {
        kind: r.try_get("kind")?,
        key: r.try_get("key")?,
        tenant: tenant(r)?,
        subject: r.try_get("subject")?,
        currency: r.try_get("currency")?,
        ours: r.try_get("ours")?,
        theirs: r.try_get("theirs")?,
        detail: r.try_get("detail")?,
        first_seen: at(r, "first_seen")?,
        last_seen: at(r, "last_seen")?,
        opened_at: maybe_at(r, "opened_at")?,
        resolved_at: maybe_at(r, "resolved_at")?,
    })
}

/// Which breaks to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// Those that count now, oldest first.
    Open,
    /// Those that did and are gone, newest first.
    Resolved,
}

/// Breaks that count or counted.
pub async fn list(auditor: &BoundedPool, listed: Listed) -> Result<Vec<BreakRow>, StoreError> {
    let statement = match listed {
        Listed::Open => {
            "SELECT * FROM reconciliation_breaks WHERE resolved_at IS NULL AND opened_at IS NOT NULL
             ORDER BY first_seen, id LIMIT $1"
        }
        Listed::Resolved => {
            "SELECT * FROM reconciliation_breaks WHERE resolved_at IS NOT NULL ORDER BY resolved_at DESC LIMIT $1"
        }
    };
    let rows = sqlx::query(statement).bind(LISTED_MAX).fetch_all(auditor).await?;
    rows.iter().map(break_row).collect()
}

/// Open breaks by kind: how many, and for how many seconds the oldest has been there.
pub async fn open_by_kind(auditor: &BoundedPool) -> Result<Vec<(String, i64, f64)>, StoreError> {
    let rows = sqlx::query(
        "SELECT kind, count(*) AS n, extract(epoch FROM now() - min(first_seen))::float8 AS oldest_s
         FROM reconciliation_breaks WHERE resolved_at IS NULL AND opened_at IS NOT NULL GROUP BY kind",
    )
    .fetch_all(auditor)
    .await?;
    rows.iter().map(|r| Ok((r.try_get("kind")?, r.try_get("n")?, r.try_get("oldest_s")?))).collect()
}

/// When each book was last compared to its end, by its name.
pub async fn compared(auditor: &BoundedPool) -> Result<Vec<(String, Timestamp)>, StoreError> {
    let rows = sqlx::query("SELECT name, value FROM reconciliation_cursors WHERE name LIKE 'compared/%'")
        .fetch_all(auditor)
        .await?;
    rows.iter()
        .map(|r| {
            let (name, value): (&str, &str) = (r.try_get("name")?, r.try_get("value")?);
            let at = value.parse().map_err(|_| StoreError::Corrupt("value"))?;
            Ok((name.trim_start_matches("compared/").to_owned(), Timestamp(at)))
        })
        .collect()
}
