//! What a dead webhook endpoint costs the others.
//!
//! Every run delivers the same test events to the same endpoints, one of which is set apart: in one run of a pair it
//! answers like the others, in the other one it accepts every connection and never answers. What is compared is when the
//! others got theirs. The runs of a pair follow each other, the order changes from pair to pair, so that what drifts on
//! the machine falls on both alike.

mod paired;
mod receiver;
mod run;

use super::machine::{Machine, git_commit};
use crate::failure::Failure;
use crate::local::System;
use crate::ui;
use paired::{Interval, PAIRS_MAX, PAIRS_MIN, interval};
use run::{Apart, Ground, Run};
use serde::Serialize;

/// Options of `settla bench webhooks`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Pairs of runs, one with and one without the dead endpoint.
    #[arg(long, default_value_t = PAIRS_MIN, value_parser = clap::value_parser!(u32).range(i64::from(PAIRS_MIN)..=i64::from(PAIRS_MAX)))]
    pairs: u32,
    /// Events a second to the endpoints that are well, together; the one set apart gets as many again.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rate: u32,
    /// Seconds of sending in each run.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Print one JSON object.
    #[arg(long)]
    pub(super) json: bool,
}

/// Two runs that differ in one thing.
#[derive(Debug, Serialize)]
struct Pair {
    without: Run,
    with: Run,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    machine: Machine,
    profile: &'static str,
    git_commit: Option<String>,
    rate: u32,
    seconds: u32,
    endpoints: usize,
    pairs: Vec<Pair>,
    /// With the dead endpoint less without it, over the pairs.
    difference: Differences,
}

#[derive(Debug, Serialize)]
struct Differences {
    p50_ms: Interval,
    p99_ms: Interval,
    per_s: Interval,
}

impl Report {
    /// What makes the figures worthless.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (number, pair) in self.pairs.iter().enumerate() {
            for (name, run) in [("without", &pair.without), ("with", &pair.with)] {
                if run.missing > 0 {
                    problems.push(format!("pair {}, {name}: {} deliveries did not come", number + 1, run.missing));
                }
                if run.refused > 0 {
                    problems.push(format!(
                        "pair {}, {name}: {} were not signed as they should be",
                        number + 1,
                        run.refused
                    ));
                }
            }
            if pair.with.held_peak == 0 {
                problems.push(format!("pair {}: nothing was sent to the dead endpoint", number + 1));
            }
        }
        problems
    }
}

/// Measures.
pub(super) async fn measure(args: &Args, system: &System) -> Result<Report, Failure> {
    let ground = Ground::new(system).await?;
    eprintln!("warming up");
    ground.run(args, Apart::Answers).await?;
    let mut pairs = Vec::new();
    for number in 0..args.pairs {
        eprintln!("pair {} of {}", number + 1, args.pairs);
        let pair = if number % 2 == 0 {
            let without = ground.run(args, Apart::Answers).await?;
            Pair { without, with: ground.run(args, Apart::Silent).await? }
        } else {
            let with = ground.run(args, Apart::Silent).await?;
            Pair { without: ground.run(args, Apart::Answers).await?, with }
        };
        pairs.push(pair);
    }
    let difference = |of: fn(&Run) -> f64| {
        let differences: Vec<f64> = pairs.iter().map(|pair| of(&pair.with) - of(&pair.without)).collect();
        interval(&differences)
    };
    Ok(Report {
        machine: Machine::read(system.dir()),
        profile: if cfg!(debug_assertions) { "debug" } else { "release" },
        git_commit: git_commit(),
        rate: args.rate,
        seconds: args.seconds,
        endpoints: run::WELL,
        difference: Differences {
            p50_ms: difference(|run| run.latency.p50_ms),
            p99_ms: difference(|run| run.latency.p99_ms),
            per_s: difference(|run| run.per_s),
        },
        pairs,
    })
}

/// Prints the report as tables.
pub(super) fn print(report: &Report) {
    let r = report;
    let what =
        format!("{} webhooks a second to {} endpoints for {} s, in pairs of runs", r.rate, r.endpoints, r.seconds);
    println!("{}", ui::bold(&what));
    let m = &r.machine;
    let commit = r.git_commit.as_deref().unwrap_or("unknown");
    println!(
        "  {} cores, {} MiB, {}, {}; {} build, commit {commit}\n",
        m.cores, m.memory_mib, m.cpu, m.filesystem, r.profile
    );
    let head = ["pair", "", "p50 ms", "p99 ms", "max ms", "a second", "held"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for (number, pair) in r.pairs.iter().enumerate() {
        for (name, run) in [("without", &pair.without), ("with", &pair.with)] {
            let l = &run.latency;
            let figures = [l.p50_ms, l.p99_ms, l.max_ms, run.per_s].map(|figure| format!("{figure:.1}"));
            let names = [(number + 1).to_string(), name.to_owned()];
            rows.push(names.into_iter().chain(figures).chain([run.held_peak.to_string()]).collect());
        }
    }
    ui::table(&rows);
    println!("\n  with less without a dead endpoint, mean over {} pairs and its 95 % interval:", r.pairs.len());
    for (name, d) in
        [("p50 ms", r.difference.p50_ms), ("p99 ms", r.difference.p99_ms), ("a second", r.difference.per_s)]
    {
        println!("  {name:<10} {:+.2}  from {:+.2} to {:+.2}", d.mean, d.from, d.to);
    }
}
