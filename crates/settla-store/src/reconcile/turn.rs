//! Whose turn it is, and writing down what a round came to.
//!
//! One row is schedule, lease and fence in one: a claim takes the next number and the time until its lease ends; what a
//! round writes is refused when another has taken a number since.

use super::breaks::BreakRow;
use super::keep::{Checkpoint, Fold, Item};
use crate::StoreError;
use crate::bounded::BoundedPool;
use crate::row::tenant_i32;
use settla_domain::time::Timestamp;
use sqlx::Row;
use sqlx::postgres::PgConnection;
use sqlx::types::Json;
use std::time::Duration;
use time::OffsetDateTime;

/// Permission for one round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    number: i64,
}

/// What a round changes. Rows that are as they were are not in it.
#[derive(Debug, Default)]
pub struct Update {
    /// Folds that have grown.
    pub folds: Vec<Fold>,
    /// New checkpoints.
    pub checkpoints: Vec<Checkpoint>,
    /// Items that are new or different.
    pub items: Vec<Item>,
    /// Items that have found their other side, by flow and key.
    pub settled: Vec<(String, String)>,
    /// Cursors that have moved.
    pub cursors: Vec<(String, String)>,
    /// Breaks, seen in this round.
    pub breaks: Vec<BreakRow>,
    /// Breaks that are gone, by kind and key.
    pub resolved: Vec<(String, String)>,
}

/// Takes the next turn if it is due and nobody has it. `lease` is how long nobody else may.
pub async fn claim(reconciler: &BoundedPool, lease: Duration) -> Result<Option<Turn>, StoreError> {
    let row = sqlx::query(
        "UPDATE reconciliation_rounds SET number = number + 1, next_at = now() + $1 WHERE next_at <= now() RETURNING number",
    )
    .bind(lease)
    .fetch_optional(reconciler)
    .await?;
    row.map(|r| Ok(Turn { number: r.try_get("number")? })).transpose()
}

impl Turn {
    /// Writes down what the round came to and gives the turn back; the next one is due after `every`. Returns false, and
    /// writes nothing, if the lease has ended and another has taken a turn.
    pub async fn complete(
        self,
        reconciler: &BoundedPool,
        update: &Update,
        every: Duration,
    ) -> Result<bool, StoreError> {
        let mut tx = reconciler.begin().await?;
        let mine = sqlx::query(
            "UPDATE reconciliation_rounds SET next_at = now() + $2, completed_at = now() WHERE number = $1",
        )
        .bind(self.number)
        .bind(every)
        .execute(&mut *tx)
        .await?;
        if mine.rows_affected() == 0 {
            tx.rollback().await?;
            return Ok(false);
        }
        folds(&mut tx, update).await?;
        checkpoints(&mut tx, update).await?;
        items(&mut tx, update).await?;
        cursors(&mut tx, update).await?;
        breaks(&mut tx, update).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Gives the turn back without having come to anything.
    pub async fn give_up(self, reconciler: &BoundedPool, every: Duration) -> Result<(), StoreError> {
        sqlx::query("UPDATE reconciliation_rounds SET next_at = now() + $2 WHERE number = $1")
            .bind(self.number)
            .bind(every)
            .execute(reconciler)
            .await?;
        Ok(())
    }
}

async fn folds(tx: &mut PgConnection, update: &Update) -> Result<(), StoreError> {
    let rows = &update.folds;
    sqlx::query(
        "INSERT INTO ledger_folds (tenant, sequence, max_at, unmarked, sums, days)
         SELECT * FROM unnest($1::int[], $2::bigint[], $3::timestamptz[], $4::int[], $5::jsonb[], $6::jsonb[])
         ON CONFLICT (tenant) DO UPDATE SET sequence = excluded.sequence, max_at = excluded.max_at,
             unmarked = excluded.unmarked, sums = excluded.sums, days = excluded.days",
    )
    .bind(rows.iter().map(|f| tenant_i32(f.tenant)).collect::<Vec<_>>())
    .bind(rows.iter().map(|f| f.sequence).collect::<Vec<_>>())
    .bind(rows.iter().map(|f| f.max_at.to_datetime()).collect::<Vec<_>>())
    .bind(rows.iter().map(|f| f.unmarked).collect::<Vec<_>>())
    .bind(rows.iter().map(|f| Json(&f.sums)).collect::<Vec<_>>())
    .bind(rows.iter().map(|f| Json(&f.days)).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(())
}

async fn checkpoints(tx: &mut PgConnection, update: &Update) -> Result<(), StoreError> {
    let rows = &update.checkpoints;
    sqlx::query(
        "INSERT INTO ledger_checkpoints (tenant, sequence, max_at, balances)
         SELECT * FROM unnest($1::int[], $2::bigint[], $3::timestamptz[], $4::jsonb[])",
    )
    .bind(rows.iter().map(|c| tenant_i32(c.tenant)).collect::<Vec<_>>())
    .bind(rows.iter().map(|c| c.sequence).collect::<Vec<_>>())
    .bind(rows.iter().map(|c| c.max_at.to_datetime()).collect::<Vec<_>>())
    .bind(rows.iter().map(|c| Json(&c.balances)).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(())
}

async fn items(tx: &mut PgConnection, update: &Update) -> Result<(), StoreError> {
    let (flows, keys): (Vec<&str>, Vec<&str>) = update.settled.iter().map(|(f, k)| (f.as_str(), k.as_str())).unzip();
    sqlx::query(
        "DELETE FROM reconciliation_items i USING unnest($1::text[], $2::text[]) k (flow, key)
         WHERE i.flow = k.flow AND i.key = k.key",
    )
    .bind(flows)
    .bind(keys)
    .execute(&mut *tx)
    .await?;
    let rows = &update.items;
    sqlx::query(
        "INSERT INTO reconciliation_items (flow, key, tenant, subject, ours, theirs)
         SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::jsonb[], $6::jsonb[])
         ON CONFLICT (flow, key) DO UPDATE SET subject = excluded.subject, ours = excluded.ours, theirs = excluded.theirs",
    )
    .bind(rows.iter().map(|i| i.flow.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|i| i.key.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|i| tenant_i32(i.tenant)).collect::<Vec<_>>())
    .bind(rows.iter().map(|i| i.subject.as_deref()).collect::<Vec<_>>())
    .bind(rows.iter().map(|i| Json(&i.ours)).collect::<Vec<_>>())
    .bind(rows.iter().map(|i| Json(&i.theirs)).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(())
}

async fn cursors(tx: &mut PgConnection, update: &Update) -> Result<(), StoreError> {
    let (names, values): (Vec<&str>, Vec<&str>) =
        update.cursors.iter().map(|(name, value)| (name.as_str(), value.as_str())).unzip();
    sqlx::query(
        "INSERT INTO reconciliation_cursors (name, value) SELECT * FROM unnest($1::text[], $2::text[])
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind(names)
    .bind(values)
    .execute(tx)
    .await?;
    Ok(())
}

/// What is gone before it counted was on its way, and nothing is kept of it.
async fn breaks(tx: &mut PgConnection, update: &Update) -> Result<(), StoreError> {
    let (kinds, keys): (Vec<&str>, Vec<&str>) =
        update.resolved.iter().map(|(k, key)| (k.as_str(), key.as_str())).unzip();
    for statement in [
        "DELETE FROM reconciliation_breaks b USING unnest($1::text[], $2::text[]) k (kind, key)
         WHERE b.kind = k.kind AND b.key = k.key AND b.resolved_at IS NULL AND b.opened_at IS NULL",
        "UPDATE reconciliation_breaks b SET resolved_at = now() FROM unnest($1::text[], $2::text[]) k (kind, key)
         WHERE b.kind = k.kind AND b.key = k.key AND b.resolved_at IS NULL",
    ] {
        sqlx::query(statement).bind(&kinds).bind(&keys).execute(&mut *tx).await?;
    }
    let rows = &update.breaks;
    let instant = |at: Option<Timestamp>| at.map(Timestamp::to_datetime);
    sqlx::query(
        "INSERT INTO reconciliation_breaks (kind, key, tenant, subject, currency, ours, theirs, detail, first_seen, last_seen, opened_at)
         SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::text[],
             $9::timestamptz[], $10::timestamptz[], $11::timestamptz[])
         ON CONFLICT (kind, key) WHERE resolved_at IS NULL DO UPDATE SET subject = excluded.subject, currency = excluded.currency,
             ours = excluded.ours, theirs = excluded.theirs, detail = excluded.detail, last_seen = excluded.last_seen,
             opened_at = excluded.opened_at",
    )
    .bind(rows.iter().map(|b| b.kind.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|b| b.key.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|b| tenant_i32(b.tenant)).collect::<Vec<_>>())
    .bind(rows.iter().map(|b| b.subject.as_deref()).collect::<Vec<_>>())
    .bind(rows.iter().map(|b| b.currency.as_deref()).collect::<Vec<_>>())
    .bind(rows.iter().map(|b| b.ours).collect::<Vec<_>>())
    .bind(rows.iter().map(|b| b.theirs).collect::<Vec<_>>())
    .bind(rows.iter().map(|b| b.detail.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|b| b.first_seen.to_datetime()).collect::<Vec<OffsetDateTime>>())
    .bind(rows.iter().map(|b| b.last_seen.to_datetime()).collect::<Vec<OffsetDateTime>>())
    .bind(rows.iter().map(|b| instant(b.opened_at)).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(())
}
