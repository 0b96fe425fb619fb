//! What a tenant pays for a transfer. Every part is in the source currency, so parts can be added.

use crate::money::{Money, MoneyError};
use serde::{Deserialize, Serialize};

/// Ten thousand basis points are 100 %.
const BPS: i128 = 10_000;

/// A tenant's fees for one source currency. Amounts are minor units of that currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeeSchedule {
    /// Basis points for the on-ramp leg.
    pub on_ramp_bps: u16,
    /// Basis points for the off-ramp leg.
    pub off_ramp_bps: u16,
    /// The least that a transfer costs in all.
    pub minimum: i64,
    /// The most that a transfer costs in all.
    pub maximum: i64,
}

/// The fee of one transfer, by leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fee {
    /// The on-ramp leg's part.
    pub on_ramp: Money,
    /// The off-ramp leg's part.
    pub off_ramp: Money,
    /// Both parts.
    pub total: Money,
}

impl FeeSchedule {
    /// The fee on `amount`: each leg rounded up to a minor unit, the sum brought into the bounds. What a
    /// bound adds or takes away is carried by the off-ramp leg, then by the on-ramp leg, so that the parts
    /// always add up to the total.
    pub fn on(&self, amount: Money) -> Result<Fee, MoneyError> {
        let leg = |bps: u16| -> Result<i128, MoneyError> {
            let product = amount.minor.checked_mul(i128::from(bps)).ok_or(MoneyError::TooLarge)?;
            Ok((product + BPS - 1) / BPS)
        };
        let on_ramp = leg(self.on_ramp_bps)?;
        let sum = on_ramp + leg(self.off_ramp_bps)?;
        let minimum = i128::from(self.minimum).max(0);
        let total = sum.min(i128::from(self.maximum).max(minimum)).max(minimum);
        let on_ramp = on_ramp.min(total);
        let money = |minor| Money::new(amount.currency, minor);
        Ok(Fee { on_ramp: money(on_ramp), off_ramp: money(total - on_ramp), total: money(total) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Currency;
    use proptest::prelude::*;

    #[test]
    fn rounds_up_and_stays_in_bounds() {
        let fees = FeeSchedule { on_ramp_bps: 40, off_ramp_bps: 35, minimum: 50, maximum: 10_000 };
        let fee = |minor| fees.on(Money::new(Currency::GBP, minor)).unwrap();
        assert_eq!((fee(100_001).on_ramp.minor, fee(100_001).off_ramp.minor), (401, 351));
        assert_eq!(fee(100).total.minor, 50);
        assert_eq!(fee(1_000_000_000).total.minor, 10_000);
    }

    proptest! {
        #[test]
        fn parts_add_up(minor in 1i128..=1_000_000_000_000_000, on in 0u16..=10_000, off in 0u16..=10_000, min in 0i64..1_000_000, span in 0i64..1_000_000_000) {
            let fee = FeeSchedule { on_ramp_bps: on, off_ramp_bps: off, minimum: min, maximum: min + span }.on(Money::new(Currency::KWD, minor)).unwrap();
            prop_assert_eq!(fee.on_ramp.minor + fee.off_ramp.minor, fee.total.minor);
            prop_assert!(fee.on_ramp.minor >= 0 && fee.off_ramp.minor >= 0);
            prop_assert!(fee.total.minor >= i128::from(min) && fee.total.minor <= i128::from(min + span));
        }
    }
}
