//! A desk that settles, what it needs, and ways to look at what it did.

use super::support::{create, findings_to_completion, funding, open, quote, tenant};
use crate::settlement::{SettlementConfig, SettlementDesk};
use crate::{Node, NodeConfig, NodeParts};
use async_trait::async_trait;
use serde_json::{Value, json};
use settla_devkit::probe::json_rpc;
use settla_devkit::{Anvil, AnvilSettings, TestDatabase};
use settla_domain::decide::{Answer, Command, CreateTransfer};
use settla_domain::money::Currency;
use settla_domain::quote::Quote;
use settla_domain::tenant::TenantNo;
use settla_domain::transfer::{Settlement as Mode, Transfer, TransferState};
use settla_evm::devkeys::DevKey;
use settla_evm::token::{TestToken, fund};
use settla_evm::{Address, LocalSigner, Nodes, Rpc, Signer};
use settla_rails::bank::HttpBank;
use settla_rails::chain::Chain;
use settla_rails::http::{Endpoint, Http};
use settla_rails::off_ramp::{OffRamp, Payout, PayoutLine, PayoutState};
use settla_rails::on_ramp::TokenBatch;
use settla_rails::{Enquired, Offer, ProviderTerms, RailError, Started};
use settla_server::keyring::Keyring;
use settla_server::route_facts::RouteFacts;
use settla_server::runner::{Envelope, Runner};
use settla_store::{Store, read};
use settla_vault::{MasterKey, Secret};
use sqlx::{Connection, PgConnection, Row};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::RwLock;
use uuid::Uuid;

pub const CHAIN_ID: u64 = 43_113;
pub const ONE_COIN: u128 = 1_000_000_000_000_000_000;
/// Where the off-ramp takes tokens.
pub const DEPOSIT: Address = Address([0x77; 20]);
const TOKENS: u128 = 1_000_000_000_000;

/// An off-ramp that hears of tokens and does nothing else.
#[derive(Default)]
pub struct Listener {
    pub told: Mutex<Vec<TokenBatch>>,
    /// Whoever holds this for writing keeps it from answering.
    pub busy: RwLock<()>,
}

#[async_trait]
impl OffRamp for Listener {
    fn name(&self) -> &str {
        "meridian"
    }
    async fn terms(&self) -> Result<ProviderTerms, RailError> {
        Ok(ProviderTerms {
            acceptance_delay_ms: 1_000,
            idempotency_lifetime_ms: 60_000,
            deposit_address: Some(DEPOSIT),
            treasury_address: None,
        })
    }
    async fn offer(&self) -> Result<Arc<Offer>, RailError> {
        Ok(Arc::new(Offer::default()))
    }
    async fn announce(&self, batch: &TokenBatch) -> Result<(), RailError> {
        let _free = self.busy.read().await;
        self.told.lock().unwrap().push(batch.clone());
        Ok(())
    }
    async fn start(&self, _: &Payout) -> Started<PayoutState> {
        Started::Unknown
    }
    async fn enquire(&self, _: Uuid) -> Enquired<PayoutState> {
        Enquired::Unknown
    }
    async fn returned(&self, _: Uuid) -> Result<TokenBatch, RailError> {
        Err(RailError::Unavailable("meridian".to_owned()))
    }
    async fn statement(&self, _: u64, _: u32) -> Result<Vec<PayoutLine>, RailError> {
        Ok(Vec::new())
    }
    fn read_event(&self, _: &Value) -> Option<(Uuid, PayoutState)> {
        None
    }
    async fn register_webhook(&self, _: &str, _: &str) -> Result<(), RailError> {
        Ok(())
    }
    async fn healthy(&self) -> bool {
        true
    }
}

/// Everything around a desk.
pub struct Ground {
    pub desk: SettlementDesk,
    pub store: Store,
    pub rpc: Rpc,
    pub token: TestToken,
    pub issuer: DevKey,
    pub wallet: Address,
    pub off_ramp: Arc<Listener>,
    /// One more, for what the first one does not get.
    pub other: Arc<Listener>,
    pub tenant: TenantNo,
    runner: Runner,
    anvil: Anvil,
    database: TestDatabase,
    _folder: tempfile::TempDir,
}

/// Closes batches at once, sends again and raises fees as soon as it may.
pub fn eager() -> SettlementConfig {
    SettlementConfig {
        window: Duration::ZERO,
        rebroadcast_after: Duration::ZERO,
        bump_after: Duration::ZERO,
        final_depth: 6,
        ..SettlementConfig::default()
    }
}

impl Ground {
    /// A wallet with tokens and gas on a chain that makes a block only when told to.
    pub async fn new(settlement: SettlementConfig) -> Self {
        let (database, anvil) = tokio::join!(
            TestDatabase::create(),
            Anvil::start(None, AnvilSettings { chain_id: CHAIN_ID, block_time: None })
        );
        let (database, anvil) = (database.unwrap(), anvil.unwrap());
        let store = open(database.url()).await;
        let rpc = Rpc::connect(&anvil.url(), CHAIN_ID).await.unwrap();
        let issuer = DevKey::account_0();
        let token = TestToken::deploy(&rpc, &issuer).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let signer = LocalSigner::open(folder.path(), &MasterKey::from_bytes([7; 32]), CHAIN_ID, 0).unwrap();
        let wallet = signer.address().await;
        token.mint(&rpc, &issuer, wallet, TOKENS).await.unwrap();
        fund(&rpc, &issuer, wallet, ONE_COIN).await.unwrap();

        let runner = Runner::start(store.clone()).unwrap();
        let tenant = tenant(&store, "acme").await;
        let (off_ramp, other) = (Arc::new(Listener::default()), Arc::new(Listener::default()));
        let nobody = Endpoint {
            name: "bank".to_owned(),
            base_url: "http://127.0.0.1:1".to_owned(),
            key: Secret::new(String::new()),
            timeout: Duration::from_secs(1),
        };
        let chain = Chain {
            name: format!("eip155:{CHAIN_ID}"),
            rpc: Nodes::connect(&[anvil.url()], CHAIN_ID).await.unwrap(),
            currency: Currency::USDC,
            token: token.address(),
            depth: 2,
        };
        let node = Node::new(NodeParts {
            store: store.clone(),
            runner: runner.clone(),
            keyring: Arc::new(Keyring::new(Arc::new(MasterKey::from_bytes([7; 32])), store.clone())),
            on_ramps: HashMap::new(),
            off_ramps: HashMap::from([
                ("meridian".to_owned(), off_ramp.clone() as Arc<dyn OffRamp>),
                ("solano".to_owned(), other.clone()),
            ]),
            bank: Arc::new(HttpBank::new(Http::new(nobody).unwrap(), "ours")),
            chain: Arc::new(chain),
            wallet,
            arrivals: None,
            facts: Arc::new(RouteFacts::new(store.clone())),
            config: NodeConfig { settlement, ..NodeConfig::default() },
        });
        let desk = SettlementDesk::new(node, Arc::new(signer));
        let _folder = folder;
        let ground =
            Self { desk, store, rpc, token, issuer, wallet, off_ramp, other, tenant, runner, anvil, database, _folder };
        for command in funding(tenant, 100_000_000) {
            ground.submit(command).await;
        }
        ground.control("evm_setAutomine", json!([false])).await;
        ground
    }

    async fn submit(&self, command: Command) -> Answer {
        let envelope = Envelope { tenant: self.tenant, command, idempotency: None, sealed: None, audit: None };
        self.runner.submit(envelope).await.unwrap().answer
    }

    /// A transfer whose tokens are ours and are to go to the off-ramp.
    pub async fn settling(&self, mode: Mode) -> Transfer {
        self.settling_from(quote(self.tenant, 10_000), mode).await
    }

    /// The same, of a quote with one more off-ramp.
    pub async fn settling_with_fallback(&self, off_ramp: &str) -> Transfer {
        let mut quote = quote(self.tenant, 10_000);
        quote.terms.fallbacks.off_ramps.push(off_ramp.to_owned());
        self.settling_from(quote, Mode::Batched).await
    }

    async fn settling_from(&self, quote: Quote, mode: Mode) -> Transfer {
        self.submit(Command::CreateQuote(quote.clone())).await;
        let wish = CreateTransfer { settlement: mode, ..create(&quote) };
        let Answer::Transfer(transfer) = self.submit(Command::CreateTransfer(wish)).await else {
            panic!("no transfer")
        };
        for report in findings_to_completion(&transfer)[..2].iter().cloned() {
            self.submit(Command::Report(report)).await;
        }
        transfer
    }

    pub async fn settling_many(&self, count: usize) -> Vec<Transfer> {
        let mut made = Vec::new();
        for _ in 0..count {
            made.push(self.settling(Mode::Batched).await);
        }
        made
    }

    /// One round, as every now and then, with all that it sets going; looks at finished batches as well.
    pub async fn round(&mut self) {
        self.desk.watched_at = None;
        self.desk.round().await.unwrap();
        self.desk.telling.finish().await;
    }

    /// Rounds with a block after each, so that what can move does.
    pub async fn rounds(&mut self, count: usize) {
        for _ in 0..count {
            self.round().await;
            self.mine(1).await;
        }
        self.round().await;
    }

    /// Rounds with a block after each until the transfer's tokens are at an off-ramp.
    pub async fn until_settled(&mut self, transfer: &Transfer) {
        for _ in 0..300 {
            if self.state(transfer).await == TransferState::OffRamping {
                return;
            }
            self.rounds(1).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("never settled");
    }

    pub async fn mine(&self, blocks: u64) {
        self.control("anvil_mine", json!([format!("{blocks:#x}")])).await;
    }

    /// Calls a method of the node that only a test node has.
    pub async fn control(&self, method: &str, params: Value) -> Value {
        json_rpc(self.anvil.port(), method, params).await.unwrap_or_else(|| panic!("{method} is not answered"))
    }

    pub async fn now(&self, transfer: &Transfer) -> Transfer {
        read::transfer(&self.store.app, self.tenant, transfer.id).await.unwrap().unwrap()
    }

    pub async fn state(&self, transfer: &Transfer) -> TransferState {
        self.now(transfer).await.state
    }

    /// Tokens that the off-ramp has.
    pub async fn paid(&self) -> u128 {
        self.rpc.token_balance(self.token.address(), DEPOSIT).await.unwrap()
    }

    /// Status, closing reason, nonce and number of signatures of all batches, oldest first.
    pub async fn batches(&self) -> Vec<(String, String, Option<i64>, i64)> {
        let rows = sqlx::query(
            "SELECT status, closed_by, nonce, (SELECT count(*) FROM settlement_transactions t WHERE t.batch = s.batch) AS signed
             FROM settlements s ORDER BY created_at, batch",
        )
        .fetch_all(&self.store.auditor)
        .await
        .unwrap();
        rows.iter().map(|r| (r.get("status"), r.get("closed_by"), r.get("nonce"), r.get("signed"))).collect()
    }

    /// The database is put back to before the last signature.
    pub async fn forget_the_last_signature(&self) {
        let mut superuser = PgConnection::connect(self.database.url()).await.unwrap();
        let forget = "DELETE FROM settla.settlement_transactions WHERE tx_hash = (SELECT tx_hash FROM settla.settlements);
             UPDATE settla.settlements s SET tx_hash = t.tx_hash FROM settla.settlement_transactions t WHERE t.batch = s.batch";
        sqlx::raw_sql(forget).execute(&mut superuser).await.unwrap();
    }

    /// The statuses alone.
    pub async fn statuses(&self) -> Vec<String> {
        self.batches().await.into_iter().map(|batch| batch.0).collect()
    }

    /// The books balance, every member has moved on, and the off-ramp has each transfer's tokens once.
    pub async fn settled_once(&self, transfers: &[Transfer]) {
        let expected: i128 = transfers.iter().map(|t| t.terms.sent.minor).sum();
        assert_eq!(self.paid().await, u128::try_from(expected).unwrap());
        for transfer in transfers {
            assert_eq!(self.state(transfer).await, TransferState::OffRamping);
        }
        super::support::check::assert_books(&self.store).await;
    }
}

/// The sum of what transfers send, in minor units.
pub fn sent(transfers: &[Transfer]) -> u128 {
    transfers.iter().map(|t| u128::try_from(t.terms.sent.minor).unwrap()).sum()
}
