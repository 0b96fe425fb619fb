//! Amounts as providers write them: minor units in a decimal string.

use serde::{Deserialize, Serialize};
use settla_domain::money::{Currency, Money};

/// An amount on the wire.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct WireMoney {
    pub currency: Currency,
    pub amount: String,
}

impl From<Money> for WireMoney {
    fn from(money: Money) -> Self {
        Self { currency: money.currency, amount: money.minor.to_string() }
    }
}

impl WireMoney {
    /// The amount, if it is one: digits, within the currency's bound.
    pub fn money(&self) -> Option<Money> {
        minor(&self.amount, self.currency).map(|minor| Money::new(self.currency, minor))
    }
}

/// Minor units from text.
pub(crate) fn minor(text: &str, currency: Currency) -> Option<i128> {
    let digits = !text.is_empty() && text.len() <= 20 && text.bytes().all(|b| b.is_ascii_digit());
    let value: i128 = if digits { text.parse().ok()? } else { return None };
    (value <= currency.amount_max()).then_some(value)
}
