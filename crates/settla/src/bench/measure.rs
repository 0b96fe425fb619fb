//! One measurement: set up, look, load, wait, look again, check the books.

use super::added::{Heads, added};
use super::cpu::Cpu;
use super::hooks::Hooks;
use super::report::{Observed, Report};
use super::{Args, DRAIN, database, load, tenants};
use crate::failure::Failure;
use crate::local::System;
use crate::reconcile;
use settla_store::{Store, StoreConfig, books as sums};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::{Duration, Instant};

/// The platform's own counters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Batches {
    pub batches: f64,
    pub commands: f64,
    pub seconds: f64,
}

/// Everything that counts up, at one moment.
pub(super) struct Snapshot {
    pub at: Instant,
    pub cpu: Cpu,
    pub rows: Vec<(String, i64)>,
    pub work: database::Work,
    pub batches: Batches,
    /// Transactions that our wallet has sent, by the chain's count.
    pub nonce: u64,
}

/// Measures and reports.
pub(super) async fn measure(args: &Args, system: &System) -> Result<Report, Failure> {
    let db = Store::open(&StoreConfig::new(system.facts.database_url.clone())).await?;
    let measured = with_database(args, system, &db).await;
    db.close().await;
    measured
}

async fn with_database(args: &Args, system: &System, db: &Store) -> Result<Report, Failure> {
    let hooks = Hooks::start().await?;
    let clients = tenants::set_up(args, system, db, &hooks).await?;
    let settings = database::settings(db).await?;
    let before = snapshot(system, db).await?;
    let heads = Heads::watch(system).await?;
    eprintln!("sending {} transfers a second for {} s", args.rate, args.seconds);
    let load = load::send(args, clients, &hooks).await?;
    eprintln!("waiting until all have ended");
    hooks.all_ended(load.tally.created.iter().map(|c| c.id), DRAIN).await;
    let after = snapshot(system, db).await?;
    let transfers = sums::transfer_lines(&db.auditor).await?;
    let seen = hooks.seen();
    let ended = load.tally.created.iter().filter_map(|created| {
        let ended = seen.ended.get(&created.id).filter(|ended| ended.completed)?;
        Some((created, ended.at))
    });
    let added = added(system, db, &heads, ended).await?;
    eprintln!("checking the books");
    let observed = Observed {
        load,
        seen,
        added,
        before,
        after,
        states: transfers.into_iter().map(|t| (t.id, t.state)).collect(),
        settings,
        steps: database::steps(db).await?,
        log: complaints(&system.dir().join("platform.log"))?,
        books: reconcile::check(&system.facts).await?,
    };
    Ok(Report::new(args, system.dir(), observed))
}

async fn snapshot(system: &System, db: &Store) -> Result<Snapshot, Failure> {
    let facts = &system.facts;
    let rpc = settla_evm::Rpc::connect(&facts.rpc_url, facts.chain_id).await?;
    Ok(Snapshot {
        at: Instant::now(),
        cpu: Cpu::read(&facts.pids)?,
        rows: sums::row_counts(&db.auditor).await?,
        work: database::work(db).await?,
        batches: batches(&facts.metrics).await?,
        nonce: rpc.nonce(facts.wallet).await?,
    })
}

async fn batches(url: &str) -> Result<Batches, Failure> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?;
    let text = client.get(url).send().await?.error_for_status()?.text().await?;
    let value = |name| sample(&text, name).ok_or_else(|| Failure::new(format!("the platform has no metric {name}")));
    Ok(Batches {
        batches: value("settla_batch_commands_count")?,
        commands: value("settla_batch_commands_sum")?,
        seconds: value("settla_batch_seconds_sum")?,
    })
}

/// The value of a metric without labels in Prometheus' text format.
fn sample(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Warnings and errors in the platform's log, counted by message.
fn complaints(log: &Path) -> Result<BTreeMap<String, u64>, Failure> {
    let mut found = BTreeMap::new();
    for line in BufReader::new(File::open(log)?).lines() {
        let line = line?;
        if !line.contains("\"level\":\"WARN\"") && !line.contains("\"level\":\"ERROR\"") {
            continue;
        }
        let line: serde_json::Value = serde_json::from_str(&line)?;
        let text = |pointer: &str| line.pointer(pointer).and_then(|v| v.as_str()).unwrap_or_default();
        *found.entry(format!("{} {}", text("/level"), text("/fields/message"))).or_default() += 1;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_metric_by_its_whole_name() {
        let text = "# TYPE settla_batch_commands summary\nsettla_batch_commands{quantile=\"0\"} 9\nsettla_batch_commands_sum 12.5\nsettla_batch_commands_count 5\n";
        assert_eq!(sample(text, "settla_batch_commands_sum"), Some(12.5));
        assert_eq!(sample(text, "settla_batch_commands"), None);
    }
}
