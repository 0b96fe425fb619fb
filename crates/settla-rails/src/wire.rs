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

/// A provider's reason as a code that we keep and show: lower-case letters, digits and underscores, at most 64. Anything
/// else is `other`; what it said is for the provider's own record.
pub(crate) fn reason(text: Option<&str>) -> String {
    let is_code = |text: &&str| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    text.map_or("rejected", |text| Some(text).filter(is_code).unwrap_or("other")).to_owned()
}

/// A provider's reference: visible ASCII, at most 128 characters.
pub(crate) fn reference(text: &str) -> Option<String> {
    let plain = (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    plain.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_provider_writes_is_kept_only_if_it_is_a_code() {
        assert_eq!(reason(None), "rejected");
        assert_eq!(reason(Some("account_closed_2")), "account_closed_2");
        for odd in ["", "Declined", "a b", "\u{0}", "é", &"a".repeat(65), "<script>"] {
            assert_eq!(reason(Some(odd)), "other", "{odd:?}");
        }
        assert_eq!(reference("MRD-7Q2M 0W3K").as_deref(), Some("MRD-7Q2M 0W3K"));
        for odd in ["", "a\u{0}", "é", &"a".repeat(129)] {
            assert_eq!(reference(odd), None, "{odd:?}");
        }
    }
}
