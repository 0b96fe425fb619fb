//! The server's port: everything that a gateway may ask of the platform, as one trait and plain types.
//!
//! The types are those of the REST API, so that a gateway renders them as they are. The crate does no I/O and
//! links neither store nor engine runner; in one process the server implements [`Platform`] directly.
//! No method takes a tenant: it comes with the [`Caller`], which only authentication makes.

pub mod api_key;
pub mod caller;
pub mod error;
pub mod ledger;
pub mod page;
pub mod quote;
pub mod rate_limit;
pub mod settlement;
pub mod transfer;
pub mod treasury;
pub mod webhook;

use async_trait::async_trait;
use settla_domain::id::{BatchId, DeliveryId, EndpointId, KeyId, QuoteId, TransferId};
use settla_domain::money::Currency;
use settla_domain::time::Timestamp;
use settla_vault::ApiKey;

use api_key::{ApiKeyCreated, ApiKeyView, CreateApiKey, RotateApiKey};
use caller::{Caller, Me, Mutation, Reply};
use error::PortError;
use ledger::{LedgerAccount, PostingFilter, PostingView};
use page::{Page, PageRequest};
use quote::{CreateQuote, QuoteView, RouteView};
use settlement::SettlementBatchView;
use transfer::{CreateTransfer, TransferEvent, TransferFilter, TransferView};
use treasury::{CreateTopup, CreateWithdrawal, PositionView, TopupView, WithdrawalView};
use webhook::{
    CreateEndpoint, CreateRedelivery, DeliveryFilter, DeliveryView, EndpointCreated, EndpointView, ProviderEvent,
    RedeliveryView, RotateSecret, SecretRotated, UpdateEndpoint,
};

/// What the server can do for a gateway. Every method is scoped to the caller's tenant and environment.
#[async_trait]
pub trait Platform: Send + Sync {
    /// Resolves a presented key. `Unauthenticated` whatever the reason.
    async fn authenticate(&self, key: &ApiKey) -> Result<Caller, PortError>;

    /// Who the caller is.
    async fn me(&self, caller: &Caller) -> Result<Me, PortError>;

    /// Makes an API key, which is shown here and never again. It may do no more than the caller's.
    async fn create_api_key(
        &self,
        caller: &Caller,
        call: &Mutation,
        ask: CreateApiKey,
    ) -> Result<Reply<ApiKeyCreated>, PortError>;
    /// The tenant's keys of this environment, newest first, with those that are not good any more.
    async fn api_keys(&self, caller: &Caller, page: &PageRequest) -> Result<Page<ApiKeyView>, PortError>;
    /// One key.
    async fn api_key(&self, caller: &Caller, id: KeyId) -> Result<ApiKeyView, PortError>;
    /// Makes a key that is like another one, which works for a while besides.
    async fn rotate_api_key(
        &self,
        caller: &Caller,
        call: &Mutation,
        id: KeyId,
        ask: RotateApiKey,
    ) -> Result<Reply<ApiKeyCreated>, PortError>;
    /// Revokes a key, for good.
    async fn revoke_api_key(&self, caller: &Caller, call: &Mutation, id: KeyId) -> Result<(), PortError>;

    /// Prices a transfer.
    async fn create_quote(
        &self,
        caller: &Caller,
        call: &Mutation,
        ask: CreateQuote,
    ) -> Result<Reply<QuoteView>, PortError>;
    /// The ways that a transfer could take, the best first. Changes nothing.
    async fn routes(&self, caller: &Caller, ask: CreateQuote) -> Result<Vec<RouteView>, PortError>;
    /// One quote.
    async fn quote(&self, caller: &Caller, id: QuoteId) -> Result<QuoteView, PortError>;

    /// Starts a transfer.
    async fn create_transfer(
        &self,
        caller: &Caller,
        call: &Mutation,
        ask: CreateTransfer,
    ) -> Result<Reply<TransferView>, PortError>;
    /// Transfers, newest first.
    async fn transfers(
        &self,
        caller: &Caller,
        filter: &TransferFilter,
        page: &PageRequest,
    ) -> Result<Page<TransferView>, PortError>;
    /// One transfer.
    async fn transfer(&self, caller: &Caller, id: TransferId) -> Result<TransferView, PortError>;
    /// What happened to a transfer, oldest first.
    async fn transfer_events(
        &self,
        caller: &Caller,
        id: TransferId,
        page: &PageRequest,
    ) -> Result<Page<TransferEvent>, PortError>;
    /// Calls a transfer off, if nothing has left our hands.
    async fn cancel_transfer(
        &self,
        caller: &Caller,
        call: &Mutation,
        id: TransferId,
    ) -> Result<Reply<TransferView>, PortError>;

    /// Settlement batches that the tenant's transfers are in, newest first, without their members.
    async fn settlement_batches(
        &self,
        caller: &Caller,
        page: &PageRequest,
    ) -> Result<Page<SettlementBatchView>, PortError>;
    /// One of them, with the tenant's own members.
    async fn settlement_batch(&self, caller: &Caller, id: BatchId) -> Result<SettlementBatchView, PortError>;

    /// Positions in every currency that the tenant has had.
    async fn positions(&self, caller: &Caller) -> Result<Vec<PositionView>, PortError>;
    /// The position in one currency; empty if there never was one.
    async fn position(&self, caller: &Caller, currency: Currency) -> Result<PositionView, PortError>;
    /// Announces a top-up and learns the reference to pay with.
    async fn create_topup(
        &self,
        caller: &Caller,
        call: &Mutation,
        ask: CreateTopup,
    ) -> Result<Reply<TopupView>, PortError>;
    /// Top-ups, newest first.
    async fn topups(&self, caller: &Caller, page: &PageRequest) -> Result<Page<TopupView>, PortError>;
    /// Takes fiat out.
    async fn create_withdrawal(
        &self,
        caller: &Caller,
        call: &Mutation,
        ask: CreateWithdrawal,
    ) -> Result<Reply<WithdrawalView>, PortError>;
    /// Withdrawals, newest first.
    async fn withdrawals(&self, caller: &Caller, page: &PageRequest) -> Result<Page<WithdrawalView>, PortError>;

    /// The tenant's ledger accounts with their balances.
    async fn ledger_accounts(&self, caller: &Caller) -> Result<Vec<LedgerAccount>, PortError>;
    /// One account, by the id that [`Self::ledger_accounts`] gives, as it is or as it was at an instant.
    async fn ledger_account(
        &self,
        caller: &Caller,
        id: &str,
        at: Option<Timestamp>,
    ) -> Result<LedgerAccount, PortError>;
    /// Postings that touch the tenant, newest first.
    async fn postings(
        &self,
        caller: &Caller,
        filter: &PostingFilter,
        page: &PageRequest,
    ) -> Result<Page<PostingView>, PortError>;

    /// Adds a webhook endpoint; its secret is shown here and never again.
    async fn create_endpoint(
        &self,
        caller: &Caller,
        call: &Mutation,
        ask: CreateEndpoint,
    ) -> Result<Reply<EndpointCreated>, PortError>;
    /// The tenant's endpoints.
    async fn endpoints(&self, caller: &Caller, page: &PageRequest) -> Result<Page<EndpointView>, PortError>;
    /// One endpoint.
    async fn endpoint(&self, caller: &Caller, id: EndpointId) -> Result<EndpointView, PortError>;
    /// Changes an endpoint.
    async fn update_endpoint(
        &self,
        caller: &Caller,
        call: &Mutation,
        id: EndpointId,
        ask: UpdateEndpoint,
    ) -> Result<(), PortError>;
    /// Gives an endpoint a new secret, which is shown here and never again; the one before signs too for a while.
    async fn rotate_secret(
        &self,
        caller: &Caller,
        call: &Mutation,
        id: EndpointId,
        ask: RotateSecret,
    ) -> Result<Reply<SecretRotated>, PortError>;
    /// Removes an endpoint. Deliveries that were not made are dropped.
    async fn delete_endpoint(&self, caller: &Caller, call: &Mutation, id: EndpointId) -> Result<(), PortError>;
    /// Sends a test event to an endpoint, to it alone and once.
    async fn test_endpoint(
        &self,
        caller: &Caller,
        call: &Mutation,
        id: EndpointId,
    ) -> Result<Reply<DeliveryView>, PortError>;
    /// Delivers a range of events to an endpoint again.
    async fn redeliver_range(
        &self,
        caller: &Caller,
        call: &Mutation,
        id: EndpointId,
        ask: CreateRedelivery,
    ) -> Result<Reply<RedeliveryView>, PortError>;
    /// Deliveries with their attempts, newest first.
    async fn deliveries(
        &self,
        caller: &Caller,
        filter: &DeliveryFilter,
        page: &PageRequest,
    ) -> Result<Page<DeliveryView>, PortError>;
    /// One delivery with its attempts.
    async fn delivery(&self, caller: &Caller, id: DeliveryId) -> Result<DeliveryView, PortError>;
    /// Delivers the event of a delivery once more, as another delivery.
    async fn redeliver(
        &self,
        caller: &Caller,
        call: &Mutation,
        id: DeliveryId,
    ) -> Result<Reply<DeliveryView>, PortError>;

    /// Takes in a provider's webhook: verified, kept durably, then acknowledged. Repeats are acknowledged too.
    async fn provider_event(&self, event: ProviderEvent) -> Result<(), PortError>;

    /// Asks each dependency. The names are fit for an unauthenticated answer.
    async fn readiness(&self) -> Vec<Dependency>;
}

/// One dependency's answer to a readiness check.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Dependency {
    /// Such as `database`.
    #[schema(example = "database")]
    pub name: &'static str,
    /// Whether it answered in time.
    pub ready: bool,
}
