//! A local EVM node: Foundry's anvil. Real transactions and blocks, no consensus.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::child::{self, Child, ChildSpec};
use crate::probe::json_rpc;
use crate::process::StopSignal;
use crate::{DevkitError, TestFolder, workspace_root};

const READY_WITHIN: Duration = Duration::from_secs(20);
/// After a `kill -9` of the node itself, blocks younger than this are gone.
const SAVE_EVERY_SECONDS: u32 = 5;

/// How the node runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnvilSettings {
    /// The chain id.
    pub chain_id: u64,
    /// Time from block to block; `None` makes a block for each transaction at once.
    pub block_time: Option<Duration>,
}

impl Default for AnvilSettings {
    /// Fuji's chain id, blocks of one second.
    fn default() -> Self {
        Self { chain_id: 43_113, block_time: Some(Duration::from_secs(1)) }
    }
}

/// A running node.
#[derive(Debug)]
pub struct Anvil {
    child: Child,
    /// Of a node without a folder of its own: ends it when dropped.
    _own: Option<TestFolder>,
}

impl Anvil {
    /// Takes over the node that runs in the folder or starts it, carrying on from its state file.
    ///
    /// With a folder it outlives this value. Without one it is a test's: its chain starts empty,
    /// and it ends when this is dropped.
    pub async fn start(folder: Option<&Path>, settings: AnvilSettings) -> Result<Self, DevkitError> {
        match folder {
            Some(folder) => Ok(Self { child: start_in(folder, settings).await?, _own: None }),
            None => {
                let own = TestFolder::new("anvil")?;
                Ok(Self { child: start_in(own.path(), settings).await?, _own: Some(own) })
            }
        }
    }

    /// Where its JSON-RPC is.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// The port of 127.0.0.1 it listens on, the same over restarts while it is free.
    pub fn port(&self) -> u16 {
        self.child.ports().first().copied().unwrap_or_default()
    }

    /// The node's process: id, log, liveness and its end.
    pub fn child(&self) -> &Child {
        &self.child
    }

    /// Ends it in good order, with its state saved.
    pub async fn stop(&self) -> Result<(), DevkitError> {
        self.child.stop().await
    }
}

async fn start_in(folder: &Path, settings: AnvilSettings) -> Result<Child, DevkitError> {
    let binary = anvil_binary().ok_or(DevkitError::Missing { what: "the EVM node anvil", fix: "run `make setup`" })?;
    let spec =
        ChildSpec { name: "anvil", folder, ports: 1, stop_signal: StopSignal::Terminate, ready_within: READY_WITHIN };
    let command = |ports: &[u16]| command(&binary, folder, settings, ports);
    let healthy = move |ports: Vec<u16>| async move {
        let Some(port) = ports.first() else {
            return false;
        };
        let expected = json!(format!("{:#x}", settings.chain_id));
        json_rpc(*port, "eth_chainId", json!([])).await == Some(expected)
    };
    child::attach_or_start(&spec, command, healthy).await
}

fn command(binary: &Path, folder: &Path, settings: AnvilSettings, ports: &[u16]) -> Command {
    let mut command = Command::new(binary);
    command
        .args(["--silent", "--host", "127.0.0.1"])
        .args(["--chain-id", &settings.chain_id.to_string()])
        .args(["--state-interval", &SAVE_EVERY_SECONDS.to_string()])
        .arg("--state")
        .arg(folder.join("anvil-state.json"))
        // Old states that do not fit in memory go here instead of the user's home.
        .arg("--cache-path")
        .arg(folder.join("anvil-cache"));
    if let Some(block_time) = settings.block_time {
        command.args(["--block-time", &block_time.as_secs_f64().to_string()]);
    }
    for port in ports {
        command.args(["--port", &port.to_string()]);
    }
    command
}

/// The program: `$SETTLA_ANVIL`, else the one that `npm ci` in `tools/` installed, else the PATH's.
pub fn anvil_binary() -> Option<PathBuf> {
    const INSTALLED: &str = "tools/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil";
    if let Some(named) = std::env::var_os("SETTLA_ANVIL") {
        return Some(PathBuf::from(named));
    }
    let installed = workspace_root().map(|root| root.join(INSTALLED));
    let path = std::env::var_os("PATH").unwrap_or_default();
    installed
        .into_iter()
        .chain(std::env::split_paths(&path).map(|folder| folder.join("anvil")))
        .find(|candidate| candidate.is_file())
}
