//! The command line.

use clap::{Parser, Subcommand};
use settla::{
    bench, data, demo, dev, doctor, incident, ledger, operator, outbox, reconcile, review, route, sandbox, ui,
};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// B2B stablecoin settlement: fiat in, USDC across, fiat out.
///
/// Start with `settla dev`: it runs the whole system on this machine and prints keys and requests to try.
/// `settla demo` shows payments from quote to webhook; `settla doctor` tells what is missing.
#[derive(Parser)]
#[command(name = "settla", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the whole system on this machine until Ctrl-C.
    Dev(dev::Args),
    /// Settle payments on a fresh system, show every step, and check all books.
    Demo(demo::Args),
    /// Tell what is missing on this machine and how to mend it.
    Doctor(doctor::Args),
    /// Load a fresh system and report what it completes.
    Bench(bench::Args),
    /// Compare our books with themselves and with those of the bank, the providers and the chain.
    Reconcile(reconcile::Args),
    /// Replay the ledger.
    Ledger(ledger::Args),
    /// Set tenants up.
    Tenant(operator::TenantArgs),
    /// Make, revoke and list API keys.
    Key(operator::KeyArgs),
    /// Contain an incident: stop a key or a tenant at once.
    Incident(incident::Args),
    /// Decide about payments under review, two people together.
    Review(review::Args),
    /// Work that failed again and again: list it, put it back.
    Outbox(outbox::Args),
    /// Providers and corridors: how they did lately, switch them on and off.
    Route(route::Args),
    /// Months of the tables that grow without bound: list them, take one out.
    Data(data::Args),
    /// Run the simulated bank, providers and price feed (started by `settla dev`).
    #[command(hide = true)]
    Sandbox(sandbox::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    be_quiet_when_nobody_reads();
    settla_rails::http::install_tls_provider();
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("settla: no threads to run on: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(async {
        match cli.command {
            Command::Dev(args) => dev::run(args).await,
            Command::Demo(args) => demo::run(args).await,
            Command::Doctor(args) => doctor::run(args),
            Command::Bench(args) => bench::run(args).await,
            Command::Reconcile(args) => reconcile::run(args).await,
            Command::Ledger(args) => ledger::run(args).await,
            Command::Tenant(args) => operator::tenant(args).await,
            Command::Key(args) => operator::key(args).await,
            Command::Incident(args) => incident::run(args).await,
            Command::Review(args) => review::run(args).await,
            Command::Outbox(args) => outbox::run(args).await,
            Command::Route(args) => route::run(args).await,
            Command::Data(args) => data::run(args).await,
            Command::Sandbox(args) => sandbox::run(args).await,
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{} {failure}", ui::red("settla:"));
            ExitCode::FAILURE
        }
    }
}

/// Half of the cores: Postgres needs about as much, and every thread more costs wake-ups (docs/performance.md).
/// `TOKIO_WORKER_THREADS` says otherwise.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if std::env::var_os("TOKIO_WORKER_THREADS").is_none() {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        builder.worker_threads((cores / 2).max(1));
    }
    builder.enable_all().build()
}

/// `settla demo | head` ends the command, which cleans up as after any panic, but is no defect to tell of.
fn be_quiet_when_nobody_reads() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let broken_pipe = info
            .payload_as_str()
            .is_some_and(|why| why.starts_with("failed printing to") && why.contains("Broken pipe"));
        if !broken_pipe {
            usual(info);
        }
    }));
}
