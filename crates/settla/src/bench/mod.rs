//! `settla bench`: load on a fresh system, and what it completes; `settla bench webhooks`: what a dead webhook endpoint
//! costs the others; `settla bench growth`: how cost grows with what is stored, on a fresh database alone.
//!
//! Everything runs on this machine: platform, durable Postgres, sandbox, chain, webhook receiver and generator.
//! The generator is an open loop: a transfer has a time at which it is meant to be sent, whatever the system
//! does, and latencies count from that time.

mod added;
mod cpu;
mod database;
mod growth;
mod hooks;
mod load;
mod machine;
mod measure;
mod print;
mod report;
mod share;
mod spread;
mod tenants;
mod webhooks;

use crate::failure::Failure;
use crate::local::{ScratchFolder, System};
use report::Report;
use serde::Serialize;
use std::path::Path;
use std::time::Duration;
use tokio::sync::watch;

/// Options of `settla bench`.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    other: Option<Other>,
    /// Transfers a second.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// Seconds of sending.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// Tenants that the load is spread over.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=500))]
    tenants: u32,
    /// Per cent of the transfers that the first tenant sends; the others share the rest. All send the same without it.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=99))]
    first_tenant_percent: Option<u32>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Other measurements than that of payments.
#[derive(clap::Subcommand)]
enum Other {
    /// Deliver webhooks with and without an endpoint that never answers, in turn, and compare the pairs of runs.
    Webhooks(webhooks::Args),
    /// Fill a database step by step and measure at each size what creating, listing, claiming and tending cost.
    Growth(growth::Args),
}

/// How the sandbox behaves: median time of an order, and how many of a thousand get no answer.
const LATENCY_MS: u32 = 200;
const UNKNOWN_PERMILLE: u32 = 10;
/// How long after the last one all may take to end.
const DRAIN: Duration = Duration::from_secs(90);

/// Loads a fresh system, reports, and fails if a transfer is lost, stuck or made twice, or the books differ.
pub async fn run(args: Args) -> Result<(), Failure> {
    if std::env::var_os("SETTLA_TRANSFER_DB_URL").is_some() {
        return Err(Failure::new("the benchmark brings its own database").try_next("unset SETTLA_TRANSFER_DB_URL"));
    }
    if cfg!(debug_assertions) {
        eprintln!("this is a debug build: its figures are those of unoptimised code");
    }
    match args.other {
        Some(Other::Webhooks(args)) => {
            let show = if args.json { json } else { webhooks::print };
            let work = async |folder: &Path, interrupted| {
                with_system(&[], folder, interrupted, async |system| webhooks::measure(&args, system).await).await
            };
            bench(work, show, webhooks::Report::problems).await
        }
        Some(Other::Growth(args)) => {
            let show = if args.json { json } else { growth::print };
            let work = async |folder: &Path, interrupted| growth::run(&args, folder, interrupted).await;
            bench(work, show, growth::Report::problems).await
        }
        None => {
            let (latency, unknown) = (LATENCY_MS.to_string(), UNKNOWN_PERMILLE.to_string());
            let options = ["--latency-ms", latency.as_str(), "--unknown-permille", unknown.as_str()];
            let show = if args.json { json } else { print::print };
            let work = async |folder: &Path, interrupted| {
                with_system(&options, folder, interrupted, async |system| measure::measure(&args, system).await).await
            };
            bench(work, show, Report::problems).await
        }
    }
}

/// As one JSON object. Our own plain data always serialises.
fn json<R: Serialize>(report: &R) {
    println!("{}", serde_json::to_string(report).unwrap_or_default());
}

/// Measures in a fresh folder, shows the report, and fails if it has problems.
async fn bench<R>(
    work: impl AsyncFnOnce(&Path, watch::Receiver<bool>) -> Result<R, Failure>,
    show: fn(&R),
    problems: fn(&R) -> Vec<String>,
) -> Result<(), Failure> {
    let interrupted = watch_signals()?;
    let mut folder = ScratchFolder::new("bench")?;
    eprintln!("starting afresh in {}", folder.path().display());
    let outcome = work(folder.path(), interrupted.clone()).await;
    let failure = match outcome {
        Ok(report) => {
            show(&report);
            let problems = problems(&report);
            if problems.is_empty() {
                return Ok(());
            }
            Failure::new(problems.join("; "))
        }
        Err(_) if *interrupted.borrow() => return Err(Failure::new("stopped; nothing is left behind")),
        Err(failure) => failure,
    };
    folder.keep();
    Err(failure.try_next(format!("logs and data are kept in {}", folder.path().display())))
}

/// Starts the system, measures, and stops it whatever came out.
async fn with_system<R>(
    options: &[&str],
    folder: &Path,
    mut interrupted: watch::Receiver<bool>,
    measure: impl AsyncFnOnce(&System) -> Result<R, Failure>,
) -> Result<R, Failure> {
    let system = System::start(&std::env::current_exe()?, folder, options).await?;
    let measured = tokio::select! {
        biased;
        _ = interrupted.wait_for(|stop| *stop) => Err(Failure::new("interrupted")),
        measured = measure(&system) => measured,
    };
    eprintln!("stopping the system");
    let stopped = system.stop().await;
    let report = measured?;
    stopped.map(|()| report)
}

/// Listens for Ctrl-C from the start, so that it never ends this program between a start and its stop.
fn watch_signals() -> std::io::Result<watch::Receiver<bool>> {
    let (tell, told) = watch::channel(false);
    let stopped = crate::platform::stop_signal()?;
    tokio::spawn(async move {
        stopped.await;
        tell.send_replace(true);
    });
    Ok(told)
}
