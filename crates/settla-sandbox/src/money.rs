//! Amounts and currencies as the outside world writes them: a currency code and a decimal string of minor units.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Largest amount any of the servers takes. Keeps every product with a rate far inside 128 bits.
pub(crate) const AMOUNT_MAX: u128 = 1_000_000_000_000_000_000;

/// A currency code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Currency {
    Gbp,
    Eur,
    Usd,
    Ngn,
    Kes,
    Ghs,
    Usdc,
    Usdt,
}

impl Currency {
    /// The six fiat currencies, scale 2 each.
    pub(crate) const FIAT: [Self; 6] = [Self::Gbp, Self::Eur, Self::Usd, Self::Ngn, Self::Kes, Self::Ghs];
    /// The two stablecoins, scale 6 each.
    pub(crate) const STABLE: [Self; 2] = [Self::Usdc, Self::Usdt];

    /// Whether a bank keeps it.
    pub(crate) fn is_fiat(self) -> bool {
        Self::FIAT.contains(&self)
    }
}

/// Minor units, in JSON a decimal string without sign, exponent or leading zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Amount(pub(crate) u128);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        parse_amount(&text).map(Self).ok_or_else(|| {
            D::Error::custom(
                "an amount is a decimal string of minor units, without sign, point or leading zero, at most 10^18",
            )
        })
    }
}

fn parse_amount(text: &str) -> Option<u128> {
    // The length is checked first, so that a long text costs nothing.
    let plain = !text.is_empty() && text.len() <= 19 && text.bytes().all(|byte| byte.is_ascii_digit());
    let leading_zero = text.len() > 1 && text.starts_with('0');
    if !plain || leading_zero {
        return None;
    }
    text.parse::<u128>().ok().filter(|amount| *amount <= AMOUNT_MAX)
}

/// An amount of one currency.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Money {
    pub(crate) currency: Currency,
    pub(crate) amount: Amount,
}

impl Money {
    pub(crate) fn new(currency: Currency, amount: u128) -> Self {
        Self { currency, amount: Amount(amount) }
    }
}

/// One per cent less, rounded down: what a provider with the wrong amount delivers.
pub(crate) fn one_percent_less(amount: u128) -> u128 {
    amount - amount.div_ceil(100)
}

/// For `serialize_with`: a signed amount as a decimal string.
pub(crate) fn as_string<S: Serializer>(amount: &i128, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(amount)
}

/// Sums a currency, in currency order, for a summary.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals(std::collections::BTreeMap<Currency, u128>);

impl Totals {
    pub(crate) fn add(&mut self, money: Money) {
        let total = self.0.entry(money.currency).or_default();
        // Amounts are at most 10^18, so this would take 10^20 additions to saturate.
        *total = total.saturating_add(money.amount.0);
    }

    /// Takes away what was added.
    pub(crate) fn remove(&mut self, money: Money) {
        let total = self.0.entry(money.currency).or_default();
        *total = total.saturating_sub(money.amount.0);
    }

    pub(crate) fn get(&self, currency: Currency) -> u128 {
        self.0.get(&currency).copied().unwrap_or(0)
    }

    pub(crate) fn to_list(&self) -> Vec<Money> {
        self.0.iter().map(|(currency, amount)| Money::new(*currency, *amount)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Amount, Currency, Money, Totals, one_percent_less};

    #[test]
    fn amounts_are_strict() {
        for good in ["0", "1", "10000", "1000000000000000000"] {
            let amount: Amount = serde_json::from_value(good.into()).unwrap();
            assert_eq!(amount.to_string(), good);
        }
        for bad in [
            "",
            "01",
            "-1",
            "+1",
            "1.0",
            "1e3",
            " 1",
            "1000000000000000001",
            "99999999999999999999999999999999999999999",
        ] {
            assert!(serde_json::from_value::<Amount>(bad.into()).is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<Amount>("100").is_err(), "a number is not an amount");
    }

    #[test]
    fn the_wrong_amount_is_always_less() {
        assert_eq!(one_percent_less(1), 0);
        assert_eq!(one_percent_less(100), 99);
        assert_eq!(one_percent_less(101), 99);
    }

    #[test]
    fn totals_keep_currencies_apart() {
        let mut totals = Totals::default();
        totals.add(Money::new(Currency::Gbp, 5));
        totals.add(Money::new(Currency::Ngn, 7));
        totals.add(Money::new(Currency::Gbp, 6));
        assert_eq!(totals.to_list(), [Money::new(Currency::Gbp, 11), Money::new(Currency::Ngn, 7)]);
        totals.remove(Money::new(Currency::Gbp, 5));
        assert_eq!([Currency::Gbp, Currency::Ngn, Currency::Eur].map(|one| totals.get(one)), [6, 7, 0]);
    }
}
