//! Quotes.

use serde::{Deserialize, Serialize};
use settla_domain::id::QuoteId;
use utoipa::ToSchema;

/// `POST /v1/quotes`. Exactly one of the two amounts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateQuote {
    /// What is paid in.
    #[schema(example = "GBP")]
    pub source_currency: String,
    /// What is paid out.
    #[schema(example = "NGN")]
    pub destination_currency: String,
    /// So much is exchanged; fees come on top.
    #[schema(example = "1250.00")]
    pub source_amount: Option<String>,
    /// So much is paid out.
    #[schema(example = "2500000.00")]
    pub destination_amount: Option<String>,
    /// The stablecoin to travel on; `USDC` if absent.
    #[schema(example = "USDC")]
    pub stablecoin: Option<String>,
}

/// An amount with its currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AmountView {
    /// Currency code.
    #[schema(example = "GBP")]
    pub currency: String,
    /// Decimal with all decimals of the currency.
    #[schema(example = "1250.00")]
    pub amount: String,
}

impl From<settla_domain::money::Money> for AmountView {
    fn from(money: settla_domain::money::Money) -> Self {
        Self { currency: money.currency.code().to_owned(), amount: money.decimal() }
    }
}

/// A rate and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RateView {
    /// `GBP/USDC`: units of the second for one of the first.
    #[schema(example = "GBP/USDC")]
    pub pair: String,
    /// Decimal.
    #[schema(example = "1.2731")]
    pub rate: String,
    /// The feed's source.
    #[schema(example = "sandbox-fx")]
    pub source: String,
    /// When the source stated it (RFC 3339).
    pub as_of: String,
}

/// The price of a transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PriceView {
    /// What is exchanged.
    pub source: AmountView,
    /// The on-ramp leg's fee.
    pub on_ramp_fee: AmountView,
    /// The off-ramp leg's fee.
    pub off_ramp_fee: AmountView,
    /// What the tenant is debited: source and fees.
    pub debit: AmountView,
    /// The stablecoin it becomes.
    pub bought: AmountView,
    /// What goes to the off-ramp.
    pub sent: AmountView,
    /// The platform's spread.
    pub spread: AmountView,
    /// What rounding left over.
    pub rounding: AmountView,
    /// What the beneficiary gets.
    pub destination: AmountView,
    /// The rates used.
    pub rates: Vec<RateView>,
    /// The spread in basis points.
    pub spread_bps: u16,
    /// On-ramp provider.
    #[schema(example = "harbour")]
    pub on_ramp: String,
    /// Chain, CAIP-2.
    #[schema(example = "eip155:43113")]
    pub chain: String,
    /// Off-ramp provider.
    #[schema(example = "meridian")]
    pub off_ramp: String,
}

/// A quote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct QuoteView {
    /// Its id.
    #[schema(value_type = String, example = "qt_01939d2a7f0e7c4e9a53a1c2b3d4e5f6")]
    pub id: QuoteId,
    /// The price.
    #[serde(flatten)]
    pub price: PriceView,
    /// When it was made (RFC 3339).
    pub created_at: String,
    /// From then on it cannot be used (RFC 3339).
    pub expires_at: String,
}

/// A way that a transfer could take, with what it would cost.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RouteView {
    /// From 0 to 100: the weighted sum of the parts.
    #[schema(example = 93.5)]
    pub score: f64,
    /// From 0 to 1; 1 for the cheapest.
    pub cost: f64,
    /// From 0 to 1; 1 for the fastest.
    pub speed: f64,
    /// From 0 to 1; 1 when the providers have far more than is needed.
    pub liquidity: f64,
    /// From 0 to 1; the share of what was carried out of what was asked of them in the last hour.
    pub reliability: f64,
    /// How long it took lately, in milliseconds, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_ms: Option<u64>,
    /// What it would cost now.
    pub price: PriceView,
}
