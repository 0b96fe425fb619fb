//! What a transaction may cost, with an absolute ceiling that no node can talk us over.

use serde::{Deserialize, Serialize};

/// Highest price for a unit of gas that is ever offered, in wei (500 gwei). A node that claims a higher base fee is
/// not believed, and the signer refuses it by itself.
pub const MAX_FEE_PER_GAS_CEILING: u128 = 500_000_000_000;

/// Highest gas limit that the signer accepts.
pub const GAS_LIMIT_CEILING: u64 = 1_000_000;

/// Enough gas for one token transfer with its batch trailer, behind an issuer's proxy. It is kept tight because
/// Avalanche charges at least half of the limit since Helicon (ACP-194).
pub const TOKEN_TRANSFER_GAS_LIMIT: u64 = 100_000;

/// EIP-1559 fees, in wei.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Fees {
    /// Most that a unit of gas may cost in all.
    pub max_fee_per_gas: u128,
    /// Most of it that goes to the block builder.
    pub max_priority_fee_per_gas: u128,
}

impl Fees {
    /// Twice the base fee plus the tip, so that the price may double before the transaction stops being acceptable;
    /// never above [`MAX_FEE_PER_GAS_CEILING`]. `None` when the base fee alone is above the ceiling.
    #[must_use]
    pub fn from_base_fee(base_fee: u128, tip: u128) -> Option<Self> {
        if base_fee > MAX_FEE_PER_GAS_CEILING {
            return None;
        }
        let tip = tip.clamp(1, MAX_FEE_PER_GAS_CEILING);
        let max_fee_per_gas = (2 * base_fee).saturating_add(tip).min(MAX_FEE_PER_GAS_CEILING);
        Some(Self { max_fee_per_gas, max_priority_fee_per_gas: tip.min(max_fee_per_gas) })
    }

    /// What a transaction that does not get into a block for `self` is offered for next: what the market asks now, and
    /// at least a quarter more. `None` where the ceiling leaves no room for a replacement.
    #[must_use]
    pub fn raised(&self, market: Fees) -> Option<Self> {
        let more = |fee: u128| fee.saturating_add(fee.div_ceil(4)).max(1);
        let max_fee_per_gas = more(self.max_fee_per_gas).max(market.max_fee_per_gas).min(MAX_FEE_PER_GAS_CEILING);
        let tip = more(self.max_priority_fee_per_gas).max(market.max_priority_fee_per_gas);
        let raised = Self { max_fee_per_gas, max_priority_fee_per_gas: tip.min(max_fee_per_gas) };
        raised.replace(self).then_some(raised)
    }

    /// Whether nodes take a transaction with these fees in the place of one with `last`: both a tenth above.
    #[must_use]
    pub fn replace(&self, last: &Fees) -> bool {
        let above = |new: u128, old: u128| new >= old.saturating_add(old.div_ceil(10));
        above(self.max_fee_per_gas, last.max_fee_per_gas)
            && above(self.max_priority_fee_per_gas, last.max_priority_fee_per_gas)
    }

    /// Whether a signer may use them.
    #[must_use]
    pub fn are_acceptable(&self) -> bool {
        self.max_fee_per_gas > 0
            && self.max_fee_per_gas <= MAX_FEE_PER_GAS_CEILING
            && self.max_priority_fee_per_gas <= self.max_fee_per_gas
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raise_is_enough_for_nodes_and_ends_at_the_ceiling() {
        let mut fees = Fees { max_fee_per_gas: 1, max_priority_fee_per_gas: 1 };
        let market = Fees { max_fee_per_gas: 2_000, max_priority_fee_per_gas: 7 };
        let first = fees.raised(market).unwrap();
        assert_eq!(first, market);
        let mut raises = 0;
        while let Some(raised) = fees.raised(market) {
            assert!(raised.replace(&fees) && raised.are_acceptable());
            (fees, raises) = (raised, raises + 1);
        }
        assert!(fees.max_fee_per_gas > MAX_FEE_PER_GAS_CEILING / 11 * 10 && raises > 10, "{fees:?} after {raises}");
        assert!(
            !Fees { max_fee_per_gas: 10, max_priority_fee_per_gas: 2 }
                .replace(&Fees { max_fee_per_gas: 10, max_priority_fee_per_gas: 1 })
        );
    }

    #[test]
    fn fees_are_two_base_fees_and_a_tip_under_the_ceiling() {
        let fees = Fees::from_base_fee(10, 3).unwrap();
        assert_eq!((fees.max_fee_per_gas, fees.max_priority_fee_per_gas), (23, 3));
        let capped = Fees::from_base_fee(MAX_FEE_PER_GAS_CEILING, u128::MAX).unwrap();
        assert_eq!(capped.max_fee_per_gas, MAX_FEE_PER_GAS_CEILING);
        assert!(capped.are_acceptable());
        assert_eq!(Fees::from_base_fee(MAX_FEE_PER_GAS_CEILING + 1, 0), None);
        // A chain with a base fee of zero still needs a price.
        assert!(Fees::from_base_fee(0, 0).unwrap().are_acceptable());
    }
}
