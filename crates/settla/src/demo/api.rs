//! The API's answers, as far as the demo reads them.

use serde::{Deserialize, Deserializer};
use settla_domain::id::{BatchId, EventId, QuoteId, TopupId, TransferId};
use settla_domain::money::{Currency, Money};
use settla_domain::time::Timestamp;
use settla_domain::transfer::TransferState;
use settla_evm::TxHash;

/// A list.
#[derive(Deserialize)]
pub(super) struct Page<T> {
    pub data: Vec<T>,
}

/// What a transfer costs and brings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Price {
    pub source: Money,
    pub on_ramp_fee: Money,
    pub off_ramp_fee: Money,
    pub debit: Money,
    pub bought: Money,
    pub sent: Money,
    pub spread: Money,
    pub destination: Money,
    pub rates: Vec<Rate>,
    pub spread_bps: u16,
    pub on_ramp: String,
    pub chain: String,
    pub off_ramp: String,
}

/// A rate and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Rate {
    pub pair: String,
    pub rate: String,
    pub source: String,
    pub as_of: String,
}

/// A quote.
#[derive(Debug, Deserialize)]
pub(super) struct Quote {
    pub id: QuoteId,
    #[serde(flatten)]
    pub price: Price,
    #[serde(deserialize_with = "instant")]
    pub created_at: Timestamp,
    #[serde(deserialize_with = "instant")]
    pub expires_at: Timestamp,
}

/// A transfer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Transfer {
    pub id: TransferId,
    pub state: TransferState,
    pub version: u32,
    pub reference: String,
    pub beneficiary: Beneficiary,
    pub price: Price,
    pub delivered: Option<Money>,
    pub delivery_tx: Option<TxHash>,
    pub settlement_batch_id: Option<BatchId>,
    pub settlement_tx: Option<TxHash>,
    pub paid: Option<Money>,
    pub payout_reference: Option<String>,
    pub return_tx: Option<TxHash>,
    pub failure: Option<String>,
    #[serde(default)]
    pub refused_orders: Vec<RefusedOrder>,
    #[serde(default)]
    pub returned_payouts: Vec<ReturnedPayout>,
    pub sale: Option<Sale>,
    #[serde(deserialize_with = "instant")]
    pub created_at: Timestamp,
}

/// An on-ramp that refused before another one got the order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct RefusedOrder {
    pub provider: String,
}

/// An off-ramp that gave the tokens back.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct ReturnedPayout {
    pub provider: String,
    pub return_tx: Option<TxHash>,
}

/// The tokens, sold back.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Sale {
    pub provider: String,
    pub proceeds: Money,
    pub paid: bool,
    pub fx_loss: String,
}

/// To whom, masked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Beneficiary {
    pub name: String,
    pub account: String,
}

/// Something that happened to a transfer.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    pub id: EventId,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(deserialize_with = "instant")]
    pub at: Timestamp,
}

/// A posting.
#[derive(Debug, Deserialize)]
pub(super) struct Posting {
    pub code: String,
    pub debit: String,
    pub credit: String,
    pub amount: Money,
}

/// A top-up.
#[derive(Debug, Deserialize)]
pub(super) struct Topup {
    pub id: TopupId,
    pub expected: Money,
    pub credited: Money,
}

/// What a tenant has in a currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "PositionWire")]
pub(super) struct Position {
    pub currency: Currency,
    pub available: Money,
    pub held: Money,
    pub in_transit: Money,
}

#[derive(Deserialize)]
struct PositionWire {
    currency: Currency,
    available: String,
    held: String,
    in_transit: String,
}

impl TryFrom<PositionWire> for Position {
    type Error = serde_json::Error;

    fn try_from(wire: PositionWire) -> Result<Self, serde_json::Error> {
        let money =
            |amount: String| serde_json::from_value(serde_json::json!({ "currency": wire.currency, "amount": amount }));
        Ok(Self {
            currency: wire.currency,
            available: money(wire.available)?,
            held: money(wire.held)?,
            in_transit: money(wire.in_transit)?,
        })
    }
}

impl Position {
    /// A currency that the tenant never had.
    pub(super) fn none(currency: Currency) -> Self {
        let nothing = Money::new(currency, 0);
        Self { currency, available: nothing, held: nothing, in_transit: nothing }
    }
}

fn instant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    Timestamp::from_rfc3339(&text).ok_or_else(|| serde::de::Error::custom("not a time"))
}
