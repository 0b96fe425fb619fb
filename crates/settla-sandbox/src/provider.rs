//! What makes one provider another than the next: its name, its side, its price, its speed and its faults.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    clock::rfc3339,
    error::{SandboxError, StoreError},
    fx::{Fx, rates},
    magic::Script,
    money::{Currency, Money},
};

/// Which way a provider changes money.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// Fiat in, tokens out.
    OnRamp,
    /// Tokens in, fiat out.
    OffRamp {
        /// Fiat that it has at its first start, minor units of each currency. It says what is left; a payout beyond that is
        /// paid all the same.
        float: u128,
    },
}

/// One provider of the sandbox.
#[derive(Clone)]
pub struct ProviderSettings {
    /// Its name on statements, and that of its folder: lower-case letters and digits, at most 32.
    pub name: String,
    /// Its side.
    pub side: Side,
    /// Its port; 0 takes a free one.
    pub port: u16,
    /// The bearer key that it asks for.
    pub key: String,
    /// How long it takes, per cent of the sandbox's median.
    pub latency_percent: u32,
    /// What it keeps of the feed's price, in basis points.
    pub price_bps: u16,
    /// So many of a thousand starts are carried out but never answered.
    pub unknown_permille: u16,
}

impl std::fmt::Debug for ProviderSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProviderSettings").field("name", &self.name).field("side", &self.side).finish_non_exhaustive()
    }
}

/// Ten million million of each currency: nobody empties it by accident.
const FLOAT: u128 = 1_000_000_000_000_000;
/// Slowest provider: a hundred times the median.
const LATENCY_PERCENT_MAX: u32 = 10_000;
/// Dearest provider: a tenth of the price.
const PRICE_BPS_MAX: u16 = 1_000;
/// One, in basis points.
const BPS: u128 = 10_000;

impl ProviderSettings {
    fn new(name: &str, side: Side, key: String, latency_percent: u32, price_bps: u16) -> Self {
        let name = name.to_owned();
        Self { name, side, port: 0, key, latency_percent, price_bps, unknown_permille: 0 }
    }

    /// The usual four: on-ramps `harbour` and `quayside`, which is dearer by 15 basis points and twice as fast;
    /// off-ramps `meridian` and `solano`, which is cheaper by 10 and twice as slow. `key` gives each its bearer key.
    pub fn usual(key: impl Fn(&str) -> String) -> Vec<Self> {
        let off_ramp = Side::OffRamp { float: FLOAT };
        [
            ("harbour", Side::OnRamp, 100, 5),
            ("quayside", Side::OnRamp, 50, 20),
            ("meridian", off_ramp, 100, 15),
            ("solano", off_ramp, 200, 5),
        ]
        .map(|(name, side, latency_percent, bps)| Self::new(name, side, key(name), latency_percent, bps))
        .into()
    }

    pub(crate) fn check(&self) -> Result<(), SandboxError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let refused = |name, reason| Err(SandboxError::Setting { name, reason });
        // The name is a folder's, beside those of the bank and the feed.
        let is_name = (1..=32).contains(&self.name.len()) && self.name.bytes().all(plain);
        if !is_name || ["bank", "fx"].contains(&self.name.as_str()) {
            return refused("providers: name", "1 to 32 lower-case letters and digits, not `bank` or `fx`");
        }
        if self.unknown_permille > 1_000 {
            return refused("providers: unknown_permille", "at most 1000");
        }
        if self.latency_percent > LATENCY_PERCENT_MAX {
            return refused("providers: latency_percent", "at most 10000");
        }
        if self.price_bps > PRICE_BPS_MAX {
            return refused("providers: price_bps", "at most 1000");
        }
        Ok(())
    }

    /// How it plays its part in a sandbox that plays so.
    pub(crate) fn script(&self, sandbox: Script) -> Script {
        let latency_ms = sandbox.latency_ms * u64::from(self.latency_percent) / 100;
        Script { latency_ms, unknown_permille: self.unknown_permille, ..sandbox }
    }
}

/// A provider's name and prices.
pub(crate) struct Identity {
    pub(crate) name: Arc<str>,
    pub(crate) fx: Arc<Fx>,
    pub(crate) price_bps: u16,
}

impl Identity {
    fn less(&self, rate_e8: u128) -> u128 {
        rate_e8 * (BPS - u128::from(self.price_bps)) / BPS
    }

    /// How much of `quote` it gives for one `base`, times 10^8.
    pub(crate) async fn rate_e8(&self, base: Currency, quote: Currency) -> Result<Option<u128>, StoreError> {
        let at_ms = self.fx.as_of_ms().await?;
        Ok(rates::rate_e8(base, quote, at_ms).map(|rate_e8| self.less(rate_e8)))
    }

    /// Prices of these pairs, as old as the feed's, and what can be had.
    pub(crate) async fn offer(
        &self,
        pairs: impl Iterator<Item = (Currency, Currency)>,
        available: Vec<Money>,
    ) -> Result<Value, StoreError> {
        let at_ms = self.fx.as_of_ms().await?;
        let as_of = rfc3339(at_ms);
        let price = |(base, quote)| {
            let rate = rates::decimal(self.less(rates::rate_e8(base, quote, at_ms)?));
            Some(json!({ "base": base, "quote": quote, "rate": rate, "as_of": as_of }))
        };
        let row = |money: Money| json!({ "currency": money.currency, "available": money.amount });
        let liquidity: Vec<Value> = available.into_iter().map(row).collect();
        Ok(json!({ "prices": pairs.filter_map(price).collect::<Vec<_>>(), "liquidity": liquidity }))
    }
}

#[cfg(test)]
mod tests {
    use super::ProviderSettings;
    use crate::{SandboxError, magic::Script};

    fn usual() -> Vec<ProviderSettings> {
        ProviderSettings::usual(|name| format!("key-of-{name}"))
    }

    #[test]
    fn the_usual_four_differ_in_price_and_speed() {
        let script = Script { latency_ms: 200, slow_ms: 1, late_ms: 1, unknown_permille: 7 };
        let seen = usual().into_iter().map(|one| (one.script(script.clone()).latency_ms, one.price_bps, one.name));
        let seen: Vec<_> = seen.collect();
        let expected = [(200, 5, "harbour"), (100, 20, "quayside"), (200, 15, "meridian"), (400, 5, "solano")];
        assert!(
            seen.iter().zip(expected).all(|((ms, bps, name), other)| (*ms, *bps, name.as_str()) == other),
            "{seen:?}"
        );
        assert!(usual().iter().all(|one| one.script(script.clone()).unknown_permille == 0), "its own faults alone");
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let refused = |spoil: fn(&mut ProviderSettings)| {
            let mut one = usual().remove(0);
            spoil(&mut one);
            matches!(one.check(), Err(SandboxError::Setting { .. }))
        };
        assert!(!refused(|_| ()));
        for name in ["", "Harbour", "../x", "a b", "bank", "fx"] {
            let mut one = usual().remove(0);
            one.name = name.to_owned();
            assert!(one.check().is_err(), "{name:?}");
        }
        assert!(refused(|one| one.name = "a".repeat(33)));
        assert!(refused(|one| one.unknown_permille = 1_001));
        assert!(refused(|one| one.latency_percent = 10_001));
        assert!(refused(|one| one.price_bps = 1_001));
    }
}
