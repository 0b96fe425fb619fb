//! Currencies and amounts. An amount is an integer of minor units; nothing here is ever a float.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A fiat currency (ISO 4217) or a stablecoin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)] // the codes are their own documentation
pub enum Currency {
    GBP,
    EUR,
    USD,
    NGN,
    KES,
    GHS,
    JPY,
    KWD,
    USDC,
    USDT,
}

impl Currency {
    /// Every currency that the engine can count. Which of them are offered is a matter of corridors.
    pub const ALL: [Currency; 10] = [
        Self::GBP,
        Self::EUR,
        Self::USD,
        Self::NGN,
        Self::KES,
        Self::GHS,
        Self::JPY,
        Self::KWD,
        Self::USDC,
        Self::USDT,
    ];

    /// Upper-case code.
    pub fn code(self) -> &'static str {
        match self {
            Self::GBP => "GBP",
            Self::EUR => "EUR",
            Self::USD => "USD",
            Self::NGN => "NGN",
            Self::KES => "KES",
            Self::GHS => "GHS",
            Self::JPY => "JPY",
            Self::KWD => "KWD",
            Self::USDC => "USDC",
            Self::USDT => "USDT",
        }
    }

    /// Decimals of the minor unit: ISO 4217 for fiat, 6 for the stablecoins.
    pub fn scale(self) -> u32 {
        match self {
            Self::JPY => 0,
            Self::KWD => 3,
            Self::USDC | Self::USDT => 6,
            _ => 2,
        }
    }

    /// ISO 4217 numeric code; stablecoins, which have none, are numbered from 10,001. The lower 16 bits of
    /// a ledger number.
    pub fn number(self) -> u16 {
        match self {
            Self::GBP => 826,
            Self::EUR => 978,
            Self::USD => 840,
            Self::NGN => 566,
            Self::KES => 404,
            Self::GHS => 936,
            Self::JPY => 392,
            Self::KWD => 414,
            Self::USDC => 10_001,
            Self::USDT => 10_002,
        }
    }

    /// The currency with this [`number`](Self::number).
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.number() == number)
    }

    /// Whether it is a stablecoin.
    pub fn is_stable(self) -> bool {
        matches!(self, Self::USDC | Self::USDT)
    }

    /// The largest single amount, in minor units: 10^15. It leaves room for sums in 64 bits of a database
    /// and for products with rates in 128 bits here.
    pub fn amount_max(self) -> i128 {
        1_000_000_000_000_000
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for Currency {
    type Err = MoneyError;
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        Self::ALL.into_iter().find(|c| c.code() == text).ok_or(MoneyError::UnknownCurrency)
    }
}

/// Why a text is not an amount, or a sum not possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// No such currency code (codes are upper case).
    #[error("unknown currency")]
    UnknownCurrency,
    /// Not digits with at most one point between digits.
    #[error("an amount is digits with an optional decimal point, such as \"1250.00\"")]
    NotADecimal,
    /// More decimals than the currency has.
    #[error("more decimals than the currency has")]
    TooManyDecimals,
    /// Above [`Currency::amount_max`].
    #[error("above the largest amount of this currency")]
    TooLarge,
    /// Zero where an amount must be positive.
    #[error("must be more than zero")]
    NotPositive,
}

/// An amount of one currency, in minor units. May be negative only as a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    /// Minor units.
    pub minor: i128,
    /// The currency.
    pub currency: Currency,
}

impl Money {
    /// So many minor units of a currency.
    pub fn new(currency: Currency, minor: i128) -> Self {
        Self { minor, currency }
    }

    /// Parses a positive decimal amount such as `1250.00`. Refuses signs, exponents, spaces, a leading or
    /// trailing point, more decimals than the scale, and anything over the bound; the length is checked
    /// before a digit is read.
    pub fn parse(currency: Currency, text: &str) -> Result<Self, MoneyError> {
        if text.is_empty() || text.len() > 24 {
            return Err(if text.is_empty() { MoneyError::NotADecimal } else { MoneyError::TooLarge });
        }
        let (whole, fraction) = match text.split_once('.') {
            Some((_, "")) => return Err(MoneyError::NotADecimal),
            Some(parts) => parts,
            None => (text, ""),
        };
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) {
            return Err(MoneyError::NotADecimal);
        }
        let scale = currency.scale() as usize;
        if fraction.len() > scale {
            return Err(MoneyError::TooManyDecimals);
        }
        let mut minor: i128 = 0;
        let padding = std::iter::repeat_n(b'0', scale - fraction.len());
        for digit in whole.bytes().chain(fraction.bytes()).chain(padding) {
            minor = minor * 10 + i128::from(digit - b'0');
            if minor > currency.amount_max() {
                return Err(MoneyError::TooLarge);
            }
        }
        if minor == 0 { Err(MoneyError::NotPositive) } else { Ok(Self { minor, currency }) }
    }

    /// The amount as a decimal with all decimals of the currency: `1250.00`.
    pub fn decimal(self) -> String {
        let scale = self.currency.scale();
        let sign = if self.minor < 0 { "-" } else { "" };
        let units = self.minor.unsigned_abs();
        if scale == 0 {
            return format!("{sign}{units}");
        }
        let divisor = 10u128.pow(scale);
        format!("{sign}{}.{:0width$}", units / divisor, units % divisor, width = scale as usize)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.decimal(), self.currency)
    }
}

/// Wire form: `{"currency":"GBP","amount":"1250.00"}`.
#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    currency: Currency,
    amount: std::borrow::Cow<'a, str>,
}

impl Serialize for Money {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        Wire { currency: self.currency, amount: self.decimal().into() }.serialize(s)
    }
}

/// Reads stored amounts back, zero included; what a caller sends goes through [`Money::parse`].
impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(d)?;
        match Self::parse(wire.currency, &wire.amount) {
            Err(MoneyError::NotPositive) => Ok(Self::new(wire.currency, 0)),
            other => other.map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_at_every_scale() {
        for (currency, text, minor) in [
            (Currency::GBP, "1250", 125_000),
            (Currency::GBP, "0.01", 1),
            (Currency::GBP, "1.5", 150),
            (Currency::JPY, "1250", 1_250),
            (Currency::KWD, "1.005", 1_005),
            (Currency::USDC, "0.000001", 1),
        ] {
            let money = Money::parse(currency, text).unwrap();
            assert_eq!(money.minor, minor, "{text}");
            assert_eq!(Money::parse(currency, &money.decimal()), Ok(money));
        }
    }

    #[test]
    fn refuses_what_is_not_an_amount() {
        use MoneyError::*;
        for (currency, text, error) in [
            (Currency::GBP, "", NotADecimal),
            (Currency::GBP, "-1", NotADecimal),
            (Currency::GBP, "+1", NotADecimal),
            (Currency::GBP, "1.+5", NotADecimal),
            (Currency::GBP, "1e9", NotADecimal),
            (Currency::GBP, ".5", NotADecimal),
            (Currency::GBP, "1.", NotADecimal),
            (Currency::GBP, "1.2.3", NotADecimal),
            (Currency::GBP, " 1", NotADecimal),
            (Currency::GBP, "1,5", NotADecimal),
            (Currency::GBP, "1٣", NotADecimal),
            (Currency::GBP, "1.001", TooManyDecimals),
            (Currency::JPY, "1.0", TooManyDecimals),
            (Currency::GBP, "0", NotPositive),
            (Currency::GBP, "0.00", NotPositive),
            (Currency::GBP, "10000000000000.01", TooLarge),
            (Currency::GBP, "99999999999999999999999999999999999999", TooLarge),
        ] {
            assert_eq!(Money::parse(currency, text), Err(error), "{text}");
        }
        assert_eq!("gbp".parse::<Currency>(), Err(UnknownCurrency));
    }

    #[test]
    fn numbers_are_unique() {
        for c in Currency::ALL {
            assert_eq!(Currency::from_number(c.number()), Some(c));
            assert_eq!(c.code().parse(), Ok(c));
        }
    }
}
