//! `settla bench`: load on a fresh system, and what it completes.
//!
//! Everything runs on this machine: platform, durable Postgres, sandbox, chain, webhook receiver and generator.
//! The generator is an open loop: a transfer has a time at which it is meant to be sent, whatever the system
//! does, and latencies count from that time.

mod cpu;
mod database;
mod hooks;
mod load;
mod machine;
mod measure;
mod print;
mod report;
mod spread;
mod tenants;

use crate::failure::Failure;
use crate::local::{ScratchFolder, System};
use report::Report;
use std::time::Duration;
use tokio::sync::watch;

/// Options of `settla bench`.
#[derive(clap::Args)]
pub struct Args {
    /// Transfers a second.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// Seconds of sending.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// Tenants that the load is spread over.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=500))]
    tenants: u32,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
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
    let interrupted = watch_signals()?;
    let mut folder = ScratchFolder::new("bench")?;
    eprintln!("starting a fresh system in {}", folder.path().display());
    let outcome = with_system(&args, &folder, interrupted.clone()).await;
    let failure = match outcome {
        Ok(report) => {
            if args.json {
                println!("{}", serde_json::to_string(&report)?);
            } else {
                print::print(&report);
            }
            let problems = report.problems();
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
async fn with_system(
    args: &Args,
    folder: &ScratchFolder,
    mut interrupted: watch::Receiver<bool>,
) -> Result<Report, Failure> {
    let (latency, unknown) = (LATENCY_MS.to_string(), UNKNOWN_PERMILLE.to_string());
    let options = ["--latency-ms", latency.as_str(), "--unknown-permille", unknown.as_str()];
    let system = System::start(&std::env::current_exe()?, folder.path(), &options).await?;
    let measured = tokio::select! {
        biased;
        _ = interrupted.wait_for(|stop| *stop) => Err(Failure::new("interrupted")),
        measured = measure::measure(args, &system) => measured,
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
