//! Effects that failed again and again: set aside with a reason, listed, and put back by people.

use crate::StoreError;
use crate::bounded::BoundedPool;
use crate::outbox::Claim;
use crate::row::{at, tenant, tenant_i32};
use settla_domain::id::EffectId;
use settla_domain::tenant::TenantNo;
use settla_domain::time::Timestamp;
use sqlx::Row;
use sqlx::postgres::PgExecutor;
use uuid::Uuid;

/// After so many failures an effect is set aside.
pub const FAILURES_MAX: i32 = 10;
/// Most that are listed.
const LISTED_MAX: i64 = 500;
/// What cannot even be read.
const UNREADABLE: &str = "unreadable";

/// Dealing with a claim failed in a way that is nobody's answer: a defect, or a row that does not fit. It comes back
/// later each time, and at last not by itself. Returns whether it was set aside.
pub async fn failed(worker: &BoundedPool, claim: &Claim, reason: &str) -> Result<bool, StoreError> {
    let row = sqlx::query(
        "UPDATE outbox SET failures = failures + 1, lease_until = NULL,
             set_aside = CASE WHEN failures + 1 >= $4 THEN $3 END,
             next_at = CASE WHEN failures + 1 >= $4 THEN 'infinity' ELSE now() + least(2 ^ failures, 60) * interval '1 second' END
         WHERE id = $1 AND epoch = $2 AND status IN ('ready', 'accepted') RETURNING set_aside IS NOT NULL AS is_aside",
    )
    .bind(claim.id.0)
    .bind(claim.epoch)
    .bind(reason)
    .bind(FAILURES_MAX)
    .fetch_optional(worker)
    .await?;
    row.map_or(Ok(false), |r| Ok(r.try_get("is_aside")?))
}

/// Rows that cannot be read are set aside at once: whoever claims with them must not stumble over them each time.
pub(crate) async fn unreadable(worker: impl PgExecutor<'_>, effects: &[Uuid]) -> Result<(), StoreError> {
    if effects.is_empty() {
        return Ok(());
    }
    tracing::error!(?effects, "effects cannot be read and are set aside");
    sqlx::query(
        "UPDATE outbox o SET set_aside = $2, lease_until = NULL, next_at = 'infinity' FROM unnest($1::uuid[]) k (id) WHERE o.id = k.id",
    )
        .bind(effects)
        .bind(UNREADABLE)
        .execute(worker)
        .await?;
    Ok(())
}

/// An effect that waits for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// The effect.
    pub id: EffectId,
    /// Whose.
    pub tenant: TenantNo,
    /// The transfer or withdrawal.
    pub subject: Uuid,
    /// Its kind.
    pub kind: String,
    /// Why.
    pub reason: String,
    /// How often it was attempted.
    pub attempts: i32,
    /// When it was ordered.
    pub created_at: Timestamp,
}

/// What is set aside, oldest first; not what has been settled since by what the provider said of itself.
pub async fn list(worker: &BoundedPool) -> Result<Vec<SetAside>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, tenant, subject, kind, set_aside, attempts, created_at FROM outbox
         WHERE set_aside IS NOT NULL AND status NOT IN ('done', 'cancelled') ORDER BY created_at LIMIT $1",
    )
    .bind(LISTED_MAX)
    .fetch_all(worker)
    .await?;
    rows.iter()
        .map(|r| {
            Ok(SetAside {
                id: EffectId(r.try_get("id")?),
                tenant: tenant(r)?,
                subject: r.try_get("subject")?,
                kind: r.try_get("kind")?,
                reason: r.try_get("set_aside")?,
                attempts: r.try_get("attempts")?,
                created_at: at(r, "created_at")?,
            })
        })
        .collect()
}

/// How much is set aside, by kind.
pub async fn count(worker: &BoundedPool) -> Result<Vec<(String, i64)>, StoreError> {
    let rows = sqlx::query(
        "SELECT kind, count(*) AS n FROM outbox
         WHERE set_aside IS NOT NULL AND status NOT IN ('done', 'cancelled') GROUP BY kind",
    )
    .fetch_all(worker)
    .await?;
    rows.iter().map(|r| Ok((r.try_get("kind")?, r.try_get("n")?))).collect()
}

/// Puts an effect back: due now, its failures forgotten. Returns whether it was set aside.
pub async fn replay(worker: &BoundedPool, aside: &SetAside) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE outbox SET set_aside = NULL, failures = 0, next_at = now() WHERE id = $1 AND tenant = $2 AND set_aside IS NOT NULL",
    )
    .bind(aside.id.0)
    .bind(tenant_i32(aside.tenant))
    .execute(worker)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// A line of the bank's statement that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementLine {
    /// The bank's number of the line.
    pub sequence: u64,
    /// When it was set aside.
    pub set_aside_at: Timestamp,
    /// Whether it is to be looked at again.
    pub replay: bool,
}

/// Sets a line aside; once more the same is nothing new.
pub async fn set_line_aside(worker: &BoundedPool, bank: &str, sequence: u64) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO statement_lines_set_aside (bank, sequence) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(bank)
        .bind(number(sequence)?)
        .execute(worker)
        .await?;
    Ok(())
}

/// Lines that are set aside, oldest first.
pub async fn lines(worker: &BoundedPool, bank: &str) -> Result<Vec<StatementLine>, StoreError> {
    let rows = sqlx::query(
        "SELECT * FROM statement_lines_set_aside WHERE bank = $1 AND resolved_at IS NULL ORDER BY sequence LIMIT $2",
    )
    .bind(bank)
    .bind(LISTED_MAX)
    .fetch_all(worker)
    .await?;
    rows.iter()
        .map(|r| {
            let sequence: i64 = r.try_get("sequence")?;
            Ok(StatementLine {
                sequence: u64::try_from(sequence).map_err(|_| StoreError::Corrupt("sequence"))?,
                set_aside_at: at(r, "set_aside_at")?,
                replay: r.try_get("replay")?,
            })
        })
        .collect()
}

/// What becomes of a line that is set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineMoved {
    /// People want it to be looked at again.
    Replay,
    /// It was looked at again and could still not be read.
    StillUnreadable,
    /// It was applied.
    Resolved,
}

/// Moves a line on. Returns whether it was set aside.
pub async fn move_line(worker: &BoundedPool, bank: &str, sequence: u64, moved: LineMoved) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE statement_lines_set_aside SET replay = $3, resolved_at = CASE WHEN $4 THEN now() END
         WHERE bank = $1 AND sequence = $2 AND resolved_at IS NULL",
    )
    .bind(bank)
    .bind(number(sequence)?)
    .bind(moved == LineMoved::Replay)
    .bind(moved == LineMoved::Resolved)
    .execute(worker)
    .await?;
    Ok(done.rows_affected() == 1)
}

fn number(sequence: u64) -> Result<i64, StoreError> {
    i64::try_from(sequence).map_err(|_| StoreError::Corrupt("sequence"))
}
