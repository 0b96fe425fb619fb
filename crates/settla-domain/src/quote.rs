//! Quotes: a price bound to one amount and one pair, for a short time, used once.
//!
//! The waterfall of a transfer. All roundings go against the residue account, never against the books:
//! ```text
//! debit        = source + fee                       source currency
//! bought       = floor(source * rate_on)            stablecoin that the on-ramp delivers
//! sent         = ceil(destination / rate_off)       stablecoin that the off-ramp is sent
//! spread       = floor(bought * spread_bps)
//! rounding     = bought - sent - spread >= 0        to the rounding account
//! destination  = floor(bought * (1 - spread) * rate_off), or as asked for
//! ```

use crate::fee::Fee;
use crate::id::QuoteId;
use crate::money::{Currency, Money};
use crate::rate::{Rate, Rounding};
use crate::refusal::Refusal;
use crate::tenant::{TenantNo, TenantTerms};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A price from a feed, with where and when it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourcedRate {
    /// The rate.
    pub rate: Rate,
    /// The feed's name for its source.
    pub source: String,
    /// When the source stated it.
    pub as_of: Timestamp,
}

/// Which side of the exchange the caller fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AmountSide {
    /// So much is exchanged; the beneficiary gets what it is worth.
    Source,
    /// So much is paid out; the tenant pays what it takes.
    Destination,
}

/// The way the money takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Provider that sells the stablecoin.
    pub on_ramp: String,
    /// The stablecoin.
    pub stablecoin: Currency,
    /// The chain, as CAIP-2 (`eip155:43113`).
    pub chain: String,
    /// Provider that pays out.
    pub off_ramp: String,
}

/// Providers that take over, in this order, once it is proven that the one before has failed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Fallbacks {
    /// In place of the route's on-ramp.
    #[serde(default)]
    pub on_ramps: Vec<String>,
    /// In place of the route's off-ramp.
    #[serde(default)]
    pub off_ramps: Vec<String>,
}

/// Most fallbacks of a side that a quote keeps. With the first provider and a sale, that stays within the legs there are.
pub const FALLBACKS_MAX: usize = 3;
const _: () = assert!(FALLBACKS_MAX + 2 <= crate::effect::LEGS_MAX as usize);

/// Everything that was agreed, fixed when the quote was made. Kept with the transfer as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuoteTerms {
    /// Which side was fixed.
    pub side: AmountSide,
    /// What is exchanged.
    pub source: Money,
    /// The on-ramp leg's fee, on top of `source`.
    pub on_ramp_fee: Money,
    /// The off-ramp leg's fee, on top of `source`.
    pub off_ramp_fee: Money,
    /// What the tenant is debited: `source` and both fees.
    pub debit: Money,
    /// What the on-ramp delivers.
    pub bought: Money,
    /// What the off-ramp is sent.
    pub sent: Money,
    /// Our result on exchange.
    pub spread: Money,
    /// Left over by rounding.
    pub rounding: Money,
    /// What the beneficiary gets.
    pub destination: Money,
    /// Source currency into stablecoin.
    pub rate_on: SourcedRate,
    /// Stablecoin into destination currency.
    pub rate_off: SourcedRate,
    /// The spread that was applied.
    pub spread_bps: u16,
    /// The way.
    pub route: Route,
    /// Who takes over. They work for the same amounts or not at all.
    #[serde(default)]
    pub fallbacks: Fallbacks,
}

impl QuoteTerms {
    /// The on-ramp of a leg.
    pub fn on_ramp(&self, leg: u8) -> Option<&str> {
        provider(&self.route.on_ramp, &self.fallbacks.on_ramps, leg)
    }

    /// The off-ramp of a leg.
    pub fn off_ramp(&self, leg: u8) -> Option<&str> {
        provider(&self.route.off_ramp, &self.fallbacks.off_ramps, leg)
    }

    /// Both fees.
    pub fn fee(&self) -> Money {
        Money::new(self.debit.currency, self.debit.minor - self.source.minor)
    }
}

fn provider<'a>(first: &'a str, others: &'a [String], leg: u8) -> Option<&'a str> {
    let others = others.iter().take(FALLBACKS_MAX).map(String::as_str);
    std::iter::once(first).chain(others).nth(usize::from(leg))
}

/// A quote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// Its id.
    pub id: QuoteId,
    /// Whose it is.
    pub tenant: TenantNo,
    /// The price.
    pub terms: QuoteTerms,
    /// When it was made.
    pub created_at: Timestamp,
    /// From this instant on it cannot be used.
    pub expires_at: Timestamp,
    /// Whether a transfer has used it.
    pub used: bool,
}

/// What to price.
#[derive(Debug, Clone)]
pub struct PriceRequest {
    /// Which of the two amounts `amount` is.
    pub side: AmountSide,
    /// The fixed amount.
    pub amount: Money,
    /// The source currency.
    pub source: Currency,
    /// The destination currency.
    pub destination: Currency,
    /// The way to take.
    pub route: Route,
    /// Who takes over.
    pub fallbacks: Fallbacks,
    /// Source currency into stablecoin.
    pub rate_on: SourcedRate,
    /// Stablecoin into destination currency.
    pub rate_off: SourcedRate,
    /// The oldest rate that may be used, in milliseconds.
    pub rate_age_ms_max: i64,
}

/// Prices a request. Refuses stale rates, currencies the tenant has no fees for, and amounts that come to
/// nothing or exceed a bound.
pub fn price(request: &PriceRequest, tenant: &TenantTerms, now: Timestamp) -> Result<QuoteTerms, Refusal> {
    for rate in [&request.rate_on, &request.rate_off] {
        let age_ms = now.ms_since(rate.as_of);
        // A rate from the future is as wrong as an old one; a second of skew between clocks is not.
        if age_ms > request.rate_age_ms_max || age_ms < -1_000 {
            return Err(Refusal::RateStale);
        }
    }
    let schedule = tenant.fees.get(&request.source).ok_or(Refusal::CorridorNotOffered)?;
    let stable = request.route.stablecoin;
    let (rate_on, rate_off) = (request.rate_on.rate, request.rate_off.rate);
    let keep_bps =
        10_000i128.checked_sub(i128::from(tenant.spread_bps)).filter(|k| *k > 0).ok_or(Refusal::CorridorNotOffered)?;
    let too_large = |_| Refusal::AmountOutOfRange;

    let (source, fixed_destination) = match request.side {
        AmountSide::Source => (request.amount, None),
        AmountSide::Destination => {
            let sent = rate_off.convert_back(request.amount, stable, Rounding::Up).map_err(too_large)?;
            let bought = Money::new(stable, (sent.minor * 10_000 + keep_bps - 1) / keep_bps);
            let source = rate_on.convert_back(bought, request.source, Rounding::Up).map_err(too_large)?;
            (source, Some(request.amount))
        }
    };
    let bought = rate_on.convert(source, stable, Rounding::Down).map_err(too_large)?;
    let spread = Money::new(stable, bought.minor * i128::from(tenant.spread_bps) / 10_000);
    let after_spread = Money::new(stable, bought.minor - spread.minor);
    let destination = match fixed_destination {
        Some(amount) => amount,
        None => rate_off.convert(after_spread, request.destination, Rounding::Down).map_err(too_large)?,
    };
    let sent = rate_off.convert_back(destination, stable, Rounding::Up).map_err(too_large)?;
    let rounding = Money::new(stable, after_spread.minor - sent.minor);
    if destination.minor <= 0 || sent.minor <= 0 {
        return Err(Refusal::AmountTooSmall);
    }
    assert!(rounding.minor >= 0, "the waterfall never hands out more than was bought");

    let Fee { on_ramp, off_ramp, total } = schedule.on(source).map_err(too_large)?;
    let debit = Money::new(request.source, source.minor + total.minor);
    if debit.minor > request.source.amount_max() {
        return Err(Refusal::AmountOutOfRange);
    }
    Ok(QuoteTerms {
        side: request.side,
        source,
        on_ramp_fee: on_ramp,
        off_ramp_fee: off_ramp,
        debit,
        bought,
        sent,
        spread,
        rounding,
        destination,
        rate_on: request.rate_on.clone(),
        rate_off: request.rate_off.clone(),
        spread_bps: tenant.spread_bps,
        route: request.route.clone(),
        fallbacks: request.fallbacks.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fee::FeeSchedule;
    use crate::tenant::TenantStatus;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn terms(spread_bps: u16) -> TenantTerms {
        let schedule = FeeSchedule { on_ramp_bps: 40, off_ramp_bps: 35, minimum: 10, maximum: 1_000_000 };
        let fees = Currency::ALL.into_iter().map(|c| (c, schedule)).collect();
        TenantTerms { status: TenantStatus::Active, spread_bps, fees, limits: BTreeMap::new() }
    }

    fn request(
        side: AmountSide,
        minor: i128,
        source: Currency,
        destination: Currency,
        on: &str,
        off: &str,
    ) -> PriceRequest {
        let rate = |text: &str| SourcedRate { rate: text.parse().unwrap(), source: "test".into(), as_of: Timestamp(0) };
        let amount = Money::new(if side == AmountSide::Source { source } else { destination }, minor);
        let route = Route {
            on_ramp: "a".into(),
            stablecoin: Currency::USDC,
            chain: "eip155:43113".into(),
            off_ramp: "b".into(),
        };
        PriceRequest {
            side,
            amount,
            source,
            destination,
            route,
            fallbacks: Fallbacks::default(),
            rate_on: rate(on),
            rate_off: rate(off),
            rate_age_ms_max: 5_000,
        }
    }

    #[test]
    fn the_rate_is_applied_once_and_fees_are_one_currency() {
        let terms = price(
            &request(AmountSide::Source, 100_000, Currency::GBP, Currency::NGN, "1.25", "1600"),
            &terms(50),
            Timestamp(0),
        )
        .unwrap();
        assert_eq!(terms.debit.decimal(), "1007.50");
        assert_eq!(terms.bought.decimal(), "1250.000000");
        assert_eq!(terms.spread.decimal(), "6.250000");
        assert_eq!(terms.destination.decimal(), "1990000.00");
        assert_eq!(terms.sent.decimal(), "1243.750000");
        assert_eq!(terms.rounding.minor, 0);
    }

    #[test]
    fn a_stale_or_future_rate_is_refused() {
        let ask = request(AmountSide::Source, 100_000, Currency::GBP, Currency::NGN, "1.25", "1600");
        assert_eq!(price(&ask, &terms(0), Timestamp(5_001_000)), Err(Refusal::RateStale));
        assert_eq!(price(&ask, &terms(0), Timestamp(-2_000_000)), Err(Refusal::RateStale));
        assert!(price(&ask, &terms(0), Timestamp(5_000_000)).is_ok());
    }

    proptest! {
        /// Whatever is asked: what was bought is split without remainder, the fixed side is exact, and the
        /// beneficiary is never promised more than the tokens are worth. Scales 0, 2, 3 and 6.
        #[test]
        fn the_waterfall_adds_up(minor in 1i128..=100_000_000_000, source in 0usize..8, destination in 0usize..8, spread in 0u16..1_000, on in 1u64..=2_000_000, off in 1u64..=2_000_000_000, fixed in any::<bool>()) {
            let side = if fixed { AmountSide::Destination } else { AmountSide::Source };
            let (source, destination) = (Currency::ALL[source], Currency::ALL[destination]);
            let decimal = |n: u64| format!("{}.{:06}", n / 1_000_000, n % 1_000_000);
            let ask = request(side, minor, source, destination, &decimal(on), &decimal(off));
            if let Ok(t) = price(&ask, &terms(spread), Timestamp(0)) {
                prop_assert_eq!(t.bought.minor, t.sent.minor + t.spread.minor + t.rounding.minor);
                prop_assert_eq!(t.debit.minor, t.source.minor + t.on_ramp_fee.minor + t.off_ramp_fee.minor);
                prop_assert_eq!(if fixed { t.destination } else { t.source }, ask.amount);
                let worth = ask.rate_off.rate.convert(t.sent, destination, Rounding::Down).unwrap();
                prop_assert!(worth.minor >= t.destination.minor);
            }
        }
    }
}
