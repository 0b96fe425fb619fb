//! A whole local system under somebody's control: the demo, the benchmark and the end-to-end tests start one
//! in a folder of their own, use it as the outside would, kill parts of it, and check its books.

mod client;
mod folder;
mod funding;
mod receiver;

pub use client::{Amount, Answer, ApiClient, transfer_body};
pub use folder::ScratchFolder;
pub use funding::top_up;
pub(crate) use receiver::verified;
pub use receiver::{Received, Receiver};

use crate::failure::Failure;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long a first start may take on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(90);

/// Whoever drives a system under control may ask as often as it likes.
const REQUESTS_PER_MINUTE: &str = "9000000";

/// What `settla dev --json` says when it is ready.
#[derive(Debug, Clone, Deserialize)]
pub struct Facts {
    /// Base URL of the API.
    pub api: String,
    /// URL of the metrics.
    pub metrics: String,
    /// The database.
    pub database_url: String,
    /// JSON-RPC of the chain.
    pub rpc_url: String,
    /// The chain's id.
    pub chain_id: u64,
    /// The token contract.
    pub token: settla_evm::Address,
    /// The platform's wallet.
    pub wallet: settla_evm::Address,
    /// The bank.
    pub bank: ServerFacts,
    /// The on-ramps.
    pub on_ramps: Vec<ServerFacts>,
    /// The off-ramps.
    pub off_ramps: Vec<ServerFacts>,
    /// The first of the on-ramps.
    pub on_ramp: ServerFacts,
    /// The first of the off-ramps.
    pub off_ramp: ServerFacts,
    /// The price feed.
    pub fx: ServerFacts,
    /// Seeded tenants.
    pub tenants: Vec<TenantFacts>,
    /// Process ids.
    pub pids: Pids,
}

/// A sandbox server.
#[derive(Debug, Clone, Deserialize)]
pub struct ServerFacts {
    /// Its name.
    pub name: String,
    /// Base URL.
    pub url: String,
    /// Bearer key.
    pub key: String,
    /// Our account, at the bank.
    #[serde(default)]
    pub account: String,
}

/// A seeded tenant.
#[derive(Debug, Clone, Deserialize)]
pub struct TenantFacts {
    /// Short name.
    pub slug: String,
    /// Its key.
    pub api_key: String,
}

/// Process ids of the parts.
#[derive(Debug, Clone, Deserialize)]
pub struct Pids {
    /// Gateway, server and node.
    pub platform: u32,
    /// The postmaster, if the database is ours.
    pub postgres: Option<u32>,
    /// The chain.
    pub anvil: u32,
    /// Bank, providers and feed.
    pub sandbox: u32,
}

/// A local system. Dropping it kills the platform process; [`System::stop`] also stops the parts around it.
pub struct System {
    program: PathBuf,
    dir: PathBuf,
    port: u16,
    options: Vec<String>,
    env: Vec<(String, String)>,
    child: Option<Child>,
    /// Where everything is.
    pub facts: Facts,
}

impl System {
    /// Starts a system in a folder with `program` (the `settla` binary), or finds the one that is there.
    pub async fn start(program: &Path, dir: &Path, options: &[&str]) -> Result<Self, Failure> {
        Self::start_with_env(program, dir, options, &[]).await
    }

    /// As [`Self::start`], with more variables in the environment of the platform and of the parts it starts.
    pub async fn start_with_env(
        program: &Path,
        dir: &Path,
        options: &[&str],
        env: &[(&str, &str)],
    ) -> Result<Self, Failure> {
        let options: Vec<String> = options.iter().map(|o| (*o).to_owned()).collect();
        let env: Vec<(String, String)> =
            env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        // The port stays over restarts, as a tenant's configuration does.
        let port = settla_devkit::ports::free_port()?;
        let (child, facts) = spawn(program, dir, port, &options, &env).await?;
        Ok(Self { program: program.to_owned(), dir: dir.to_owned(), port, options, env, child: Some(child), facts })
    }

    /// Kills the platform as a power cut would (SIGKILL). Everything around it lives on.
    pub async fn kill_platform(&mut self) -> Result<(), Failure> {
        if let Some(mut child) = self.child.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// Starts the platform again on the same folder.
    pub async fn restart_platform(&mut self) -> Result<(), Failure> {
        let (child, facts) = spawn(&self.program, &self.dir, self.port, &self.options, &self.env).await?;
        self.child = Some(child);
        self.facts = facts;
        Ok(())
    }

    /// The API as a tenant uses it.
    pub fn client(&self, tenant: usize) -> Result<ApiClient, Failure> {
        let tenant = self.facts.tenants.get(tenant).ok_or_else(|| Failure::new("no such tenant"))?;
        ApiClient::new(&self.facts.api, &tenant.api_key)
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Stops the platform and everything around it.
    pub async fn stop(mut self) -> Result<(), Failure> {
        if let Some(mut child) = self.child.take() {
            let pid = child.id().ok_or_else(|| Failure::new("the platform has ended by itself; see its log"))?;
            Command::new("kill").args(["-TERM", &pid.to_string()]).status().await?;
            let ended = tokio::time::timeout(Duration::from_secs(60), child.wait()).await;
            let status = ended.map_err(|_| Failure::new("the platform does not stop"))??;
            if !status.success() {
                return Err(Failure::new(format!("the platform ended with {status}")));
            }
        }
        Ok(())
    }
}

async fn spawn(
    program: &Path,
    dir: &Path,
    port: u16,
    options: &[String],
    env: &[(String, String)],
) -> Result<(Child, Facts), Failure> {
    std::fs::create_dir_all(dir)?;
    let mut child = Command::new(program)
        .args(["dev", "--json", "--requests-per-minute", REQUESTS_PER_MINUTE, "--port", &port.to_string(), "--dir"])
        .arg(dir)
        .args(options)
        .envs(env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(std::fs::OpenOptions::new().create(true).append(true).open(dir.join("platform.err"))?)
        .kill_on_drop(true)
        .spawn()?;
    let stdout = child.stdout.take().ok_or_else(|| Failure::new("no output to read"))?;
    let mut lines = BufReader::new(stdout).lines();
    let line = tokio::time::timeout(READY_WITHIN, lines.next_line()).await;
    let line = line.map_err(|_| not_started(dir, "the system was not ready in time"))??;
    let line = line.ok_or_else(|| not_started(dir, "the system did not start"))?;
    Ok((child, serde_json::from_str(&line)?))
}

/// With what the platform said last, because the folder may be gone when somebody reads this.
fn not_started(dir: &Path, what: &str) -> Failure {
    const LINES: usize = 12;
    let file = dir.join("platform.err");
    let said = std::fs::read_to_string(&file).unwrap_or_default();
    let lines: Vec<&str> = said.lines().collect();
    let last = lines[lines.len().saturating_sub(LINES)..].join("\n        ");
    Failure::new(format!("{what}\n        {last}")).try_next(format!("see {}", file.display()))
}
