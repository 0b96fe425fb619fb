//! `settla sandbox`: the outside world as a process of its own, so that it outlives a kill of the platform.

use crate::failure::Failure;
use crate::logging;
use settla_sandbox::{Funder, Keys, Ports, Sandbox, SandboxConfig};
use std::path::PathBuf;

/// Options of `settla sandbox`.
#[derive(clap::Args)]
pub struct Args {
    /// Folder for the books.
    #[arg(long)]
    dir: PathBuf,
    /// JSON-RPC of the chain.
    #[arg(long)]
    rpc_url: String,
    /// The chain's id.
    #[arg(long)]
    chain_id: u64,
    /// The token.
    #[arg(long)]
    token: String,
    /// File with the keys of the four servers.
    #[arg(long)]
    keys: PathBuf,
    /// Ports of bank, on-ramp, off-ramp and feed.
    #[arg(long, num_args = 4)]
    ports: Vec<u16>,
    /// Median time to carry an order out, milliseconds.
    #[arg(long, default_value_t = 200)]
    latency_ms: u64,
    /// Of a thousand starts, so many get no answer.
    #[arg(long, default_value_t = 0)]
    unknown_permille: u16,
}

/// The servers' keys, as they stand in the keys file.
#[derive(serde::Serialize, serde::Deserialize, Clone)]
pub(crate) struct SandboxKeys {
    pub(crate) bank: String,
    pub(crate) on_ramp: String,
    pub(crate) off_ramp: String,
    pub(crate) fx: String,
}

/// Runs the sandbox until told to stop.
pub async fn run(args: Args) -> Result<(), Failure> {
    logging::to_stderr();
    let keys: SandboxKeys = serde_json::from_slice(&std::fs::read(&args.keys)?)?;
    let keys = Keys { bank: keys.bank, onramp: keys.on_ramp, offramp: keys.off_ramp, fx: keys.fx };
    let mut config = SandboxConfig::new(args.dir, keys, args.rpc_url, args.chain_id, args.token.parse()?);
    let &[bank, onramp, offramp, fx] = args.ports.as_slice() else { return Err(Failure::new("four ports are needed")) };
    config.ports = Ports { bank, onramp, offramp, fx };
    config.latency_ms = args.latency_ms;
    config.unknown_permille = args.unknown_permille;
    config.slow_ms = 5_000;
    config.late_ms = 4_000;
    config.funder = Some(Funder::default());
    let stopped = crate::platform::stop_signal()?;
    let running = Sandbox::start(config).await?;
    tracing::info!(
        bank = running.bank_url,
        on_ramp = running.onramp_url,
        off_ramp = running.offramp_url,
        fx = running.fx_url,
        "the sandbox is up"
    );
    stopped.await;
    running.shutdown().await;
    Ok(())
}
