//! Growth: sweeps what need not be kept and makes the next months' partitions.
//!
//! Any number of nodes may do so at once; what one has done is not there for the next.

use crate::counters::{DATA_TENDED, SWEPT_ROWS};
use crate::{Node, Stop, wait};
use settla_server::clock::now;
use settla_store::StoreError;
use settla_store::data::{self, Swept};
use std::sync::Arc;
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(10);
/// Rounds between two looks at the partitions.
const ROUNDS_TO_PARTITIONS: u32 = 360;
/// Most rows of one delete: locks are held for some milliseconds.
const DELETE_MAX: i64 = 1_000;
/// Most deletes of one table in a round: 2,000 rows a second, more than requests make.
const DELETES_MAX: u32 = 20;

/// Tends until told to stop.
pub(crate) async fn run(node: Arc<Node>, mut stop: Stop) {
    let mut rounds = 0;
    loop {
        match round(&node, rounds, &stop).await {
            Ok(()) => metrics::gauge!(DATA_TENDED).set(now().0 as f64 / 1e6),
            Err(error) => tracing::warn!(%error, "old rows cannot be swept or partitions made now"),
        }
        rounds = rounds.wrapping_add(1);
        if !wait(std::future::pending(), EVERY, &mut stop).await {
            return;
        }
    }
}

async fn round(node: &Node, rounds: u32, stop: &Stop) -> Result<(), StoreError> {
    for what in Swept::ALL {
        sweep(node, what, stop).await?;
    }
    if rounds.is_multiple_of(ROUNDS_TO_PARTITIONS) {
        data::make_partitions(&node.store.worker).await?;
    }
    for (table, months) in data::ahead(&node.store.auditor).await? {
        metrics::gauge!("settla_partitions_ahead", "table" => table).set(months as f64);
    }
    for (table, rows) in data::strays(&node.store.auditor).await? {
        metrics::gauge!("settla_partition_strays", "table" => table).set(rows as f64);
    }
    Ok(())
}

async fn sweep(node: &Node, what: Swept, stop: &Stop) -> Result<(), StoreError> {
    for _ in 0..DELETES_MAX {
        let swept = data::sweep(&node.store.worker, what, DELETE_MAX).await?;
        metrics::counter!(SWEPT_ROWS, "table" => what.name()).increment(swept);
        if swept < DELETE_MAX.unsigned_abs() || *stop.borrow() {
            break;
        }
    }
    Ok(())
}
