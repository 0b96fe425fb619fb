//! The use cases: one method of the port each, reading top to bottom like the policy it enforces.

mod access;
mod account;
mod api_key;
mod auth;
mod beneficiary;
mod inbound;
mod key_uses;
mod ledger;
mod quote;
mod readiness;
mod route;
mod settlement;
mod transfer;
mod treasury;
mod webhook;

use crate::cursor::Cursors;
use crate::keyring::Keyring;
use crate::route_facts::RouteFacts;
use crate::runner::{Decided, Envelope, Runner, RunnerError};
use async_trait::async_trait;
use hmac::{Hmac, Mac};
use settla_domain::decide::Command;
use settla_domain::id::{BatchId, DeliveryId, EndpointId, KeyId, QuoteId, TransferId};
use settla_domain::money::Currency;
use settla_domain::time::Timestamp;
use settla_port::api_key::{ApiKeyCreated, ApiKeyView, CreateApiKey, RotateApiKey};
use settla_port::caller::{Caller, Me, Mutation, Reply};
use settla_port::error::PortError;
use settla_port::ledger::{LedgerAccount, PostingFilter, PostingView};
use settla_port::page::{Page, PageRequest};
use settla_port::quote::{CreateQuote, QuoteView, RouteView};
use settla_port::settlement::SettlementBatchView;
use settla_port::transfer::{CreateTransfer, TransferEvent, TransferFilter, TransferView};
use settla_port::treasury::{CreateTopup, CreateWithdrawal, PositionView, TopupView, WithdrawalView};
use settla_port::webhook::{
    CreateEndpoint, CreateRedelivery, DeliveryFilter, DeliveryView, EndpointCreated, EndpointView, ProviderEvent,
    RedeliveryView, RotateSecret, SecretRotated, UpdateEndpoint,
};
use settla_port::{Dependency, Platform};
use settla_rails::fx::FxFeed;
use settla_rails::off_ramp::OffRamp;
use settla_rails::on_ramp::OnRamp;
use settla_store::batch::{Idempotency, SealedParties};
use settla_store::inbox::InboxEvent;
use settla_store::together::Unanswered;
use settla_store::{Store, StoreError};
use settla_vault::{ApiKey, Environment, KeyHasher, WebhookSecret};
use sha2::Sha256;
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

pub use readiness::Probe;
pub use webhook::secret_label as webhook_secret_label;

/// What a tenant's webhook endpoint may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookRules {
    /// Public https addresses only.
    PublicHttps,
    /// Anything: for development, where the receiver is on this machine.
    AnyAddress,
}

/// Which ways transfers can take.
#[derive(Clone)]
pub struct Corridors {
    /// On-ramps.
    pub on_ramps: Vec<Arc<dyn OnRamp>>,
    /// Off-ramps.
    pub off_ramps: Vec<Arc<dyn OffRamp>>,
    /// Chains, CAIP-2.
    pub chains: Vec<String>,
    /// Currencies that can be paid in.
    pub sources: Vec<Currency>,
    /// Stablecoins that can carry.
    pub stablecoins: Vec<Currency>,
    /// Currencies that can be paid out.
    pub destinations: Vec<Currency>,
}

/// What a server needs to know.
pub struct ServerConfig {
    /// The world it serves.
    pub environment: Environment,
    /// Key hashing: the first signs, all verify.
    pub hashers: Vec<KeyHasher>,
    /// Keys idempotency fingerprints.
    pub fingerprint_key: [u8; 32],
    /// Keys cursors.
    pub cursor_key: [u8; 32],
    /// The ways that are offered.
    pub corridors: Corridors,
    /// How long a quote holds.
    pub quote_lifetime_ms: i64,
    /// The oldest rate that is quoted from.
    pub rate_age_ms_max: i64,
    /// What webhook endpoints may be.
    pub webhook_rules: WebhookRules,
    /// Where tenants pay top-ups to.
    pub pay_to: String,
    /// Secrets of the providers' webhooks, by provider.
    pub provider_secrets: HashMap<String, Vec<WebhookSecret>>,
}

/// The server of one environment.
pub struct Server {
    config: ServerConfig,
    store: Store,
    runner: Runner,
    keyring: Arc<Keyring>,
    fx: Arc<dyn FxFeed>,
    facts: Arc<RouteFacts>,
    probes: Vec<(&'static str, Arc<dyn Probe>)>,
    cursors: Cursors,
    inbound: inbound::Inbound,
    access: access::Access,
    key_uses: Arc<key_uses::KeyUses>,
}

impl Server {
    /// A server on a database, with the runner that all processes' workers of this process share.
    pub fn new(
        config: ServerConfig,
        store: Store,
        runner: Runner,
        keyring: Arc<Keyring>,
        fx: Arc<dyn FxFeed>,
        facts: Arc<RouteFacts>,
        probes: Vec<(&'static str, Arc<dyn Probe>)>,
    ) -> Self {
        let cursors = Cursors::new(config.cursor_key);
        let inbound = inbound::Inbound::start(store.clone());
        let access = access::Access::start(&store, config.environment);
        let key_uses = key_uses::KeyUses::start(&store);
        route::count_from_zero(&config.corridors);
        Self { config, store, runner, keyring, fx, facts, probes, cursors, inbound, access, key_uses }
    }

    /// Providers' events as they are kept, for the worker of this process; for the first who asks.
    pub fn arrivals(&self) -> Option<tokio::sync::mpsc::Receiver<InboxEvent>> {
        self.inbound.arrivals()
    }

    /// Has a request's command decided, once per idempotency key.
    async fn decide(
        &self,
        caller: &Caller,
        call: &Mutation,
        command: Command,
        sealed: Option<(Uuid, SealedParties)>,
    ) -> Result<Decided, PortError> {
        let envelope = Envelope {
            tenant: caller.tenant(),
            command,
            idempotency: Some((call.idempotency_key.clone(), self.keyed(&call.fingerprint))),
            sealed,
            audit: Some((caller.key().to_string(), call.request_id.clone())),
        };
        self.runner.submit(envelope).await.map_err(from_runner)
    }

    /// The request's fingerprint under our key: a plain hash of a body could be guessed from its parts.
    fn keyed(&self, fingerprint: &[u8; 32]) -> Vec<u8> {
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&self.config.fingerprint_key)
            .unwrap_or_else(|_| unreachable!("HMAC takes any key"));
        mac.update(fingerprint);
        mac.finalize().into_bytes().to_vec()
    }
}

/// What a change of a tenant's own uses its idempotency key up for.
fn first_use(server: &Server, caller: &Caller, call: &Mutation, subject: Uuid) -> Idempotency {
    Idempotency {
        tenant: caller.tenant(),
        key: call.idempotency_key.clone(),
        fingerprint: server.keyed(&call.fingerprint),
        refusal: None,
        subject: Some(subject),
    }
}

fn from_runner(error: RunnerError) -> PortError {
    match error {
        RunnerError::Refused(refusal) => PortError::Refused(refusal),
        RunnerError::Overloaded => PortError::Overloaded,
        RunnerError::Unavailable => PortError::Unavailable,
        RunnerError::Internal => PortError::Internal,
    }
}

/// What a caller sees of a database error; the rest is for the log.
pub(crate) fn from_store(error: StoreError) -> PortError {
    logged(&error)
}

/// As [`from_store`], for a question that was asked together with others.
fn from_together(error: Unanswered) -> PortError {
    match error {
        Unanswered::Busy => PortError::Overloaded,
        Unanswered::Ended => PortError::Unavailable,
        Unanswered::Failed(error) => logged(&error),
    }
}

fn logged(error: &StoreError) -> PortError {
    match error {
        StoreError::Retry(_) | StoreError::Unreachable(_) => {
            tracing::warn!(%error, "the database does not answer");
            PortError::Unavailable
        }
        _ => {
            let detail = std::error::Error::source(error).map(ToString::to_string);
            tracing::error!(%error, detail, "database error");
            PortError::Internal
        }
    }
}

/// One more than asked for tells whether there is a next page.
pub(crate) fn page<T, U>(
    mut rows: Vec<T>,
    limit: u16,
    cursor: impl FnOnce(&T) -> String,
    view: impl FnMut(T) -> U,
) -> Page<U> {
    let limit = usize::from(limit);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = if more { rows.last().map(cursor) } else { None };
    Page { data: rows.into_iter().map(view).collect(), next_cursor }
}

#[async_trait]
impl Platform for Server {
    async fn authenticate(&self, key: &ApiKey) -> Result<Caller, PortError> {
        auth::authenticate(self, key).await
    }
    async fn me(&self, caller: &Caller) -> Result<Me, PortError> {
        account::me(self, caller).await
    }
    async fn create_api_key(
        &self,
        caller: &Caller,
        call: &Mutation,
        ask: CreateApiKey,
    ) -> Result<Reply<ApiKeyCreated>, PortError> {
        api_key::create(self, caller, call, ask).await
    }
    async fn api_keys(&self, caller: &Caller, page: &PageRequest) -> Result<Page<ApiKeyView>, PortError> {
        api_key::list(self, caller, page).await
    }
    async fn api_key(&self, caller: &Caller, id: KeyId) -> Result<ApiKeyView, PortError> {
        api_key::get(self, caller, id).await
    }
    async fn rotate_api_key(
        &self,
        caller: &Caller,
        call: &Mutation,
        id: KeyId,
        ask: RotateApiKey,
    ) -> Result<Reply<ApiKeyCreated>, PortError> {
        api_key::rotate(self, caller, call, id, ask).await
    }
    async fn revoke_api_key(&self, caller: &Caller, call: &Mutation, id: KeyId) -> Result<(), PortError> {
        api_key::revoke(self, caller, call, id).await
    }
    async fn create_quote(
        &self,
        caller: &Caller,
        call: &Mutation,
        ask: CreateQuote,
    ) -> Result<Reply<QuoteView>, PortError> {
        quote::create(self, caller, call, ask).await
    }
    async fn routes(&self, caller: &Caller, ask: CreateQuote) -> Result<Vec<RouteView>, PortError> {
        route::list(self, caller, &ask).await
    }
    async fn quote(&self, caller: &Caller, id: QuoteId) -> Result<QuoteView, PortError> {
        quote::get(self, caller, id).await
    }
    async fn create_transfer(
        &self,
        caller: &Caller,
        call: &Mutation,
        ask: CreateTransfer,
    ) -> Result<Reply<TransferView>, PortError> {
        transfer::create(self, caller, call, ask).await
    }
    async fn transfers(
        &self,
        caller: &Caller,
        filter: &TransferFilter,
        page: &PageRequest,
    ) -> Result<Page<TransferView>, PortError> {
        transfer::list(self, caller, filter, page).await
    }
    async fn transfer(&self, caller: &Caller, id: TransferId) -> Result<TransferView, PortError> {
        transfer::get(self, caller, id).await
    }
    async fn transfer_events(
        &self,
        caller: &Caller,
        id: TransferId,
        page: &PageRequest,
    ) -> Result<Page<TransferEvent>, PortError> {
        transfer::events(self, caller, id, page).await
    }
    async fn cancel_transfer(
        &self,
        caller: &Caller,
        call: &Mutation,
        id: TransferId,
    ) -> Result<Reply<TransferView>, PortError> {
        transfer::cancel(self, caller, call, id).await
    }
    async fn settlement_batches(
        &self,
        caller: &Caller,
        page: &PageRequest,
    ) -> Result<Page<SettlementBatchView>, PortError> {
        settlement::list(self, caller, page).await
    }
    async fn settlement_batch(&self, caller: &Caller, id: BatchId) -> Result<SettlementBatchView, PortError> {
        settlement::get(self, caller, id).await
    }
    async fn positions(&self, caller: &Caller) -> Result<Vec<PositionView>, PortError> {
        treasury::positions(self, caller).await
    }
    async fn position(&self, caller: &Caller, currency: Currency) -> Result<PositionView, PortError> {
        treasury::position(self, caller, currency).await
    }
    async fn create_topup(
        &self,
        caller: &Caller,
        call: &Mutation,
        ask: CreateTopup,
    ) -> Result<Reply<TopupView>, PortError> {
        treasury::create_topup(self, caller, call, ask).await
    }
    async fn topups(&self, caller: &Caller, page: &PageRequest) -> Result<Page<TopupView>, PortError> {
        treasury::topups(self, caller, page).await
    }
    async fn create_withdrawal(
        &self,
        caller: &Caller,
        call: &Mutation,
        ask: CreateWithdrawal,
    ) -> Result<Reply<WithdrawalView>, PortError> {
        treasury::create_withdrawal(self, caller, call, ask).await
    }
    async fn withdrawals(&self, caller: &Caller, page: &PageRequest) -> Result<Page<WithdrawalView>, PortError> {
        treasury::withdrawals(self, caller, page).await
    }
    async fn ledger_accounts(&self, caller: &Caller) -> Result<Vec<LedgerAccount>, PortError> {
        ledger::accounts(self, caller).await
    }
    async fn ledger_account(
        &self,
        caller: &Caller,
        id: &str,
        at: Option<Timestamp>,
    ) -> Result<LedgerAccount, PortError> {
        ledger::account(self, caller, id, at).await
    }
    async fn postings(
        &self,
        caller: &Caller,
        filter: &PostingFilter,
        page: &PageRequest,
    ) -> Result<Page<PostingView>, PortError> {
        ledger::postings(self, caller, filter, page).await
    }
    async fn create_endpoint(
        &self,
        caller: &Caller,
        call: &Mutation,
        ask: CreateEndpoint,
    ) -> Result<Reply<EndpointCreated>, PortError> {
        webhook::create(self, caller, call, ask).await
    }
    async fn endpoints(&self, caller: &Caller, page: &PageRequest) -> Result<Page<EndpointView>, PortError> {
        webhook::list(self, caller, page).await
    }
    async fn endpoint(&self, caller: &Caller, id: EndpointId) -> Result<EndpointView, PortError> {
        webhook::get(self, caller, id).await
    }
    async fn update_endpoint(
        &self,
        caller: &Caller,
        call: &Mutation,
        id: EndpointId,
        ask: UpdateEndpoint,
    ) -> Result<(), PortError> {
        webhook::update(self, caller, call, id, ask).await
    }
    async fn rotate_secret(
        &self,
        caller: &Caller,
        call: &Mutation,
        id: EndpointId,
        ask: RotateSecret,
    ) -> Result<Reply<SecretRotated>, PortError> {
        webhook::rotate_secret(self, caller, call, id, ask).await
    }
    async fn delete_endpoint(&self, caller: &Caller, call: &Mutation, id: EndpointId) -> Result<(), PortError> {
        webhook::delete(self, caller, call, id).await
    }
    async fn test_endpoint(
        &self,
        caller: &Caller,
        call: &Mutation,
        id: EndpointId,
    ) -> Result<Reply<DeliveryView>, PortError> {
        webhook::send_test(self, caller, call, id).await
    }
    async fn redeliver_range(
        &self,
        caller: &Caller,
        call: &Mutation,
        id: EndpointId,
        ask: CreateRedelivery,
    ) -> Result<Reply<RedeliveryView>, PortError> {
        webhook::redeliver_range(self, caller, call, id, ask).await
    }
    async fn deliveries(
        &self,
        caller: &Caller,
        filter: &DeliveryFilter,
        page: &PageRequest,
    ) -> Result<Page<DeliveryView>, PortError> {
        webhook::deliveries(self, caller, filter, page).await
    }
    async fn delivery(&self, caller: &Caller, id: DeliveryId) -> Result<DeliveryView, PortError> {
        webhook::delivery(self, caller, id).await
    }
    async fn redeliver(
        &self,
        caller: &Caller,
        call: &Mutation,
        id: DeliveryId,
    ) -> Result<Reply<DeliveryView>, PortError> {
        webhook::redeliver(self, caller, call, id).await
    }
    async fn provider_event(&self, event: ProviderEvent) -> Result<(), PortError> {
        inbound::event(self, event).await
    }
    async fn readiness(&self) -> Vec<Dependency> {
        readiness::ask(self).await
    }
}
