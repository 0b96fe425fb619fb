//! `settla sandbox`: the outside world as a process of its own, so that it outlives a kill of the platform.

use crate::failure::Failure;
use crate::logging;
use settla_sandbox::{Funder, Keys, Ports, ProviderSettings, Sandbox, SandboxConfig, Side};
use std::collections::BTreeMap;
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
    /// File with the keys of the servers.
    #[arg(long)]
    keys: PathBuf,
    /// Ports of bank, feed, harbour, quayside, meridian and solano.
    #[arg(long, num_args = 6)]
    ports: Vec<u16>,
    /// Median time to carry an order out, milliseconds; each provider takes its share or multiple of it.
    #[arg(long, default_value_t = 200)]
    latency_ms: u64,
    /// Of a thousand starts, so many get no answer.
    #[arg(long, default_value_t = 0)]
    unknown_permille: u16,
}

/// The bank's name among the servers.
pub(crate) const BANK: &str = "bank";
/// The feed's.
pub(crate) const FX: &str = "fx";

/// The servers' keys by name, as they stand in the keys file.
pub(crate) type SandboxKeys = BTreeMap<String, String>;

/// Names of the on-ramps, the one that is used first in front.
pub(crate) fn on_ramps() -> Vec<String> {
    names(|side| side == Side::OnRamp)
}

/// Names of the off-ramps, the one that is used first in front.
pub(crate) fn off_ramps() -> Vec<String> {
    names(|side| side != Side::OnRamp)
}

/// Names of all servers, in the order of their ports.
pub(crate) fn servers() -> Vec<String> {
    [BANK, FX].map(str::to_owned).into_iter().chain(names(|_| true)).collect()
}

fn names(is_wanted: impl Fn(Side) -> bool) -> Vec<String> {
    let all = ProviderSettings::usual(|_| String::new()).into_iter();
    all.filter(|one| is_wanted(one.side)).map(|one| one.name).collect()
}

/// Runs the sandbox until told to stop.
pub async fn run(args: Args) -> Result<(), Failure> {
    logging::to_stderr();
    let keys: SandboxKeys = serde_json::from_slice(&std::fs::read(&args.keys)?)?;
    // A key that is missing is empty here, and refused as too short.
    let key = |name: &str| keys.get(name).cloned().unwrap_or_default();
    let mut providers = ProviderSettings::usual(key);
    let (&[bank, fx], ports) =
        args.ports.split_first_chunk().ok_or_else(|| Failure::new("a port a server is needed"))?;
    if ports.len() != providers.len() {
        return Err(Failure::new("a port a server is needed"));
    }
    for (provider, port) in providers.iter_mut().zip(ports) {
        provider.port = *port;
        provider.unknown_permille = args.unknown_permille;
    }
    let keys = Keys { bank: key(BANK), fx: key(FX) };
    let mut config = SandboxConfig::new(args.dir, keys, providers, args.rpc_url, args.chain_id, args.token.parse()?);
    config.ports = Ports { bank, fx };
    config.latency_ms = args.latency_ms;
    config.slow_ms = 5_000;
    config.late_ms = 4_000;
    config.funder = Some(Funder::default());
    let stopped = crate::platform::stop_signal()?;
    let running = Sandbox::start(config).await?;
    tracing::info!(
        bank = running.bank_url,
        fx = running.fx_url,
        providers = running.providers.len(),
        "the sandbox is up"
    );
    stopped.await;
    running.shutdown().await;
    Ok(())
}
