//! Gateway, server and node of one environment, wired in one process.

mod introduction;
mod probes;
mod signer;

use crate::failure::Failure;
use hmac::{Hmac, Mac};
use introduction::{Party, introduce};
use ipnet::IpNet;
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
use settla_server::route_facts::RouteFacts;
use settla_server::runner::Runner;
use settla_server::{Corridors, Probe, Server, ServerConfig, WebhookRules};
use settla_store::{Store, StoreConfig, operator};
use settla_vault::{Environment, KeyHasher, MasterKey, Secret, WebhookSecret, random_bytes};
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

/// The setting that holds the secret which API keys are hashed under.
const API_KEY_SECRET: &str = "SETTLA_API_KEY_HMAC_SECRET";
/// The bank's name.
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
    /// Hashers of API keys: the first signs, all verify.
    pub key_hashers: Vec<KeyHasher>,
    /// Networks of our own proxies.
    pub trusted_proxies: Vec<IpNet>,
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
    /// At least one.
    pub on_ramps: Vec<ProviderAt>,
    /// At least one.
    pub off_ramps: Vec<ProviderAt>,
    pub fx: ProviderAt,
    /// Whether webhooks may go to this machine: development alone.
    pub local_webhooks: bool,
    /// When books are compared.
    pub reconcile: ReconcileConfig,
}

/// A provider's name, where it is, its key, and the secret of its webhooks.
pub struct ProviderAt {
    pub name: String,
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

fn http(at: &ProviderAt) -> Result<Http, Failure> {
    let endpoint = Endpoint {
        name: at.name.clone(),
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
pub async fn agree(store: &Store, hashers: &[KeyHasher], master: &MasterKey) -> Result<(), Failure> {
    let of_hasher = |hasher: &KeyHasher| match hasher.version() {
        1 => (API_KEY_SECRET.to_owned(), hasher.fingerprint()),
        version => (format!("{API_KEY_SECRET} of version {version}"), hasher.fingerprint()),
    };
    let of_master = ("master key".to_owned(), master.fingerprint());
    for (name, fingerprint) in hashers.iter().map(of_hasher).chain([of_master]) {
        if operator::agree(&store.operator, &name, &fingerprint).await?.is_err() {
            return Err(Failure::new(format!("another instance on this database was started with a different {name}"))
                .try_next("use the same secret on all instances; see docs/operations.md"));
        }
    }
    Ok(())
}

/// A secret that all instances on this database share, drawn by the first of them and kept under the master key: what is
/// made with it outlives the secrets that people replace.
async fn shared_secret(store: &Store, master: &MasterKey) -> Result<Secret<Vec<u8>>, Failure> {
    const NAME: &str = "platform secret";
    let drawn = hex::encode(master.seal(NAME, &random_bytes::<32>()));
    let kept = operator::agree(&store.operator, NAME, &drawn).await?.err().unwrap_or(drawn);
    Ok(master.open(NAME, &hex::decode(kept)?)?)
}

/// Starts all roles.
pub async fn start(config: PlatformConfig) -> Result<Running, Failure> {
    // Before everything that measures: what is counted without a recorder is lost.
    let measured = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(LATENCY_METRIC.to_owned()), &LATENCY_BUCKETS_S)?
        .install_recorder()?;
    let store = Store::open(&StoreConfig::new(config.database_url.clone())).await?;
    agree(&store, &config.key_hashers, &config.master_key).await?;
    let shared = shared_secret(&store, &config.master_key).await?;

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

    let mut on_ramps: HashMap<String, Arc<dyn OnRamp>> = HashMap::new();
    for at in &config.on_ramps {
        on_ramps.insert(at.name.clone(), Arc::new(HttpOnRamp::new(http(at)?)));
    }
    let mut off_ramps: HashMap<String, Arc<dyn OffRamp>> = HashMap::new();
    for at in &config.off_ramps {
        off_ramps.insert(at.name.clone(), Arc::new(HttpOffRamp::new(http(at)?)));
    }
    let corridors = corridors(&chain.name, &on_ramps, &off_ramps)?;
    let bank: Arc<dyn Bank> = Arc::new(HttpBank::new(http(&config.bank)?, BANK_ACCOUNT));
    let fx: Arc<dyn FxFeed> = Arc::new(HttpFx::new(http(&config.fx)?, Duration::from_millis(500)));

    let api = TcpListener::bind(config.api).await.map_err(|error| {
        Failure::new(format!("cannot listen on {}: {error}", config.api)).try_next("choose another port with --port")
    })?;
    let metrics_listener = TcpListener::bind(config.metrics).await?;
    let (api_at, metrics_at) = (api.local_addr()?, metrics_listener.local_addr()?);

    let hook = |provider: &str| format!("http://{api_at}/webhooks/providers/{provider}");
    let tell = |party, at: &ProviderAt| introduce(party, hook(&at.name), at.webhook_secret.clone());
    let mut introductions = vec![tell(Party::Bank(Arc::clone(&bank)), &config.bank)];
    for at in &config.on_ramps {
        introductions.extend(on_ramps.get(&at.name).map(|ramp| tell(Party::OnRamp(Arc::clone(ramp)), at)));
    }
    for at in &config.off_ramps {
        introductions.extend(off_ramps.get(&at.name).map(|ramp| tell(Party::OffRamp(Arc::clone(ramp)), at)));
    }

    let runner = Runner::start(store.clone())?;
    let keyring = Arc::new(Keyring::new(Arc::clone(&config.master_key), store.clone()));
    let senders = [config.bank].into_iter().chain(config.on_ramps).chain(config.off_ramps);
    let secrets: HashMap<_, _> = senders.map(|at| (at.name, vec![at.webhook_secret])).collect();
    let providers = secrets.keys().map(|name| (name.clone(), config.environment)).collect();
    let server_config = ServerConfig {
        environment: config.environment,
        hashers: config.key_hashers,
        fingerprint_key: derive(&shared, "settla idempotency fingerprint")?,
        cursor_key: derive(&shared, "settla cursor")?,
        corridors,
        quote_lifetime_ms: 60_000,
        rate_age_ms_max: 10_000,
        webhook_rules: if config.local_webhooks { WebhookRules::AnyAddress } else { WebhookRules::PublicHttps },
        pay_to: BANK_ACCOUNT.to_owned(),
        provider_secrets: secrets,
    };
    let probes: Vec<(&'static str, Arc<dyn Probe>)> = vec![
        ("chain", Arc::new(probes::ChainProbe(Arc::clone(&chain)))),
        ("bank", Arc::new(probes::BankProbe(Arc::clone(&bank)))),
        ("fx", Arc::new(probes::FxProbe(Arc::clone(&fx)))),
        ("on_ramp", Arc::new(probes::OnRampsProbe(on_ramps.values().cloned().collect()))),
        ("off_ramp", Arc::new(probes::OffRampsProbe(off_ramps.values().cloned().collect()))),
    ];
    let facts = Arc::new(RouteFacts::new(store.clone()));
    let server = Arc::new(Server::new(
        server_config,
        store.clone(),
        runner.clone(),
        Arc::clone(&keyring),
        fx,
        Arc::clone(&facts),
        probes,
    ));

    let node = Node::new(NodeParts {
        store: store.clone(),
        runner,
        keyring,
        on_ramps,
        off_ramps,
        bank,
        chain,
        wallet,
        arrivals: server.arrivals(),
        facts,
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
        serve_api(api, config.environment, server, providers, config.trusted_proxies, stopping.clone()),
        serve_metrics(metrics_listener, measured, stopping),
    ];
    Ok(Running { api: api_at, metrics: metrics_at, wallet, stop, tasks, introductions, store })
}

fn corridors(
    chain: &str,
    on_ramps: &HashMap<String, Arc<dyn OnRamp>>,
    off_ramps: &HashMap<String, Arc<dyn OffRamp>>,
) -> Result<Corridors, Failure> {
    if on_ramps.is_empty() || off_ramps.is_empty() {
        return Err(Failure::new("no on-ramp or no off-ramp is configured"));
    }
    Ok(Corridors {
        on_ramps: on_ramps.values().cloned().collect(),
        off_ramps: off_ramps.values().cloned().collect(),
        chains: vec![chain.to_owned()],
        sources: vec![Currency::GBP, Currency::EUR, Currency::USD],
        stablecoins: vec![Currency::USDC],
        destinations: vec![Currency::NGN, Currency::KES, Currency::GHS, Currency::GBP, Currency::EUR],
    })
}

async fn told(mut stop: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

fn serve_api(
    listener: TcpListener,
    environment: Environment,
    server: Arc<dyn Platform>,
    providers: BTreeMap<String, Environment>,
    trusted_proxies: Vec<IpNet>,
    stop: watch::Receiver<bool>,
) -> JoinHandle<()> {
    let (live, test) = match environment {
        Environment::Live => (Some(server), None),
        Environment::Test => (None, Some(server)),
    };
    let limits = Limits::default();
    let gateway = Gateway { live, test, providers, trusted_proxies, limits: limits.clone() };
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
