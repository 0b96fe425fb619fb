//! A double of the port that writes down what it is asked and answers as told. Only for the gateway's own behaviour;
//! that the real server behaves is shown elsewhere, against the real server.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use ipnet::IpNet;
use settla_domain::id::{BatchId, DeliveryId, EndpointId, KeyId, QuoteId, TransferId};
use settla_domain::money::Currency;
use settla_domain::tenant::TenantNo;
use settla_domain::time::Timestamp;
use settla_port::api_key::{ApiKeyCreated, ApiKeyView, CreateApiKey, RotateApiKey};
use settla_port::caller::{Authenticated, Caller, Me, Mutation, Reply, Scope};
use settla_port::error::PortError;
use settla_port::ledger::{LedgerAccount, PostingFilter, PostingView};
use settla_port::page::{Page, PageRequest};
use settla_port::quote::{CreateQuote, QuoteView, RouteView};
use settla_port::rate_limit::RateLimits;
use settla_port::settlement::SettlementBatchView;
use settla_port::transfer::{CreateTransfer, TransferEvent, TransferFilter, TransferView};
use settla_port::treasury::{CreateTopup, CreateWithdrawal, PositionView, TopupView, WithdrawalView};
use settla_port::webhook::{
    CreateEndpoint, CreateRedelivery, DeliveryFilter, DeliveryView, EndpointCreated, EndpointView, ProviderEvent,
    RedeliveryView, RotateSecret, SecretRotated, UpdateEndpoint,
};
use settla_port::{Dependency, Platform};
use settla_vault::{ApiKey, Environment, Secret};
use tokio::sync::Semaphore;

use super::views;

type Port<T> = Result<T, PortError>;

/// What a call does instead of answering.
#[derive(Clone)]
pub enum Behaviour {
    Answer,
    Fail(PortError),
    /// Waits until [`Fake::release`].
    Wait,
    Panic,
}

/// A call as it came in: the method, and its arguments in `Debug` form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub method: &'static str,
    pub arguments: String,
}

pub struct Fake {
    environment: Environment,
    keys: Mutex<Vec<(ApiKey, Vec<Scope>)>>,
    /// The environment that callers are said to be in.
    pub claimed: Mutex<Environment>,
    pub behaviour: Mutex<Behaviour>,
    /// What the tenant may ask in a minute.
    pub rate_limits: Mutex<RateLimits>,
    /// The networks that every key may be used from; any if there is none.
    pub allowed_ips: Mutex<Vec<IpNet>>,
    pub replayed: AtomicBool,
    pub next_cursor: Mutex<Option<String>>,
    pub ready: AtomicBool,
    pub readiness_asked: AtomicUsize,
    all: ApiKey,
    seen: Mutex<Vec<Seen>>,
    entered: Semaphore,
    released: Semaphore,
}

impl Fake {
    pub fn new(environment: Environment) -> Self {
        let all = ApiKey::generate(environment);
        Self {
            environment,
            keys: Mutex::new(vec![(all.clone(), Scope::ALL.to_vec())]),
            claimed: Mutex::new(environment),
            behaviour: Mutex::new(Behaviour::Answer),
            rate_limits: Mutex::new(RateLimits::default()),
            allowed_ips: Mutex::new(Vec::new()),
            replayed: AtomicBool::new(false),
            next_cursor: Mutex::new(None),
            ready: AtomicBool::new(true),
            readiness_asked: AtomicUsize::new(0),
            all,
            seen: Mutex::new(Vec::new()),
            entered: Semaphore::new(0),
            released: Semaphore::new(0),
        }
    }

    /// A key with every scope.
    pub fn key(&self) -> &ApiKey {
        &self.all
    }

    /// A new key with these scopes.
    pub fn key_with(&self, scopes: &[Scope]) -> ApiKey {
        let key = ApiKey::generate(self.environment);
        self.keys.lock().unwrap().push((key.clone(), scopes.to_vec()));
        key
    }

    pub fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The only call that came in.
    pub fn only_call(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen[0].clone()
    }

    /// Waits for the next call to have come in.
    pub async fn entered(&self) {
        self.entered.acquire().await.unwrap().forget();
    }

    pub fn release(&self) {
        self.released.add_permits(1);
    }

    async fn enter(&self, method: &'static str, arguments: impl std::fmt::Debug) -> Port<()> {
        self.seen.lock().unwrap().push(Seen { method, arguments: format!("{arguments:?}") });
        self.entered.add_permits(1);
        let behaviour = self.behaviour.lock().unwrap().clone();
        match behaviour {
            Behaviour::Answer => Ok(()),
            Behaviour::Fail(error) => Err(error),
            Behaviour::Wait => {
                self.released.acquire().await.unwrap().forget();
                Ok(())
            }
            Behaviour::Panic => panic!("as told"),
        }
    }

    fn reply<T>(&self, value: T) -> Port<Reply<T>> {
        Ok(Reply { value, replayed: self.replayed.load(Ordering::SeqCst) })
    }

    fn page<T>(&self, item: T) -> Port<Page<T>> {
        Ok(Page { data: vec![item], next_cursor: self.next_cursor.lock().unwrap().clone() })
    }
}

#[async_trait]
impl Platform for Fake {
    async fn authenticate(&self, key: &ApiKey) -> Port<Caller> {
        let keys = self.keys.lock().unwrap();
        let known = keys.iter().find(|(known, _)| known.expose() == key.expose());
        let (_, scopes) = known.ok_or(PortError::Unauthenticated)?;
        let environment = *self.claimed.lock().unwrap();
        Ok(Caller::from_authentication(Authenticated {
            key: KeyId(uuid::Uuid::nil()),
            tenant: TenantNo(7),
            environment,
            scopes: scopes.clone(),
            allowed_ips: self.allowed_ips.lock().unwrap().clone(),
            expires_at: None,
            rate_limits: *self.rate_limits.lock().unwrap(),
        }))
    }

    async fn me(&self, caller: &Caller) -> Port<Me> {
        self.enter("me", ()).await?;
        Ok(views::me(caller.scopes()))
    }

    async fn create_api_key(&self, _: &Caller, call: &Mutation, ask: CreateApiKey) -> Port<Reply<ApiKeyCreated>> {
        self.enter("create_api_key", (call, ask)).await?;
        let key = (!self.replayed.load(Ordering::SeqCst)).then(|| self.all.clone());
        self.reply(ApiKeyCreated { view: views::new_api_key(), key, old_key_until: None })
    }

    async fn api_keys(&self, _: &Caller, page: &PageRequest) -> Port<Page<ApiKeyView>> {
        self.enter("api_keys", page).await?;
        self.page(views::api_key())
    }

    async fn api_key(&self, _: &Caller, id: KeyId) -> Port<ApiKeyView> {
        self.enter("api_key", id).await?;
        Ok(views::api_key())
    }

    async fn rotate_api_key(
        &self,
        _: &Caller,
        call: &Mutation,
        id: KeyId,
        ask: RotateApiKey,
    ) -> Port<Reply<ApiKeyCreated>> {
        self.enter("rotate_api_key", (call, id, ask)).await?;
        let key = (!self.replayed.load(Ordering::SeqCst)).then(|| self.all.clone());
        let view = ApiKeyView { replaces: Some(id), ..views::new_api_key() };
        self.reply(ApiKeyCreated { view, key, old_key_until: Some("2026-11-22T12:00:00Z".into()) })
    }

    async fn revoke_api_key(&self, _: &Caller, call: &Mutation, id: KeyId) -> Port<()> {
        self.enter("revoke_api_key", (call, id)).await
    }

    async fn create_quote(&self, _: &Caller, call: &Mutation, ask: CreateQuote) -> Port<Reply<QuoteView>> {
        self.enter("create_quote", (call, ask)).await?;
        self.reply(views::quote())
    }

    async fn routes(&self, _: &Caller, ask: CreateQuote) -> Port<Vec<RouteView>> {
        self.enter("routes", ask).await?;
        Ok(vec![settla_gateway::sample::route()])
    }

    async fn quote(&self, _: &Caller, id: QuoteId) -> Port<QuoteView> {
        self.enter("quote", id).await?;
        Ok(views::quote())
    }

    async fn create_transfer(&self, _: &Caller, call: &Mutation, ask: CreateTransfer) -> Port<Reply<TransferView>> {
        self.enter("create_transfer", (call, ask)).await?;
        self.reply(views::transfer())
    }

    async fn transfers(&self, _: &Caller, filter: &TransferFilter, page: &PageRequest) -> Port<Page<TransferView>> {
        self.enter("transfers", (filter, page)).await?;
        self.page(views::transfer())
    }

    async fn transfer(&self, _: &Caller, id: TransferId) -> Port<TransferView> {
        self.enter("transfer", id).await?;
        Ok(views::transfer())
    }

    async fn transfer_events(&self, _: &Caller, id: TransferId, page: &PageRequest) -> Port<Page<TransferEvent>> {
        self.enter("transfer_events", (id, page)).await?;
        self.page(views::event())
    }

    async fn cancel_transfer(&self, _: &Caller, call: &Mutation, id: TransferId) -> Port<Reply<TransferView>> {
        self.enter("cancel_transfer", (call, id)).await?;
        self.reply(views::transfer())
    }

    async fn settlement_batches(&self, _: &Caller, page: &PageRequest) -> Port<Page<SettlementBatchView>> {
        self.enter("settlement_batches", page).await?;
        self.page(views::settlement_batch())
    }

    async fn settlement_batch(&self, _: &Caller, id: BatchId) -> Port<SettlementBatchView> {
        self.enter("settlement_batch", id).await?;
        Ok(views::settlement_batch())
    }

    async fn positions(&self, _: &Caller) -> Port<Vec<PositionView>> {
        self.enter("positions", ()).await?;
        Ok(vec![views::position()])
    }

    async fn position(&self, _: &Caller, currency: Currency) -> Port<PositionView> {
        self.enter("position", currency).await?;
        Ok(views::position())
    }

    async fn create_topup(&self, _: &Caller, call: &Mutation, ask: CreateTopup) -> Port<Reply<TopupView>> {
        self.enter("create_topup", (call, ask)).await?;
        self.reply(views::topup())
    }

    async fn topups(&self, _: &Caller, page: &PageRequest) -> Port<Page<TopupView>> {
        self.enter("topups", page).await?;
        self.page(views::topup())
    }

    async fn create_withdrawal(
        &self,
        _: &Caller,
        call: &Mutation,
        ask: CreateWithdrawal,
    ) -> Port<Reply<WithdrawalView>> {
        self.enter("create_withdrawal", (call, ask)).await?;
        self.reply(views::withdrawal())
    }

    async fn withdrawals(&self, _: &Caller, page: &PageRequest) -> Port<Page<WithdrawalView>> {
        self.enter("withdrawals", page).await?;
        self.page(views::withdrawal())
    }

    async fn ledger_accounts(&self, _: &Caller) -> Port<Vec<LedgerAccount>> {
        self.enter("ledger_accounts", ()).await?;
        Ok(vec![views::ledger_account()])
    }

    async fn ledger_account(&self, _: &Caller, id: &str, at: Option<Timestamp>) -> Port<LedgerAccount> {
        self.enter("ledger_account", (id, at)).await?;
        Ok(views::ledger_account())
    }

    async fn postings(&self, _: &Caller, filter: &PostingFilter, page: &PageRequest) -> Port<Page<PostingView>> {
        self.enter("postings", (filter, page)).await?;
        self.page(views::posting())
    }

    async fn create_endpoint(&self, _: &Caller, call: &Mutation, ask: CreateEndpoint) -> Port<Reply<EndpointCreated>> {
        self.enter("create_endpoint", (call, ask)).await?;
        let secret = (!self.replayed.load(Ordering::SeqCst)).then(|| Secret::new("whsec_canary".to_owned()));
        self.reply(EndpointCreated { endpoint: views::endpoint(), secret })
    }

    async fn endpoints(&self, _: &Caller, page: &PageRequest) -> Port<Page<EndpointView>> {
        self.enter("endpoints", page).await?;
        self.page(views::endpoint())
    }

    async fn delete_endpoint(&self, _: &Caller, call: &Mutation, id: EndpointId) -> Port<()> {
        self.enter("delete_endpoint", (call, id)).await
    }

    async fn endpoint(&self, _: &Caller, id: EndpointId) -> Port<EndpointView> {
        self.enter("endpoint", id).await?;
        Ok(views::endpoint())
    }

    async fn update_endpoint(&self, _: &Caller, call: &Mutation, id: EndpointId, ask: UpdateEndpoint) -> Port<()> {
        self.enter("update_endpoint", (call, id, ask)).await
    }

    async fn rotate_secret(
        &self,
        _: &Caller,
        call: &Mutation,
        id: EndpointId,
        ask: RotateSecret,
    ) -> Port<Reply<SecretRotated>> {
        self.enter("rotate_secret", (call, id, ask)).await?;
        let secret = (!self.replayed.load(Ordering::SeqCst)).then(|| Secret::new("whsec_canary".to_owned()));
        self.reply(SecretRotated { endpoint_id: id, secret, old_secret_until: Some("2026-11-22T12:00:00Z".into()) })
    }

    async fn test_endpoint(&self, _: &Caller, call: &Mutation, id: EndpointId) -> Port<Reply<DeliveryView>> {
        self.enter("test_endpoint", (call, id)).await?;
        self.reply(views::test_delivery())
    }

    async fn redeliver_range(
        &self,
        _: &Caller,
        call: &Mutation,
        id: EndpointId,
        ask: CreateRedelivery,
    ) -> Port<Reply<RedeliveryView>> {
        self.enter("redeliver_range", (call, id, ask)).await?;
        self.reply(views::redelivery())
    }

    async fn deliveries(&self, _: &Caller, filter: &DeliveryFilter, page: &PageRequest) -> Port<Page<DeliveryView>> {
        self.enter("deliveries", (filter, page)).await?;
        self.page(views::delivery())
    }

    async fn delivery(&self, _: &Caller, id: DeliveryId) -> Port<DeliveryView> {
        self.enter("delivery", id).await?;
        Ok(views::delivery())
    }

    async fn redeliver(&self, _: &Caller, call: &Mutation, id: DeliveryId) -> Port<Reply<DeliveryView>> {
        self.enter("redeliver", (call, id)).await?;
        self.reply(views::new_delivery())
    }

    async fn provider_event(&self, event: ProviderEvent) -> Port<()> {
        self.enter("provider_event", event).await
    }

    async fn readiness(&self) -> Vec<Dependency> {
        self.readiness_asked.fetch_add(1, Ordering::SeqCst);
        let waits = matches!(*self.behaviour.lock().unwrap(), Behaviour::Wait);
        if waits {
            std::future::pending::<()>().await;
        }
        vec![Dependency { name: "database", ready: self.ready.load(Ordering::SeqCst) }]
    }
}
