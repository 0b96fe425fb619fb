//! How cost grows with what is stored.
//!
//! A database of its own is filled step by step with copies of a transfer that has completed, over the months before now,
//! and at each size the same things are measured: creating, listing, claiming, the job that tends partitions. Plans of
//! the smallest and the largest size are those of the very statements, from the server's log, taken after the times.

mod fill;
mod ground;
mod kept;
mod operations;
mod plans;
mod print;
mod sizes;
mod template;

use super::database;
use super::machine::{Machine, git_commit};
use super::spread::{Spread, spread};
use crate::failure::Failure;
use fill::{Filled, Range, Size, Source};
use ground::{Ground, Side, TENANTS};
use kept::Kept;
use operations::Course;
use plans::Explained;
pub(super) use print::print;
use serde::Serialize;
use settla_domain::tenant::TenantNo;
use sizes::Sizes;
use std::collections::BTreeMap;
use std::path::Path;
use tokio::sync::watch;

/// Rounds before those that count: as many as those, within these. A connection plans a statement five times before it
/// keeps a plan, and there are so many tenants whose pages are to be read.
const WARM_UP_MIN: usize = 10;
const WARM_UP_MAX: usize = 50;
const METHOD: [&str; 6] = [
    "stored transfers are copies of one that the engine completed, with ids, tenants, instants and references of their own, \
     spread evenly over 24 months and 50 tenants, each size on top of the one before",
    "loaded by COPY in order of time with all indexes and checks, without triggers and foreign keys, then VACUUM (ANALYZE) \
     and CHECKPOINT; positions know nothing of them",
    "up to 50 rounds to warm up, then the rounds that count, each checked for its result; one thing at a time on one machine",
    "create goes through the batch runner, for all 50 tenants in turn; what was created is cancelled outside of the time \
     and stays stored",
    "a claim's effects are given back outside of the time",
    "plans are taken after the times, on connections of their own (auto_explain)",
];

/// Options of `settla bench growth`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Stored transfers to measure at, each larger than the one before.
    #[arg(long, default_value = "10000,100000,1000000,3000000", value_parser = sizes::parse)]
    sizes: Sizes,
    /// Rounds of each operation.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(5..=10_000))]
    rounds: u32,
    /// What the database may take, in GiB: less of each transfer is stored if it would take more.
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    disk_gib: u32,
    /// Print one JSON object.
    #[arg(long)]
    pub(super) json: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    machine: Machine,
    profile: &'static str,
    git_commit: Option<String>,
    settings: BTreeMap<String, String>,
    method: [&'static str; METHOD.len()],
    rounds: u32,
    tenants: usize,
    months: i64,
    kept: Kept,
    rows_per_transfer: BTreeMap<&'static str, usize>,
    bytes_per_transfer_estimated: f64,
    sizes: Vec<Step>,
    plans: Vec<Plan>,
    /// What the tenants have is what they had before anything was created.
    positions_agree: bool,
}

/// One size.
#[derive(Debug, Serialize)]
struct Step {
    stored: u64,
    #[serde(flatten)]
    filled: Filled,
    tables: BTreeMap<String, Size>,
    operations: Vec<Measured>,
}

#[derive(Debug, Serialize)]
struct Measured {
    operation: String,
    #[serde(flatten)]
    spread: Spread,
}

/// What an operation did in the database at a size.
#[derive(Debug, Serialize)]
struct Plan {
    stored: u64,
    operation: String,
    statements: Vec<Explained>,
}

impl Report {
    /// What makes the figures worthless.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !self.positions_agree {
            problems.push("the tenants have other positions than before".to_owned());
        }
        if self.plans.iter().any(|plan| plan.statements.is_empty()) {
            problems.push("an operation has no plan".to_owned());
        }
        problems
    }
}

/// Starts a database, measures, and clears it away whatever came out.
pub(super) async fn run(args: &Args, folder: &Path, mut interrupted: watch::Receiver<bool>) -> Result<Report, Failure> {
    let ground = Ground::start(folder).await?;
    let measured = tokio::select! {
        biased;
        _ = interrupted.wait_for(|stop| *stop) => Err(Failure::new("interrupted")),
        measured = measure(args, folder, &ground) => measured,
    };
    eprintln!("clearing the database away");
    let cleared = ground.clear().await;
    let report = measured?;
    cleared.map(|()| report)
}

async fn measure(args: &Args, folder: &Path, ground: &Ground) -> Result<Report, Failure> {
    let side = Side::new(ground.store().await?)?;
    fill::make_months(ground).await?;
    let tenants = side.tenants().await?;
    let pattern = side.completed(tenants[0]).await?;
    let before = side.at_rest(&tenants).await?;
    let Sizes(sizes) = &args.sizes;
    let (smallest, largest) = (sizes.first().copied().unwrap_or_default(), sizes.last().copied().unwrap_or_default());
    let source = Source::new(ground, &pattern, &tenants, largest, u64::from(args.disk_gib) << 30).await?;
    let (mut steps, mut plans, mut from) = (Vec::new(), Vec::new(), 0);
    for size in sizes {
        let range = Range { from, to: *size };
        let filled = fill::fill(ground, &source, range).await?;
        let tables = fill::sizes(ground, &source).await?;
        eprintln!("measuring at {size}");
        let operations = times(args, &side, &source, range, &tenants).await?;
        steps.push(Step { stored: *size, filled, tables, operations });
        if *size == smallest || *size == largest {
            plans.extend(explain(ground, &source, range, &tenants).await?);
        }
        from = *size;
    }
    let report = Report {
        machine: Machine::read(folder),
        profile: if cfg!(debug_assertions) { "debug" } else { "release" },
        git_commit: git_commit(),
        settings: database::settings(&side.store).await?,
        method: METHOD,
        rounds: args.rounds,
        tenants: TENANTS,
        months: fill::MONTHS,
        kept: source.kept,
        rows_per_transfer: source.rows(),
        bytes_per_transfer_estimated: source.bytes().round(),
        sizes: steps,
        plans,
        positions_agree: side.at_rest(&tenants).await? == before,
    };
    side.store.close().await;
    Ok(report)
}

async fn times(
    args: &Args,
    side: &Side,
    source: &Source,
    range: Range,
    tenants: &[TenantNo],
) -> Result<Vec<Measured>, Failure> {
    let rounds = usize::try_from(args.rounds)?;
    let course =
        Course { side, source, range, tenants, log: None, warm_up: rounds.clamp(WARM_UP_MIN, WARM_UP_MAX), rounds };
    let mut measured = Vec::new();
    course
        .run(|operation, laps| {
            let spread = spread(laps.iter().map(|lap| lap.took).collect());
            measured.push(Measured { operation: operation.name(), spread });
            Ok(())
        })
        .await?;
    Ok(measured)
}

async fn explain(ground: &Ground, source: &Source, range: Range, tenants: &[TenantNo]) -> Result<Vec<Plan>, Failure> {
    let log = ground.cluster.child().log();
    let side = Side::new(ground.store_with(&plans::EXPLAINED).await?)?;
    let course = Course { side: &side, source, range, tenants, log: Some(log), warm_up: WARM_UP_MIN, rounds: 1 };
    let mut found = Vec::new();
    course
        .run(|operation, laps| {
            let mut statements = Vec::new();
            for lap in laps {
                statements.extend(plans::between(log, lap.log.0, lap.log.1)?);
            }
            // What `lap` asks itself.
            statements.retain(|explained| explained.statement != "SELECT 1");
            let statements = plans::together(statements);
            found.push(Plan { stored: range.to, operation: operation.name(), statements });
            Ok(())
        })
        .await?;
    side.store.close().await;
    Ok(found)
}
