//! What reconciliation keeps from one round to the next.

use super::breaks::{BreakRow, break_row};
use crate::StoreError;
use crate::bounded::BoundedPool;
use crate::row::{at, json, tenant};
use settla_domain::tenant::TenantNo;
use settla_domain::time::Timestamp;
use sqlx::Row;
use sqlx::postgres::PgRow;
use std::collections::BTreeMap;

/// A tenant's postings added up, up to one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fold {
    /// Whose.
    pub tenant: TenantNo,
    /// The number of the last posting in it.
    pub sequence: i64,
    /// The latest instant of a posting in it.
    pub max_at: Timestamp,
    /// Postings since the last checkpoint.
    pub unmarked: i32,
    /// Credits less debits by `account/currency`, minor units.
    pub sums: BTreeMap<String, i64>,
    /// The last days' volume by `day/currency`, minor units.
    pub days: BTreeMap<String, i64>,
}

/// The balances of a tenant's accounts after one of its postings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose.
    pub tenant: TenantNo,
    /// The number of the posting.
    pub sequence: i64,
    /// The latest instant of a posting so far.
    pub max_at: Timestamp,
    /// By `account/currency`, minor units.
    pub balances: BTreeMap<String, i64>,
}

/// One side of an item: minor units by currency.
pub type Side = BTreeMap<String, i64>;

/// What is in one book and not, or not in the same amount, in the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Which two books.
    pub flow: String,
    /// Its name in both.
    pub key: String,
    /// Whose; the platform's if that is not known.
    pub tenant: TenantNo,
    /// The transfer, withdrawal, top-up or batch, if that is known.
    pub subject: Option<String>,
    /// What we have of it.
    pub ours: Side,
    /// What they have of it.
    pub theirs: Side,
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// By tenant.
    pub folds: Vec<Fold>,
    /// What waits for its other side.
    pub items: Vec<Item>,
    /// By name.
    pub cursors: BTreeMap<String, String>,
    /// Those that are not resolved.
    pub breaks: Vec<BreakRow>,
}

pub(crate) fn fold(r: &PgRow) -> Result<Fold, StoreError> {
    Ok(Fold {
        tenant: tenant(r)?,
        sequence: r.try_get("sequence")?,
        max_at: at(r, "max_at")?,
        unmarked: r.try_get("unmarked")?,
        sums: json(r, "sums")?,
        days: json(r, "days")?,
    })
}

pub(crate) fn checkpoint(r: &PgRow) -> Result<Checkpoint, StoreError> {
    Ok(Checkpoint {
        tenant: tenant(r)?,
        sequence: r.try_get("sequence")?,
        max_at: at(r, "max_at")?,
        balances: json(r, "balances")?,
    })
}

/// Most that waits for its other side. More than that is not on its way: the books have come apart.
pub const ITEMS_MAX: i64 = 200_000;

/// Reads it: a row a tenant, and what is open.
pub async fn load(auditor: &BoundedPool) -> Result<Kept, StoreError> {
    // From one instant, so that a round that ends meanwhile is seen whole or not at all.
    let mut tx = auditor.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
    let folds = sqlx::query("SELECT * FROM ledger_folds").fetch_all(&mut *tx).await?;
    let items = sqlx::query("SELECT * FROM reconciliation_items LIMIT $1").bind(ITEMS_MAX).fetch_all(&mut *tx).await?;
    let items = items.iter().map(|r| {
        Ok(Item {
            flow: r.try_get("flow")?,
            key: r.try_get("key")?,
            tenant: tenant(r)?,
            subject: r.try_get("subject")?,
            ours: json(r, "ours")?,
            theirs: json(r, "theirs")?,
        })
    });
    let cursors = sqlx::query("SELECT name, value FROM reconciliation_cursors").fetch_all(&mut *tx).await?;
    let cursors = cursors.iter().map(|r| Ok((r.try_get("name")?, r.try_get("value")?)));
    let breaks =
        sqlx::query("SELECT * FROM reconciliation_breaks WHERE resolved_at IS NULL").fetch_all(&mut *tx).await?;
    let kept = Kept {
        folds: folds.iter().map(fold).collect::<Result<_, StoreError>>()?,
        items: items.collect::<Result<_, StoreError>>()?,
        cursors: cursors.collect::<Result<_, StoreError>>()?,
        breaks: breaks.iter().map(break_row).collect::<Result<_, StoreError>>()?,
    };
    tx.commit().await?;
    Ok(kept)
}
