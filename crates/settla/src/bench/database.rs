//! What the database says about itself and about the run.

use crate::failure::Failure;
use settla_store::Store;
use sqlx::Row;
use std::collections::BTreeMap;

/// Settings that decide whether a commit survives a power cut, and how much memory there is.
const SETTINGS: [&str; 6] =
    ["server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_connections"];

/// The settings in force, from the server itself.
pub(super) async fn settings(db: &Store) -> Result<BTreeMap<String, String>, Failure> {
    let mut settings = BTreeMap::new();
    for name in SETTINGS {
        let row = sqlx::query(&format!("SHOW {name}")).fetch_one(&db.auditor).await?;
        settings.insert(name.to_owned(), row.try_get(0)?);
    }
    Ok(settings)
}

/// What the whole database has done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work {
    pub commits: i64,
    pub wal_bytes: i64,
    pub wal_fsyncs: i64,
}

/// Reads the counters. Commits of sessions that still run may come a second late.
pub(super) async fn work(db: &Store) -> Result<Work, Failure> {
    let query = "SELECT xact_commit, pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint AS wal,
                        (SELECT wal_sync FROM pg_stat_wal) AS fsyncs
                 FROM pg_stat_database WHERE datname = current_database()";
    let row = sqlx::query(query).fetch_one(&db.auditor).await?;
    Ok(Work {
        commits: row.try_get("xact_commit")?,
        wal_bytes: row.try_get("wal")?,
        wal_fsyncs: row.try_get("fsyncs")?,
    })
}

/// How long transfers took into each state from the one before: median and 99th percentile, milliseconds.
pub(super) async fn steps(db: &Store) -> Result<BTreeMap<String, [f64; 2]>, Failure> {
    let query = "SELECT kind, percentile_disc(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY ms) AS ms FROM (
                     SELECT kind, (extract(epoch FROM at - lag(at) OVER (PARTITION BY tenant, subject ORDER BY sequence)) * 1000)::float8 AS ms
                     FROM events WHERE kind LIKE 'transfer.%') steps
                 WHERE ms IS NOT NULL GROUP BY kind";
    let mut steps = BTreeMap::new();
    for row in sqlx::query(query).fetch_all(&db.auditor).await? {
        let ms: Vec<f64> = row.try_get("ms")?;
        if let [p50, p99] = ms[..] {
            steps.insert(row.try_get("kind")?, [p50.round(), p99.round()]);
        }
    }
    Ok(steps)
}
