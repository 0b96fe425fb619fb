//! A node, a sandbox and a client of it that owns a wallet.

use std::{collections::HashMap, time::Duration};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use settla_evm::{
    Address, Intent, LocalSigner, Manifest, ManifestMember, Rpc, Signer, TxHash,
    devkeys::DevKey,
    token::{self, TestToken},
};
use settla_sandbox::{Funder, Keys, ProviderSettings, Running, Sandbox, SandboxConfig, Side};
use settla_vault::MasterKey;
use tempfile::TempDir;
use uuid::Uuid;

use crate::{
    anvil::{Anvil, CHAIN_ID},
    hook::Hook,
};

pub const ACCOUNT: &str = "settla-main";
const WAIT_MAX: Duration = Duration::from_secs(30);
const GAS_WEI: u128 = 1_000_000_000_000_000_000;

/// `Onramp` is `harbour`, `Offramp` is `meridian`; then the second of each side.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Server {
    Bank,
    Onramp,
    Offramp,
    Quayside,
    Solano,
    Fx,
}

use Server::{Bank, Fx, Offramp, Onramp, Quayside, Solano};

pub const ONRAMPS: [Server; 2] = [Onramp, Quayside];
pub const OFFRAMPS: [Server; 2] = [Offramp, Solano];

/// Base URLs of the servers.
pub type Urls = HashMap<Server, String>;

/// The server that plays a provider.
pub fn server(name: &str) -> Server {
    match name {
        "harbour" => Onramp,
        "quayside" => Quayside,
        "meridian" => Offramp,
        "solano" => Solano,
        _ => panic!("no such provider: {name}"),
    }
}

/// Talks to the servers.
#[derive(Clone)]
pub struct Client {
    pub http: reqwest::Client,
    pub urls: Urls,
}

pub fn key(server: Server) -> String {
    format!("test-key-{server:?}")
}

pub fn keys() -> Keys {
    Keys { bank: key(Bank), fx: key(Fx) }
}

pub fn providers() -> Vec<ProviderSettings> {
    ProviderSettings::usual(|name| key(server(name)))
}

impl Client {
    pub fn new(urls: Urls) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap();
        Self { http, urls }
    }

    pub fn request(&self, method: Method, server: Server, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.urls[&server])).bearer_auth(key(server))
    }

    pub async fn get(&self, server: Server, path: &str) -> (StatusCode, Value) {
        split(self.request(Method::GET, server, path).send().await.unwrap()).await
    }

    pub async fn put(&self, server: Server, path: &str, body: &Value) -> StatusCode {
        self.request(Method::PUT, server, path).json(body).send().await.unwrap().status()
    }

    /// A POST with an idempotency key.
    pub async fn try_post(
        &self,
        server: Server,
        path: &str,
        key: &str,
        body: &Value,
    ) -> Result<(StatusCode, Value), reqwest::Error> {
        let request = self.request(Method::POST, server, path).header("idempotency-key", key).json(body);
        Ok(split(request.send().await?).await)
    }

    pub async fn post(&self, server: Server, path: &str, key: &str, body: &Value) -> (StatusCode, Value) {
        self.try_post(server, path, key, body).await.unwrap()
    }

    /// Asks until the answer is as wanted. A poll, because some outcomes are told by no webhook.
    pub async fn until(&self, server: Server, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let poll = async {
            loop {
                let (_, body) = self.get(server, path).await;
                if wanted(&body) {
                    return body;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        match tokio::time::timeout(WAIT_MAX, poll).await {
            Ok(body) => body,
            Err(_) => panic!("{path} stays {:?}", self.get(server, path).await),
        }
    }

    /// Opens our bank account.
    pub async fn open_account(&self) {
        assert_eq!(self.put(Bank, &format!("/v1/accounts/{ACCOUNT}"), &json!({})).await, StatusCode::OK);
    }

    /// Somebody sends us money.
    pub async fn top_up(&self, currency: &str, amount: u128) {
        let body = json!({ "account": ACCOUNT, "currency": currency, "amount": amount.to_string(),
            "reference": "top-up", "payer_name": "Tenant Ltd" });
        let (status, body) = self.post(Bank, "/_control/incoming", &Uuid::now_v7().to_string(), &body).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
    }

    pub async fn balance(&self, currency: &str) -> i128 {
        let (_, account) = self.get(Bank, &format!("/v1/accounts/{ACCOUNT}")).await;
        balance_in(&account["balances"], currency)
    }

    /// All entries of a statement, page by page.
    pub async fn statement(&self, server: Server, path: &str) -> Vec<Value> {
        let (mut entries, mut after) = (Vec::new(), 0);
        loop {
            let (status, mut page) = self.get(server, &format!("{path}?after={after}&limit=7")).await;
            assert_eq!(status, StatusCode::OK);
            let next = page["next_after"].as_u64().unwrap();
            if next == after {
                return entries;
            }
            after = next;
            entries.append(page["entries"].as_array_mut().unwrap());
        }
    }

    /// USDC minor units for GBP minor units at the feed's rate now.
    pub async fn usdc_for_gbp(&self, minor: u128) -> u128 {
        let (_, rates) = self.get(Fx, "/v1/rates").await;
        let rates = rates["rates"].as_array().unwrap();
        let rate = rates.iter().find(|rate| rate["base"] == "GBP" && rate["quote"] == "USDC").unwrap();
        let rate_e8: u128 = rate["rate"].as_str().unwrap().replace('.', "").parse().unwrap();
        minor * rate_e8 / 10_000
    }
}

/// The sum of entries' `amount` in one currency.
pub fn sum(entries: &[Value], currency: &str) -> i128 {
    let of_currency = entries.iter().filter(|entry| entry["currency"] == currency);
    of_currency.map(|entry| entry["amount"].as_str().unwrap().parse::<i128>().unwrap()).sum()
}

/// The amount in a list of amounts with currencies.
pub fn balance_in(list: &Value, currency: &str) -> i128 {
    sum(list.as_array().unwrap(), currency)
}

async fn split(response: reqwest::Response) -> (StatusCode, Value) {
    let status = response.status();
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status}: {text}"));
    (status, body)
}

/// The chain side, without a sandbox.
pub struct Ground {
    pub dir: TempDir,
    pub rpc: Rpc,
    pub token: TestToken,
    pub dev: DevKey,
    pub signer: LocalSigner,
    pub wallet: Address,
    pub anvil: Anvil,
}

impl Ground {
    pub async fn new() -> Self {
        let anvil = Anvil::start();
        let dir = TempDir::new().unwrap();
        let rpc = Rpc::connect(&anvil.url, CHAIN_ID).await.unwrap();
        let dev = DevKey::account_0();
        let token = TestToken::ensure(&rpc, &dev).await.unwrap();
        let master = MasterKey::from_bytes([7; 32]);
        let signer = LocalSigner::open(&dir.path().join("client"), &master, CHAIN_ID, 0).unwrap();
        let wallet = signer.address().await;
        token::fund(&rpc, &dev, wallet, GAS_WEI).await.unwrap();
        Self { dir, rpc, token, dev, signer, wallet, anvil }
    }

    pub fn config(&self) -> SandboxConfig {
        let dir = self.dir.path().join("sandbox");
        let mut config =
            SandboxConfig::new(dir, keys(), providers(), self.anvil.url.clone(), CHAIN_ID, self.token.address());
        config.latency_ms = 30;
        config.slow_ms = 2_500;
        config.late_ms = 1_000;
        config.funder = Some(Funder::default());
        config
    }

    pub async fn tokens(&self, owner: Address) -> u128 {
        self.rpc.token_balance(self.token.address(), owner).await.unwrap()
    }

    pub async fn mint(&self, amount: u128) {
        self.token.mint(&self.rpc, &self.dev, self.wallet, amount).await.unwrap();
    }

    /// Sends the members' tokens in one transfer with their manifest.
    pub async fn send(&self, to: Address, batch_id: Uuid, members: &[(Uuid, u128)]) -> TxHash {
        let intent = Intent {
            id: batch_id,
            chain_id: CHAIN_ID,
            token: self.token.address(),
            destination: to,
            manifest: Manifest {
                batch_id,
                members: members.iter().map(|(id, amount)| ManifestMember { id: *id, amount: *amount }).collect(),
            },
            audit: members.iter().map(|(id, _)| id.to_string()).collect(),
            fees: self.rpc.fees().await.unwrap(),
            gas_limit: 100_000,
        };
        let signed = self.signer.sign(&intent).await.unwrap();
        self.rpc.send_raw(&signed.raw).await.unwrap()
    }
}

/// Ground, sandbox, client and webhook receiver.
pub struct World {
    pub ground: Ground,
    pub client: Client,
    pub hook: Hook,
    running: Option<Running>,
    /// Wallets of all providers.
    pub wallets: HashMap<Server, Address>,
    pub treasury: Address,
    pub deposit: Address,
}

impl World {
    pub async fn new() -> Self {
        Self::with(|_| ()).await
    }

    pub async fn with(adjust: impl FnOnce(&mut SandboxConfig)) -> Self {
        let ground = Ground::new().await;
        let mut config = ground.config();
        adjust(&mut config);
        let running = Sandbox::start(config).await.unwrap();
        let client = Client::new(urls(&running));
        let hook = Hook::start().await;
        let wallets = wallets(&running);
        let (treasury, deposit) = (wallets[&Onramp], wallets[&Offramp]);
        let world = Self { ground, client, hook, running: Some(running), wallets, treasury, deposit };
        let registration = json!({ "url": world.hook.url, "secret": world.hook.secret.expose().expose() });
        for server in [Bank, Onramp, Offramp, Quayside, Solano] {
            assert_eq!(world.client.put(server, "/v1/webhook-endpoint", &registration).await, StatusCode::OK);
        }
        world.client.open_account().await;
        world
    }

    /// Cuts the sandbox off and starts it again on the same folder, on other ports.
    pub async fn restart(&mut self, adjust: impl FnOnce(&mut SandboxConfig)) {
        self.running.take();
        let mut config = self.ground.config();
        adjust(&mut config);
        let running = Sandbox::start(config).await.unwrap();
        assert_eq!(wallets(&running), self.wallets);
        self.client.urls = urls(&running);
        self.running = Some(running);
    }

    pub async fn shutdown(&mut self) {
        if let Some(running) = self.running.take() {
            running.shutdown().await;
        }
    }

    pub fn order(&self, id: Uuid, gbp_minor: u128, usdc: u128) -> Value {
        json!({
            "client_order_id": id,
            "source": { "currency": "GBP", "amount": gbp_minor.to_string() },
            "destination": { "currency": "USDC", "amount": usdc.to_string() },
            "wallet_address": self.ground.wallet,
            "bank_account": ACCOUNT,
        })
    }

    pub fn payout(&self, id: Uuid, usdc: u128, ngn_minor: u128, tx_hash: TxHash) -> Value {
        json!({
            "client_payout_id": id,
            "source": { "currency": "USDC", "amount": usdc.to_string() },
            "destination": { "currency": "NGN", "amount": ngn_minor.to_string() },
            "beneficiary": { "name": "Ada Obi", "account_number": "0123456789", "bank_code": "058", "country": "NG" },
            "settlement_tx_hash": tx_hash,
            "return_address": self.ground.wallet,
        })
    }

    /// Tokens on chain for these payouts, and the manifest at the off-ramp.
    pub async fn settle(&self, members: &[(Uuid, u128)]) -> TxHash {
        self.settle_at(Offramp, members).await
    }

    pub async fn settle_at(&self, offramp: Server, members: &[(Uuid, u128)]) -> TxHash {
        let batch_id = Uuid::now_v7();
        let tx_hash = self.ground.send(self.wallets[&offramp], batch_id, members).await;
        let (status, body) =
            self.client.post(offramp, "/v1/settlements", "any", &manifest(tx_hash, batch_id, members)).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{body}");
        tx_hash
    }

    /// Each server's statement against its balances, and all providers' summaries against the chain.
    pub async fn check_books(&self, topped_up: i128, client_tokens_before: u128) {
        let client = &self.client;
        let bank = client.statement(Bank, &format!("/v1/accounts/{ACCOUNT}/statement")).await;
        assert!(bank.iter().zip(1..).all(|(entry, seq)| entry["seq"] == seq));
        assert_eq!(sum(&bank, "GBP"), client.balance("GBP").await);

        let (mut taken, mut delivered) = (0, 0);
        for onramp in ONRAMPS {
            let (_, summary) = client.get(onramp, "/v1/summary").await;
            taken += balance_in(&summary["fiat_taken"], "GBP");
            let entries = client.statement(onramp, "/v1/statement").await;
            let tokens = |entry: &Value| entry["tokens_delivered"]["amount"].as_str().unwrap().parse::<i128>().unwrap();
            let gone: i128 = entries.iter().map(tokens).sum();
            assert_eq!(gone, balance_in(&summary["tokens_delivered"], "USDC"));
            let gone = u128::try_from(gone).unwrap();
            let treasury = self.ground.tokens(self.wallets[&onramp]).await;
            assert_eq!(treasury, Funder::default().treasury_tokens - gone);
            delivered += gone;
        }
        // What off-ramps pay to our own account is money in like any other.
        let sold = bank.iter().filter(|entry| OFFRAMP_NAMES.contains(&entry["counterparty"].as_str().unwrap()));
        let sold = sum(&sold.cloned().collect::<Vec<_>>(), "GBP");
        assert_eq!(topped_up + sold - client.balance("GBP").await, taken);

        let mut kept = 0;
        for offramp in OFFRAMPS {
            let (_, summary) = client.get(offramp, "/v1/summary").await;
            let entries = client.statement(offramp, "/v1/statement").await;
            let left =
                balance_in(&summary["tokens_received"], "USDC") - balance_in(&summary["tokens_returned"], "USDC");
            assert_eq!(sum(&entries, "USDC"), left);
            for currency in ["NGN", "GBP"] {
                assert_eq!(-sum(&entries, currency), balance_in(&summary["paid"], currency));
            }
            let left = u128::try_from(left).unwrap();
            assert_eq!(self.ground.tokens(self.wallets[&offramp]).await, left);
            kept += left;
        }
        assert_eq!(self.ground.tokens(self.ground.wallet).await, client_tokens_before + delivered - kept);
    }
}

const OFFRAMP_NAMES: [&str; 2] = ["meridian", "solano"];

pub fn urls(running: &Running) -> Urls {
    let providers = running.providers.iter().map(|one| (server(&one.name), one.url.clone()));
    providers.chain([(Bank, running.bank_url.clone()), (Fx, running.fx_url.clone())]).collect()
}

fn wallets(running: &Running) -> HashMap<Server, Address> {
    let is_onramp = |side| side == Side::OnRamp;
    assert!(running.providers.iter().all(|one| is_onramp(one.side) == ONRAMPS.contains(&server(&one.name))));
    running.providers.iter().map(|one| (server(&one.name), one.address)).collect()
}

pub fn manifest(tx_hash: TxHash, batch_id: Uuid, members: &[(Uuid, u128)]) -> Value {
    let members: Vec<Value> =
        members.iter().map(|(id, amount)| json!({ "client_payout_id": id, "amount": amount.to_string() })).collect();
    json!({ "tx_hash": tx_hash, "batch_id": batch_id, "members": members })
}
