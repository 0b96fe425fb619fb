//! Exchange rates as exact decimals, and conversion with a stated direction of rounding.

use crate::money::{Currency, Money, MoneyError};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Most decimals of a rate.
pub const RATE_SCALE_MAX: u32 = 12;
/// Largest mantissa of a rate: with [`Currency::amount_max`] and scale 6 a product stays inside 128 bits.
pub const RATE_MANTISSA_MAX: u64 = 1_000_000_000_000_000;

/// Which way a conversion rounds to whole minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// Towards zero: what we hand out.
    Down,
    /// Away from zero: what we need in order to cover an amount.
    Up,
}

/// How many major units of one currency a major unit of another is worth: `mantissa / 10^scale`, positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    mantissa: u64,
    scale: u32,
}

/// The text is not a usable rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a rate is a positive decimal of at most 15 digits and 12 decimals")]
pub struct RateError;

impl Rate {
    /// Converts `from` at this rate into `to`, rounding to whole minor units. Fails only when the result is
    /// above the currency's bound.
    pub fn convert(self, from: Money, to: Currency, rounding: Rounding) -> Result<Money, MoneyError> {
        let numerator = from.minor.checked_mul(i128::from(self.mantissa)).ok_or(MoneyError::TooLarge)?;
        self.divide(numerator, from.currency.scale(), to, rounding, Direction::Forward)
    }

    /// The other way: how much of `to` is worth `from` when this rate prices `to` in `from`'s currency.
    pub fn convert_back(self, from: Money, to: Currency, rounding: Rounding) -> Result<Money, MoneyError> {
        self.divide(from.minor, from.currency.scale(), to, rounding, Direction::Back)
    }

    fn divide(
        self,
        numerator: i128,
        from_scale: u32,
        to: Currency,
        rounding: Rounding,
        way: Direction,
    ) -> Result<Money, MoneyError> {
        let pow = |n: u32| 10i128.pow(n);
        // Only the difference of the powers of ten is multiplied in, which keeps products inside 128 bits.
        let (up, down, divisor) = match way {
            Direction::Forward => (to.scale(), from_scale + self.scale, 1),
            Direction::Back => (to.scale() + self.scale, from_scale, i128::from(self.mantissa)),
        };
        let common = up.min(down);
        let numerator = numerator.checked_mul(pow(up - common)).ok_or(MoneyError::TooLarge)?;
        let divisor = divisor.checked_mul(pow(down - common)).ok_or(MoneyError::TooLarge)?;
        let quotient = numerator / divisor;
        let minor = if rounding == Rounding::Up && numerator % divisor != 0 { quotient + 1 } else { quotient };
        if minor > to.amount_max() { Err(MoneyError::TooLarge) } else { Ok(Money::new(to, minor)) }
    }
}

#[derive(Clone, Copy)]
enum Direction {
    Forward,
    Back,
}

impl FromStr for Rate {
    type Err = RateError;
    fn from_str(text: &str) -> Result<Self, RateError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        let shape_ok =
            !whole.is_empty() && text.len() <= 28 && digits(whole) && digits(fraction) && !text.ends_with('.');
        let fraction = fraction.trim_end_matches('0');
        let scale = u32::try_from(fraction.len()).map_err(|_| RateError)?;
        if !shape_ok || scale > RATE_SCALE_MAX {
            return Err(RateError);
        }
        let mantissa: u64 = format!("{whole}{fraction}").parse().map_err(|_| RateError)?;
        if mantissa == 0 || mantissa > RATE_MANTISSA_MAX { Err(RateError) } else { Ok(Self { mantissa, scale }) }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scale == 0 {
            return write!(f, "{}", self.mantissa);
        }
        let divisor = 10u64.pow(self.scale);
        write!(f, "{}.{:0width$}", self.mantissa / divisor, self.mantissa % divisor, width = self.scale as usize)
    }
}

impl Serialize for Rate {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn converts_between_scales() {
        let rate: Rate = "1.2731".parse().unwrap();
        let gbp = Money::parse(Currency::GBP, "100.01").unwrap();
        assert_eq!(rate.convert(gbp, Currency::USDC, Rounding::Down).unwrap().decimal(), "127.322731");
        assert_eq!(rate.convert(gbp, Currency::JPY, Rounding::Down).unwrap().decimal(), "127");
        assert_eq!(rate.convert(gbp, Currency::JPY, Rounding::Up).unwrap().decimal(), "128");
        assert_eq!(rate.convert(gbp, Currency::KWD, Rounding::Down).unwrap().decimal(), "127.322");
    }

    #[test]
    fn refuses_bad_rates() {
        for bad in ["", "0", "0.0", "-1", "1e3", "1.", ".5", "1.0000000000001", "99999999999999999999"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
        assert_eq!("1.500".parse::<Rate>().unwrap().to_string(), "1.5");
    }

    proptest! {
        /// Buying enough to cover an amount does cover it, at every pair of scales, and the largest
        /// amounts and rates either convert exactly or are refused, never wrap.
        #[test]
        fn covering_covers(minor in 1i128..=1_000_000_000_000_000, mantissa in 1u64..=RATE_MANTISSA_MAX, scale in 0u32..=12, from in 0usize..10, to in 0usize..10) {
            let rate: Rate = Rate { mantissa, scale };
            let (from, to) = (Currency::ALL[from], Currency::ALL[to]);
            let wanted = Money::new(to, minor);
            if let Ok(needed) = rate.convert_back(wanted, from, Rounding::Up)
                && let Ok(got) = rate.convert(needed, to, Rounding::Down)
            {
                prop_assert!(got.minor >= wanted.minor);
            }
            if let (Ok(down), Ok(up)) = (rate.convert(wanted, from, Rounding::Down), rate.convert(wanted, from, Rounding::Up)) {
                prop_assert!(up.minor - down.minor <= 1);
            }
        }
    }
}
