//! The on-ramp port: fiat in, stablecoin into our wallet.

use crate::http::{Answer, Http};
use crate::offer::KeptOffer;
use crate::wire::{WireMoney, minor, page, reason};
use crate::{Enquired, Offer, ProviderTerms, RailError, Started};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use settla_domain::money::Money;
use settla_evm::{Address, TxHash};
use std::sync::Arc;
use uuid::Uuid;

/// Most members of a manifest that is read.
const MEMBERS_MAX: usize = 2_000;

/// An order to be placed.
#[derive(Debug, Clone)]
pub struct Order {
    /// The effect's id: the idempotency key and the order's name for ever.
    pub id: Uuid,
    /// What we give.
    pub source: Money,
    /// What we are to get.
    pub expected: Money,
    /// Our wallet.
    pub wallet: Address,
    /// Our account that is debited.
    pub bank_account: String,
}

/// How an order stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderState {
    /// Taken, not finished.
    Pending,
    /// The provider says that it has delivered. Believed once seen on chain.
    Delivered {
        /// Its delivery, which has a manifest.
        delivery: Uuid,
        /// The transaction.
        tx: TxHash,
        /// For this order.
        amount: Money,
    },
    /// It will not deliver and has taken nothing.
    Rejected(String),
}

/// A delivery or return: one token transfer for several orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenBatch {
    /// Its id.
    pub id: Uuid,
    /// The transaction.
    pub tx: TxHash,
    /// Shares by order id, token minor units.
    pub members: Vec<(Uuid, u128)>,
}

/// A line of an on-ramp's own statement: an order that it has carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderLine {
    /// The provider's number of the line; grows.
    pub sequence: u64,
    /// Nothing for a line that cannot be read.
    pub entry: Option<BookedOrder>,
}

/// What a line of an on-ramp's statement says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookedOrder {
    /// The order, by our id.
    pub order: Uuid,
    /// What it took for it.
    pub taken: Money,
    /// What it delivered.
    pub delivered: Money,
}

/// An on-ramp.
#[async_trait]
pub trait OnRamp: Send + Sync {
    /// Its name.
    fn name(&self) -> &str;
    /// Its terms.
    async fn terms(&self) -> Result<ProviderTerms, RailError>;
    /// Its prices and what it can give at the moment: at most half a second old, or the last that could be had.
    async fn offer(&self) -> Result<Arc<Offer>, RailError>;
    /// Places an order. The same id again is the same order.
    async fn start(&self, order: &Order) -> Started<OrderState>;
    /// How an order stands.
    async fn enquire(&self, id: Uuid) -> Enquired<OrderState>;
    /// A delivery's manifest.
    async fn delivery(&self, id: Uuid) -> Result<TokenBatch, RailError>;
    /// Lines of its own statement after a number, oldest first, at most `limit`.
    async fn statement(&self, after: u64, limit: u32) -> Result<Vec<OrderLine>, RailError>;
    /// Reads an event's body: the order and how it stands.
    fn read_event(&self, body: &serde_json::Value) -> Option<(Uuid, OrderState)>;
    /// Tells the provider where to send events and how to sign them.
    async fn register_webhook(&self, url: &str, secret: &str) -> Result<(), RailError>;
    /// Whether it answers.
    async fn healthy(&self) -> bool;
}

/// An on-ramp that speaks the protocol of `docs/sandbox.md` over HTTP.
pub struct HttpOnRamp {
    http: Http,
    offer: KeptOffer,
}

#[derive(Serialize)]
struct OrderRequest<'a> {
    client_order_id: Uuid,
    source: WireMoney,
    destination: WireMoney,
    wallet_address: Address,
    bank_account: &'a str,
}

#[derive(Deserialize)]
struct OrderAnswer {
    order: OrderBody,
}

#[derive(Deserialize)]
struct OrderBody {
    client_order_id: Uuid,
    status: String,
    reason: Option<String>,
    destination: WireMoney,
    delivery: Option<DeliveryBody>,
}

#[derive(Deserialize)]
struct DeliveryBody {
    id: Uuid,
    tx_hash: TxHash,
    amount: String,
}

#[derive(Deserialize)]
struct BookedOrderBody {
    client_order_id: Uuid,
    fiat_taken: WireMoney,
    tokens_delivered: WireMoney,
}

#[derive(Deserialize)]
pub(crate) struct BatchBody {
    id: Uuid,
    tx_hash: TxHash,
    members: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct TermsBody {
    acceptance_delay_ms: i64,
    idempotency_lifetime_s: i64,
    #[serde(default)]
    deposit_address: Option<Address>,
    #[serde(default)]
    treasury_address: Option<Address>,
}

/// Nobody takes longer to take a request: 1 hour.
const ACCEPTANCE_DELAY_MAX_MS: i64 = 3_600_000;

impl TermsBody {
    /// The terms, if they can be. A delay below zero would make "not found" a proof at once, and one without a bound
    /// would put an effect off for ever.
    fn read(self) -> Option<ProviderTerms> {
        let is_sane =
            (0..=ACCEPTANCE_DELAY_MAX_MS).contains(&self.acceptance_delay_ms) && self.idempotency_lifetime_s >= 0;
        is_sane.then(|| ProviderTerms {
            acceptance_delay_ms: self.acceptance_delay_ms,
            idempotency_lifetime_ms: self.idempotency_lifetime_s.saturating_mul(1_000),
            deposit_address: self.deposit_address,
            treasury_address: self.treasury_address,
        })
    }
}

/// What a provider of either side promises.
pub(crate) async fn terms(http: &Http) -> Result<ProviderTerms, RailError> {
    let body: TermsBody = http.fetch("/v1/terms").await?;
    body.read().ok_or_else(|| RailError::Malformed(http.name().to_owned()))
}

impl BatchBody {
    /// The manifest, with members named by `id_field`.
    pub(crate) fn read(self, id_field: &str) -> Option<TokenBatch> {
        let member = |m: &serde_json::Value| {
            let id = m.get(id_field)?.as_str()?.parse().ok()?;
            let amount = m.get("amount")?.as_str()?.parse().ok()?;
            Some((id, amount))
        };
        if self.members.len() > MEMBERS_MAX {
            return None;
        }
        let members = self.members.iter().map(member).collect::<Option<_>>()?;
        Some(TokenBatch { id: self.id, tx: self.tx_hash, members })
    }
}

impl OrderBody {
    /// Nothing if the answer makes no sense, which is the same as no answer.
    fn state(&self) -> Option<OrderState> {
        match self.status.as_str() {
            "pending" => Some(OrderState::Pending),
            "rejected" => Some(OrderState::Rejected(reason(self.reason.as_deref()))),
            "completed" => {
                let delivery = self.delivery.as_ref()?;
                let amount = Money::new(self.destination.currency, minor(&delivery.amount, self.destination.currency)?);
                Some(OrderState::Delivered { delivery: delivery.id, tx: delivery.tx_hash, amount })
            }
            _ => None,
        }
    }
}

impl BookedOrderBody {
    fn read(&self) -> Option<BookedOrder> {
        let (taken, delivered) = (self.fiat_taken.money()?, self.tokens_delivered.money()?);
        Some(BookedOrder { order: self.client_order_id, taken, delivered })
    }
}

impl HttpOnRamp {
    /// An adapter on a client.
    pub fn new(http: Http) -> Self {
        Self { http, offer: KeptOffer::new() }
    }
}

#[async_trait]
impl OnRamp for HttpOnRamp {
    fn name(&self) -> &str {
        self.http.name()
    }

    async fn terms(&self) -> Result<ProviderTerms, RailError> {
        terms(&self.http).await
    }

    async fn offer(&self) -> Result<Arc<Offer>, RailError> {
        self.offer.get(&self.http).await
    }

    async fn start(&self, order: &Order) -> Started<OrderState> {
        let body = OrderRequest {
            client_order_id: order.id,
            source: order.source.into(),
            destination: order.expected.into(),
            wallet_address: order.wallet,
            bank_account: &order.bank_account,
        };
        match self.http.post::<_, OrderAnswer>("/v1/orders", Some(&order.id.to_string()), &body).await {
            Answer::Ok(answer) if answer.order.client_order_id == order.id => {
                answer.order.state().map_or(Started::Unknown, Started::Taken)
            }
            Answer::Refused(code) => Started::Refused(code),
            Answer::Ok(_) | Answer::NotFound | Answer::Unknown => Started::Unknown,
        }
    }

    async fn enquire(&self, id: Uuid) -> Enquired<OrderState> {
        match self.http.get::<OrderAnswer>(&format!("/v1/orders/{id}")).await {
            Answer::Ok(answer) if answer.order.client_order_id == id => {
                answer.order.state().map_or(Enquired::Unknown, Enquired::Known)
            }
            Answer::NotFound => Enquired::NotFound,
            Answer::Ok(_) | Answer::Refused(_) | Answer::Unknown => Enquired::Unknown,
        }
    }

    async fn delivery(&self, id: Uuid) -> Result<TokenBatch, RailError> {
        let body: BatchBody = self.http.fetch(&format!("/v1/deliveries/{id}")).await?;
        body.read("client_order_id").ok_or_else(|| RailError::Malformed(self.name().to_owned()))
    }

    async fn statement(&self, after: u64, limit: u32) -> Result<Vec<OrderLine>, RailError> {
        let read = |value| serde_json::from_value(value).ok().and_then(|body: BookedOrderBody| body.read());
        let lines = page(&self.http, "/v1/statement", after, limit).await?;
        Ok(lines.into_iter().map(|(sequence, value)| OrderLine { sequence, entry: read(value) }).collect())
    }

    fn read_event(&self, body: &serde_json::Value) -> Option<(Uuid, OrderState)> {
        let data = body.get("data").unwrap_or(body);
        let order: OrderBody = serde_json::from_value(data.get("order")?.clone()).ok()?;
        let state = order.state()?;
        Some((order.client_order_id, state))
    }

    async fn register_webhook(&self, url: &str, secret: &str) -> Result<(), RailError> {
        register(&self.http, url, secret).await
    }

    async fn healthy(&self) -> bool {
        matches!(self.http.get::<serde_json::Value>("/health").await, Answer::Ok(_))
    }
}

/// Registers a webhook with any of the providers.
pub(crate) async fn register(http: &Http, url: &str, secret: &str) -> Result<(), RailError> {
    let body = serde_json::json!({ "url": url, "secret": secret });
    match http.put::<_, serde_json::Value>("/v1/webhook-endpoint", &body).await {
        Answer::Ok(_) => Ok(()),
        _ => Err(RailError::Unavailable(http.name().to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_an_order_and_two_amounts() {
        let line = serde_json::json!({
            "seq": 1, "client_order_id": Uuid::from_u128(7), "delivery_id": "x",
            "fiat_taken": { "currency": "GBP", "amount": "10" }, "tokens_delivered": { "currency": "USDC", "amount": "12" },
        });
        let read = |value| serde_json::from_value::<BookedOrderBody>(value).ok().and_then(|body| body.read());
        let order = read(line.clone()).unwrap();
        assert_eq!((order.order, order.taken.minor, order.delivered.minor), (Uuid::from_u128(7), 10, 12));
        for odd in ["-10", "1e3", "1000000000000001"] {
            let mut line = line.clone();
            line["fiat_taken"]["amount"] = odd.into();
            assert_eq!(read(line), None, "{odd}");
        }
    }

    #[test]
    fn terms_that_cannot_be_are_not_believed() {
        let terms = |acceptance_delay_ms, idempotency_lifetime_s| {
            TermsBody { acceptance_delay_ms, idempotency_lifetime_s, deposit_address: None, treasury_address: None }
                .read()
        };
        assert_eq!(terms(2_000, 86_400).unwrap().idempotency_lifetime_ms, 86_400_000);
        assert!(terms(0, 0).is_some() && terms(ACCEPTANCE_DELAY_MAX_MS, i64::MAX).is_some());
        for (delay, lifetime) in [(-1, 60), (ACCEPTANCE_DELAY_MAX_MS + 1, 60), (i64::MAX, 60), (2_000, -1)] {
            assert!(terms(delay, lifetime).is_none(), "{delay} {lifetime}");
        }
    }
}
