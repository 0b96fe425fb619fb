//! Starting and stopping all servers.

use std::{sync::Arc, time::Duration};

use axum::Router;
use settla_evm::{Address, Rpc, devkeys::DevKey, token};
use settla_vault::MasterKey;
use tokio::task::JoinSet;

use crate::{
    bank::Bank,
    chain::{Chain, Wallet},
    config::{Funder, SandboxConfig},
    error::SandboxError,
    fx::Fx,
    http::Port,
    lock::FolderLock,
    magic::Script,
    offramp::Offramp,
    onramp::Onramp,
    provider::{Identity, ProviderSettings, Side},
    setup::Setup,
    stop::{self, Stopper},
    webhook::{self, Announcer},
};

/// How long a stop waits for answers in work before it cuts them off.
const STOP_MAX: Duration = Duration::from_secs(5);

/// The outside world.
pub struct Sandbox;

/// A running sandbox. Dropping it cuts everything off, as a crash would; the books are made for that.
pub struct Running {
    /// Base URL of the bank.
    pub bank_url: String,
    /// Base URL of the FX feed.
    pub fx_url: String,
    /// The providers, in the order of the settings.
    pub providers: Vec<RunningProvider>,
    tasks: JoinSet<()>,
    stopper: Stopper,
}

/// A provider that can be reached.
#[derive(Clone, Debug)]
pub struct RunningProvider {
    /// Its name.
    pub name: String,
    /// Its side.
    pub side: Side,
    /// Base URL.
    pub url: String,
    /// Its wallet. An on-ramp's needs tokens to deliver; to an off-ramp's, tokens come and go back from when they are
    /// rejected. Both need gas.
    pub address: Address,
}

/// A provider whose books are open.
struct Opened {
    ramp: Ramp,
    wallet: Wallet,
    settings: ProviderSettings,
}

enum Ramp {
    On(Arc<Onramp>),
    Off(Arc<Offramp>),
}

impl Ramp {
    fn start(&self, wallet: Wallet, tasks: &mut JoinSet<()>) {
        match self {
            Self::On(onramp) => onramp.start(wallet, tasks),
            Self::Off(offramp) => offramp.start(wallet, tasks),
        }
    }

    fn routes(self) -> Router {
        match self {
            Self::On(onramp) => onramp.routes(),
            Self::Off(offramp) => offramp.routes(),
        }
    }
}

impl Sandbox {
    /// Opens the books, takes the ports and carries on where the last start ended.
    pub async fn start(config: SandboxConfig) -> Result<Running, SandboxError> {
        config.check()?;
        let lock = FolderLock::take(&config.dir).await?;
        let master = Arc::new(MasterKey::load_or_create(&config.dir.join("master.key"))?);
        let rpc = Rpc::connect(&config.rpc_url, config.chain_id).await?;
        let chain = Chain { rpc, token: config.token, depth: config.depth };
        let mut wallets = Vec::with_capacity(config.providers.len());
        for settings in &config.providers {
            let dir = config.dir.join(&settings.name).join("signer");
            wallets.push(Wallet::open(&settings.name, &dir, &master, chain.clone(), lock.clone()).await?);
        }
        if let Some(funder) = config.funder {
            fund(&chain, funder, config.providers.iter().map(|one| one.side).zip(&wallets)).await?;
        }

        let (stopper, stop) = stop::channel();
        let client = webhook::client()?;
        let setup = |name: &str, script: Script| Setup {
            dir: config.dir.join(name),
            lock: lock.clone(),
            announcer: Announcer::new(client.clone(), Arc::clone(&master), name.into(), stop.clone()),
            script,
            stop: stop.clone(),
        };
        let fx = Fx::open(&config.dir.join("fx"), lock.clone())?;
        let bank = Bank::open(setup("bank", config.script())).await?;
        let mut opened = Vec::with_capacity(wallets.len());
        for (settings, wallet) in config.providers.iter().cloned().zip(wallets) {
            let setup = setup(&settings.name, settings.script(config.script()));
            let (fx, price_bps) = (Arc::clone(&fx), settings.price_bps);
            let identity = Identity { name: settings.name.as_str().into(), fx, price_bps };
            let bank = Arc::clone(&bank);
            let ramp = match settings.side {
                Side::OnRamp => Ramp::On(Onramp::open(setup, identity, bank, &wallet).await?),
                Side::OffRamp { float } => Ramp::Off(Offramp::open(setup, identity, float, bank, &wallet).await?),
            };
            opened.push(Opened { ramp, wallet, settings });
        }

        // All ports before the first answer: a start that fails has done nothing.
        let bank_port = Port::bind(config.ip, config.ports.bank).await?;
        let fx_port = Port::bind(config.ip, config.ports.fx).await?;
        let mut ports = Vec::with_capacity(opened.len());
        for one in &opened {
            ports.push(Port::bind(config.ip, one.settings.port).await?);
        }
        let (bank_url, fx_url) = (bank_port.url.clone(), fx_port.url.clone());

        let mut tasks = JoinSet::new();
        bank.start(&mut tasks);
        bank_port.serve(bank.routes(), &config.keys.bank, stop.clone(), &mut tasks);
        fx_port.serve(fx.routes(), &config.keys.fx, stop.clone(), &mut tasks);
        let mut providers = Vec::with_capacity(opened.len());
        for (Opened { ramp, wallet, settings }, port) in opened.into_iter().zip(ports) {
            let (url, address) = (port.url.clone(), wallet.address);
            ramp.start(wallet, &mut tasks);
            port.serve(ramp.routes(), &settings.key, stop.clone(), &mut tasks);
            providers.push(RunningProvider { name: settings.name, side: settings.side, url, address });
        }
        Ok(Running { bank_url, fx_url, providers, tasks, stopper })
    }
}

impl Running {
    /// Stops taking requests, ends those in work and gives the folder back. Orders in work carry on at the next start.
    pub async fn shutdown(mut self) {
        self.stopper.stop();
        let ended = tokio::time::timeout(STOP_MAX, async { while self.tasks.join_next().await.is_some() {} });
        if ended.await.is_err() {
            self.tasks.shutdown().await;
        }
    }
}

/// Gives what is missing. A start that was cut off in the middle gives the rest at the next one.
async fn fund(
    chain: &Chain,
    funder: Funder,
    wallets: impl Iterator<Item = (Side, &Wallet)>,
) -> Result<(), SandboxError> {
    let giver = DevKey::account_0();
    let failed = |error: token::TokenError| SandboxError::Funding(error.to_string());
    for (side, wallet) in wallets {
        if chain.rpc.native_balance(wallet.address).await? < funder.gas_wei / 10 {
            token::fund(&chain.rpc, &giver, wallet.address, funder.gas_wei).await.map_err(failed)?;
        }
        if side == Side::OnRamp && wallet.tokens().await? == 0 {
            let token = token::TestToken::at(chain.token);
            token.mint(&chain.rpc, &giver, wallet.address, funder.treasury_tokens).await.map_err(failed)?;
        }
    }
    Ok(())
}
