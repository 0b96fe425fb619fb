//! Gateway, server and node of one environment, wired in one process.

mod introduction;
mod probes;
mod signer;

use crate::failure::Failure;
use hmac::{Hmac, Mac};
use introduction::{Party, introduce};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use settla_domain::money::Currency;
use settla_evm::{Address, Nodes};
use settla_gateway::{Gateway, LATENCY_BUCKETS_S, LATENCY_METRIC, Limits, metrics_router, router, serve};
use settla_node::reconcile::ReconcileConfig;
use settla_node::{Node, NodeConfig, NodeParts, SettlementConfig};
use settla_port::Platform;
use settla_rails::bank::{Bank, HttpBank};
use settla_rails::chain::Chain;
use settla_rails::fx::{FxFeed, HttpFx};
use settla_rails::http::{Endpoint, Http};
use settla_rails::off_ramp::{HttpOffRamp, OffRamp};
use settla_rails::on_ramp::{HttpOnRamp, OnRamp};
use settla_server::keyring::Keyring;
use settla_server::runner::Runner;
use settla_server::{Corridors, Probe, Server, ServerConfig, WebhookRules};
use settla_store::{Store, StoreConfig, operator};
use settla_vault::{Environment, KeyHasher, MasterKey, Secret, WebhookSecret};
use sha2::Sha256;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use signer::SignerFolder;

/// Names of the providers that the sandbox plays.
pub const ON_RAMP: &str = "harbour";
/// See [`ON_RAMP`].
pub const OFF_RAMP: &str = "meridian";
/// See [`ON_RAMP`].
pub const BANK: &str = "sandbank";
/// Our account at the bank.
pub const BANK_ACCOUNT: &str = "settla-client-money";

/// Everything that a platform process is told.
pub struct PlatformConfig {
    pub environment: Environment,
    pub database_url: String,
    /// Where the API listens.
    pub api: SocketAddr,
    /// Where the metrics are.
    pub metrics: SocketAddr,
    pub api_key_hmac_secret: Secret<Vec<u8>>,
    pub master_key: Arc<MasterKey>,
    pub signer: PathBuf,
    /// JSON-RPC of the chain's nodes: a majority of them is believed.
    pub rpc_urls: Vec<String>,
    pub chain_id: u64,
    pub token: Address,
    pub depth: u64,
    /// Blocks after which nothing is expected to be taken back any more.
    pub final_depth: u64,
    pub bank: ProviderAt,
    pub on_ramp: ProviderAt,
    pub off_ramp: ProviderAt,
    pub fx: ProviderAt,
    /// Whether webhooks may go to this machine: development alone.
    pub local_webhooks: bool,
    /// When books are compared.
    pub reconcile: ReconcileConfig,
}

/// Where a provider is, its key, and the secret of its webhooks.
pub struct ProviderAt {
    pub url: String,
    pub key: String,
    pub webhook_secret: WebhookSecret,
}

/// A platform that is up.
pub struct Running {
    pub api: SocketAddr,
    pub metrics: SocketAddr,
    pub wallet: Address,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    introductions: Vec<JoinHandle<()>>,
    store: Store,
}

impl Running {
    /// Returns when bank and providers know where their events go.
    pub async fn introduced(&mut self) {
        for introduction in self.introductions.drain(..) {
            // An error means that it was ended by a shutdown.
            let _ = introduction.await;
        }
    }

    /// Stops: no new requests, those in flight end, workers finish what they hold.
    pub async fn shutdown(self) {
        let _ = self.stop.send(true);
        for introduction in &self.introductions {
            introduction.abort();
        }
        for task in self.tasks {
            let _ = task.await;
        }
        self.store.close().await;
    }
}

/// Listens for SIGINT and SIGTERM from this call on, not only once what it returns is waited for: whoever was told that a
/// process is up may stop it at once.
pub fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

fn http(name: &str, at: &ProviderAt) -> Result<Http, Failure> {
    let endpoint = Endpoint {
        name: name.to_owned(),
        base_url: at.url.clone(),
        key: Secret::new(at.key.clone()),
        timeout: Duration::from_secs(2),
    };
    Ok(Http::new(endpoint)?)
}

/// A key for one purpose, from the secret that all instances share.
fn derive(secret: &Secret<Vec<u8>>, purpose: &str) -> Result<[u8; 32], Failure> {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(secret.expose())?;
    mac.update(purpose.as_bytes());
    Ok(mac.finalize().into_bytes().into())
}

/// Instances with different secrets would not recognise each other's keys, nor open each other's data: they
/// may not work on one database.
pub async fn agree(store: &Store, hasher: &KeyHasher, master: &MasterKey) -> Result<(), Failure> {
    for (name, fingerprint) in
        [("SETTLA_API_KEY_HMAC_SECRET", hasher.fingerprint()), ("master key", master.fingerprint())]
    {
        if operator::agree(&store.operator, name, &fingerprint).await?.is_err() {
            return Err(Failure::new(format!("another instance on this database was started with a different {name}"))
                .try_next("use the same secret on all instances; see docs/operations.md"));
        }
    }
    Ok(())
}

/// Starts all roles.
pub async fn start(config: PlatformConfig) -> Result<Running, Failure> {
    // Before everything that measures: what is counted without a recorder is lost.
    let measured = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(LATENCY_METRIC.to_owned()), &LATENCY_BUCKETS_S)?
        .install_recorder()?;
    let store = Store::open(&StoreConfig::new(config.database_url.clone())).await?;
    let hasher = KeyHasher::new(1, config.api_key_hmac_secret.expose())?;
    agree(&store, &hasher, &config.master_key).await?;

    let rpc = Nodes::connect(&config.rpc_urls, config.chain_id).await?;
    let signer = Arc::new(SignerFolder::new(
        config.signer.clone(),
        Arc::clone(&config.master_key),
        rpc.clone(),
        config.chain_id,
    ));
    let wallet = signer.wallet().await?;
    let chain = Arc::new(Chain {
        name: format!("eip155:{}", config.chain_id),
        rpc,
        currency: Currency::USDC,
        token: config.token,
        depth: config.depth,
    });

    let on_ramp: Arc<dyn OnRamp> = Arc::new(HttpOnRamp::new(http(ON_RAMP, &config.on_ramp)?));
    let off_ramp: Arc<dyn OffRamp> = Arc::new(HttpOffRamp::new(http(OFF_RAMP, &config.off_ramp)?));
    let bank: Arc<dyn Bank> = Arc::new(HttpBank::new(http(BANK, &config.bank)?, BANK_ACCOUNT));
    let fx: Arc<dyn FxFeed> = Arc::new(HttpFx::new(http("fx", &config.fx)?, Duration::from_millis(500)));

    let api = TcpListener::bind(config.api).await.map_err(|error| {
        Failure::new(format!("cannot listen on {}: {error}", config.api)).try_next("choose another port with --port")
    })?;
    let metrics_listener = TcpListener::bind(config.metrics).await?;
    let (api_at, metrics_at) = (api.local_addr()?, metrics_listener.local_addr()?);

    let hook = |provider: &str| format!("http://{api_at}/webhooks/providers/{provider}");
    let introductions = vec![
        introduce(Party::Bank(Arc::clone(&bank)), hook(BANK), config.bank.webhook_secret.clone()),
        introduce(Party::OnRamp(Arc::clone(&on_ramp)), hook(ON_RAMP), config.on_ramp.webhook_secret.clone()),
        introduce(Party::OffRamp(Arc::clone(&off_ramp)), hook(OFF_RAMP), config.off_ramp.webhook_secret.clone()),
    ];

    let runner = Runner::start(store.clone());
    let keyring = Arc::new(Keyring::new(Arc::clone(&config.master_key), store.clone()));
    let secrets = HashMap::from([
        (ON_RAMP.to_owned(), vec![config.on_ramp.webhook_secret]),
        (OFF_RAMP.to_owned(), vec![config.off_ramp.webhook_secret]),
        (BANK.to_owned(), vec![config.bank.webhook_secret]),
    ]);
    let server_config = ServerConfig {
        environment: config.environment,
        hashers: vec![hasher],
        fingerprint_key: derive(&config.api_key_hmac_secret, "settla idempotency fingerprint")?,
        cursor_key: derive(&config.api_key_hmac_secret, "settla cursor")?,
        corridors: corridors(&chain.name),
        quote_lifetime_ms: 60_000,
        rate_age_ms_max: 10_000,
        webhook_rules: if config.local_webhooks { WebhookRules::AnyAddress } else { WebhookRules::PublicHttps },
        pay_to: BANK_ACCOUNT.to_owned(),
        provider_secrets: secrets,
    };
    let probes: Vec<(&'static str, Arc<dyn Probe>)> = vec![
        ("chain", Arc::new(probes::ChainProbe(Arc::clone(&chain)))),
        ("bank", Arc::new(probes::BankProbe(Arc::clone(&bank)))),
        ("on_ramp", Arc::new(probes::OnRampProbe(Arc::clone(&on_ramp)))),
        ("off_ramp", Arc::new(probes::OffRampProbe(Arc::clone(&off_ramp)))),
        ("fx", Arc::new(probes::FxProbe(Arc::clone(&fx)))),
    ];
    let server = Arc::new(Server::new(server_config, store.clone(), runner.clone(), Arc::clone(&keyring), fx, probes));

    let node = Node::new(NodeParts {
        store: store.clone(),
        runner,
        keyring,
        on_ramps: HashMap::from([(ON_RAMP.to_owned(), on_ramp)]),
        off_ramps: HashMap::from([(OFF_RAMP.to_owned(), off_ramp)]),
        bank,
        chain,
        wallet,
        inbound_bell: server.inbound_bell(),
        config: NodeConfig {
            webhook_any_address: config.local_webhooks,
            reconcile: config.reconcile,
            settlement: SettlementConfig { final_depth: config.final_depth, ..SettlementConfig::default() },
            ..NodeConfig::default()
        },
    });
    let (stop, stopping) = watch::channel(false);
    let tasks = vec![
        tokio::spawn(node.run(signer, stopping.clone())),
        serve_api(api, config.environment, server, stopping.clone()),
        serve_metrics(metrics_listener, measured, stopping),
    ];
    Ok(Running { api: api_at, metrics: metrics_at, wallet, stop, tasks, introductions, store })
}

fn corridors(chain: &str) -> Corridors {
    Corridors {
        on_ramp: ON_RAMP.to_owned(),
        off_ramp: OFF_RAMP.to_owned(),
        chain: chain.to_owned(),
        sources: vec![Currency::GBP, Currency::EUR, Currency::USD],
        stablecoins: vec![Currency::USDC],
        destinations: vec![Currency::NGN, Currency::KES, Currency::GHS, Currency::GBP, Currency::EUR],
    }
}

async fn told(mut stop: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

fn serve_api(
    listener: TcpListener,
    environment: Environment,
    server: Arc<dyn Platform>,
    stop: watch::Receiver<bool>,
) -> JoinHandle<()> {
    let (live, test) = match environment {
        Environment::Live => (Some(server), None),
        Environment::Test => (None, Some(server)),
    };
    let providers =
        [ON_RAMP, OFF_RAMP, BANK].into_iter().map(|name| (name.to_owned(), environment)).collect::<BTreeMap<_, _>>();
    let limits = Limits::default();
    let gateway = Gateway { live, test, providers, limits: limits.clone() };
    tokio::spawn(async move {
        let drained = serve(listener, router(gateway), &limits, told(stop)).await;
        if drained.cut > 0 {
            tracing::warn!(cut = drained.cut, "connections were cut at shutdown");
        }
    })
}

fn serve_metrics(listener: TcpListener, handle: PrometheusHandle, stop: watch::Receiver<bool>) -> JoinHandle<()> {
    let upkeep = handle.clone();
    let mut upkeep_stop = stop.clone();
    tokio::spawn(async move {
        while !*upkeep_stop.borrow() {
            upkeep.run_upkeep();
            let _ = tokio::time::timeout(Duration::from_secs(5), upkeep_stop.changed()).await;
        }
    });
    tokio::spawn(async move {
        serve(listener, metrics_router(handle), &Limits::default(), told(stop)).await;
    })
}
