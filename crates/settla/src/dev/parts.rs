//! The processes around the platform: Postgres, the chain, the sandbox.

use super::home::Home;
use super::reach::Reach;
use crate::failure::Failure;
use crate::platform::{self, PlatformConfig, ProviderAt};
use crate::sandbox;
use ipnet::IpNet;
use settla_devkit::child::{Child, ChildSpec, attach_or_start};
use settla_devkit::probe::http_ok;
use settla_devkit::process::StopSignal;
use settla_devkit::{Anvil, AnvilSettings, Postgres, PostgresSettings};
use settla_evm::devkeys::DevKey;
use settla_evm::token::{TestToken, fund};
use settla_evm::{Address, Rpc};
use settla_node::reconcile::ReconcileConfig;
use settla_vault::Environment;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The local chain plays Avalanche Fuji.
pub const CHAIN_ID: u64 = 43_113;
/// Blocks until a receipt counts here.
pub const DEPTH: u64 = 2;
/// Blocks until one is final here.
const FINAL_DEPTH: u64 = 8;
/// Time between blocks of the local chain.
pub const BLOCK_TIME: Duration = Duration::from_secs(1);
/// Gas money for the settlement wallet: 1,000 coins.
const WALLET_GAS_WEI: u128 = 1_000_000_000_000_000_000_000;

/// How the sandbox behaves.
#[derive(Clone, Copy)]
pub struct Tuning {
    pub latency_ms: u64,
    pub unknown_permille: u16,
}

/// What runs around the platform.
pub struct Parts {
    postgres: Option<Postgres>,
    anvil: Anvil,
    sandbox: Child,
    pub database_url: String,
    pub token: Address,
    rpc: Rpc,
}

impl Parts {
    /// Starts what does not run yet, and finds what does.
    pub async fn start(home: &Home, tuning: Tuning) -> Result<Self, Failure> {
        let (postgres, anvil) = tokio::join!(database(home), chain(home));
        let (postgres, database_url) = postgres?;
        let anvil = anvil?;
        let rpc = Rpc::connect(&anvil.url(), CHAIN_ID).await?;
        let token = TestToken::ensure(&rpc, &DevKey::account_0()).await?.address();
        let sandbox = start_sandbox(home, &anvil.url(), token, tuning).await?;
        Ok(Self { postgres, anvil, sandbox, database_url, token, rpc })
    }

    /// What a platform process has to know to work with these parts.
    pub fn platform(
        &self,
        home: &Home,
        reach: &Reach,
        api: SocketAddr,
        metrics: SocketAddr,
        reconcile: ReconcileConfig,
        trusted_proxies: Vec<IpNet>,
    ) -> Result<PlatformConfig, Failure> {
        reach.check()?;
        // Its name, and that among the sandbox's servers.
        let at = |name: &str, server: &str| -> Result<ProviderAt, Failure> {
            Ok(ProviderAt {
                name: name.to_owned(),
                url: reach.server(server, self.sandbox_url(server)),
                key: home.sandbox_key(server)?.to_owned(),
                webhook_secret: home.webhook_secret(server)?,
            })
        };
        let all = |names: Vec<String>| names.iter().map(|name| at(name, name)).collect::<Result<Vec<_>, _>>();
        Ok(PlatformConfig {
            environment: Environment::Test,
            database_url: self.database_url.clone(),
            api,
            metrics,
            key_hashers: home.key_hashers()?,
            trusted_proxies,
            master_key: Arc::new(home.master_key()?),
            signer: home.at("signer"),
            rpc_urls: reach.nodes(self.anvil.url()),
            chain_id: CHAIN_ID,
            token: self.token,
            depth: DEPTH,
            final_depth: FINAL_DEPTH,
            bank: at(platform::BANK, sandbox::BANK)?,
            on_ramps: all(sandbox::on_ramps())?,
            off_ramps: all(sandbox::off_ramps())?,
            fx: at(sandbox::FX, sandbox::FX)?,
            local_webhooks: true,
            reconcile,
        })
    }

    /// URL of a sandbox server.
    pub fn sandbox_url(&self, server: &str) -> String {
        let place = sandbox::servers().iter().position(|name| name == server);
        let port = place.and_then(|place| self.sandbox.ports().get(place)).copied();
        format!("http://127.0.0.1:{}", port.unwrap_or(0))
    }

    /// JSON-RPC of the chain.
    pub fn rpc_url(&self) -> String {
        self.anvil.url()
    }

    /// Process ids by name.
    pub fn pids(&self) -> serde_json::Value {
        serde_json::json!({
            "platform": std::process::id(),
            "postgres": self.postgres.as_ref().map(|p| p.child().pid()),
            "anvil": self.anvil.child().pid(),
            "sandbox": self.sandbox.pid(),
        })
    }

    /// Gives the settlement wallet gas money, once.
    pub async fn fund_wallet(&self, wallet: Address) -> Result<(), Failure> {
        if self.rpc.native_balance(wallet).await? < WALLET_GAS_WEI / 10 {
            fund(&self.rpc, &DevKey::account_0(), wallet, WALLET_GAS_WEI).await?;
        }
        Ok(())
    }

    /// Stops everything; it carries on from here at the next start.
    pub async fn stop(self) -> Result<(), Failure> {
        self.sandbox.stop().await?;
        self.anvil.stop().await?;
        if let Some(postgres) = &self.postgres {
            postgres.stop().await?;
        }
        Ok(())
    }
}

async fn database(home: &Home) -> Result<(Option<Postgres>, String), Failure> {
    if let Ok(url) = std::env::var("SETTLA_TRANSFER_DB_URL") {
        return Ok((None, url));
    }
    let postgres = Postgres::start(&home.at("postgres"), PostgresSettings::DURABLE).await?;
    postgres.create_database("settla_test").await?;
    let url = postgres.near_url("settla_test");
    Ok((Some(postgres), url))
}

async fn chain(home: &Home) -> Result<Anvil, Failure> {
    let settings = AnvilSettings { chain_id: CHAIN_ID, block_time: Some(BLOCK_TIME) };
    Ok(Anvil::start(Some(&home.at("chain")), settings).await?)
}

async fn start_sandbox(home: &Home, rpc_url: &str, token: Address, tuning: Tuning) -> Result<Child, Failure> {
    let folder = home.at("sandbox");
    std::fs::create_dir_all(&folder)?;
    let program = std::env::current_exe()?;
    let spec = ChildSpec {
        name: "sandbox",
        folder: &folder,
        ports: sandbox::servers().len(),
        stop_signal: StopSignal::Terminate,
        // Six transactions that fill its wallets, a block each, come first.
        ready_within: Duration::from_secs(30),
    };
    let command = |ports: &[u16]| {
        let mut command = std::process::Command::new(&program);
        command.arg("sandbox").arg("--dir").arg(folder.join("books")).args(["--rpc-url", rpc_url]);
        command.args(["--chain-id", &CHAIN_ID.to_string(), "--token", &token.to_string()]);
        command.arg("--keys").arg(home.sandbox_keys_file()).arg("--ports").args(ports.iter().map(u16::to_string));
        command.args([
            "--latency-ms",
            &tuning.latency_ms.to_string(),
            "--unknown-permille",
            &tuning.unknown_permille.to_string(),
        ]);
        command
    };
    let healthy = |ports: Vec<u16>| async move {
        for port in ports {
            if !http_ok(port, "/health").await {
                return false;
            }
        }
        true
    };
    Ok(attach_or_start(&spec, command, healthy).await?)
}
