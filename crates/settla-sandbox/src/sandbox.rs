//! Starting and stopping the four servers.

use std::{sync::Arc, time::Duration};

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
    offramp::Offramp,
    onramp::Onramp,
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
    /// Base URL of the on-ramp.
    pub onramp_url: String,
    /// Base URL of the off-ramp.
    pub offramp_url: String,
    /// Base URL of the FX feed.
    pub fx_url: String,
    /// The on-ramp's wallet: it needs tokens to deliver, and gas.
    pub treasury_address: Address,
    /// The off-ramp's wallet: tokens come here, and rejected ones go back from here. It needs gas.
    pub deposit_address: Address,
    tasks: JoinSet<()>,
    stopper: Stopper,
}

impl Sandbox {
    /// Opens the books, takes the ports and carries on where the last start ended.
    pub async fn start(config: SandboxConfig) -> Result<Running, SandboxError> {
        config.check()?;
        let lock = FolderLock::take(&config.dir).await?;
        let master = Arc::new(MasterKey::load_or_create(&config.dir.join("master.key"))?);
        let rpc = Rpc::connect(&config.rpc_url, config.chain_id).await?;
        let chain = Chain { rpc, token: config.token, depth: config.depth };
        let dir = |name: &str| config.dir.join(name);
        let treasury =
            Wallet::open("treasury", &dir("onramp").join("signer"), &master, chain.clone(), lock.clone()).await?;
        let deposit =
            Wallet::open("deposit", &dir("offramp").join("signer"), &master, chain.clone(), lock.clone()).await?;
        let (treasury_address, deposit_address) = (treasury.address, deposit.address);
        if let Some(funder) = config.funder {
            fund(&chain, funder, &treasury, &deposit).await?;
        }

        let (stopper, stop) = stop::channel();
        let client = webhook::client()?;
        let setup = |name: &'static str| Setup {
            dir: dir(name),
            lock: lock.clone(),
            announcer: Announcer::new(client.clone(), Arc::clone(&master), name, stop.clone()),
            script: config.script(),
            stop: stop.clone(),
        };
        let fx = Fx::open(&dir("fx"), lock.clone())?;
        let bank = Bank::open(setup("bank")).await?;
        let onramp = Onramp::open(setup("onramp"), Arc::clone(&bank), Arc::clone(&fx), &treasury).await?;
        let offramp = Offramp::open(setup("offramp"), &deposit).await?;

        // All ports before the first answer: a start that fails has done nothing.
        let (ip, ports) = (config.ip, config.ports);
        let bank_port = Port::bind(ip, ports.bank).await?;
        let onramp_port = Port::bind(ip, ports.onramp).await?;
        let offramp_port = Port::bind(ip, ports.offramp).await?;
        let fx_port = Port::bind(ip, ports.fx).await?;
        let urls = [&bank_port, &onramp_port, &offramp_port, &fx_port].map(|port| port.url.clone());

        let mut tasks = JoinSet::new();
        bank.start(&mut tasks);
        onramp.start(treasury, &mut tasks);
        offramp.start(deposit, &mut tasks);
        let keys = &config.keys;
        bank_port.serve(bank.routes(), &keys.bank, stop.clone(), &mut tasks);
        onramp_port.serve(onramp.routes(), &keys.onramp, stop.clone(), &mut tasks);
        offramp_port.serve(offramp.routes(), &keys.offramp, stop.clone(), &mut tasks);
        fx_port.serve(fx.routes(), &keys.fx, stop.clone(), &mut tasks);

        let [bank_url, onramp_url, offramp_url, fx_url] = urls;
        Ok(Running { bank_url, onramp_url, offramp_url, fx_url, treasury_address, deposit_address, tasks, stopper })
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
async fn fund(chain: &Chain, funder: Funder, treasury: &Wallet, deposit: &Wallet) -> Result<(), SandboxError> {
    let giver = DevKey::account_0();
    let failed = |error: token::TokenError| SandboxError::Funding(error.to_string());
    for wallet in [treasury, deposit] {
        if chain.rpc.native_balance(wallet.address).await? < funder.gas_wei / 10 {
            token::fund(&chain.rpc, &giver, wallet.address, funder.gas_wei).await.map_err(failed)?;
        }
    }
    if treasury.tokens().await? == 0 {
        let token = token::TestToken::at(chain.token);
        token.mint(&chain.rpc, &giver, treasury.address, funder.treasury_tokens).await.map_err(failed)?;
    }
    Ok(())
}
