//! The router: which way a payment takes.
//!
//! A way is an on-ramp, a chain, a stablecoin and an off-ramp. Each is scored on cost (40 %), speed (30 %), liquidity (20 %)
//! and reliability (10 %). What goes into a score was measured: the price is what the providers state now, latencies and
//! outcomes are those of the last hour, liquidity is what the providers report. Of a way that nothing is known of, speed
//! and reliability count as those of the average way that something is known of: so it is tried, and then known.
//!
//! Pure. Costs a pass over the ways and a sort; there are at most [`WAYS_MAX`].

use settla_domain::money::Money;
use settla_domain::quote::{AmountSide, QuoteTerms};

/// Most ways that are looked at.
pub const WAYS_MAX: usize = 64;
/// Weights of the parts, in points of 100.
const COST: f64 = 40.0;
const SPEED: f64 = 30.0;
const LIQUIDITY: f64 = 20.0;
const RELIABILITY: f64 = 10.0;
/// A way that costs so much more than the cheapest has no point for its cost, in basis points.
const COST_SPAN_BPS: f64 = 50.0;
/// A provider that has so many times of what is needed has all points for its liquidity.
const AMPLE: f64 = 10.0;
/// Fewer outcomes than this say nothing.
const OUTCOMES_MIN: u64 = 5;

/// How a provider, or the chain, did in the last hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Record {
    /// How often it did what was asked.
    pub succeeded: u64,
    /// How often it did not.
    pub failed: u64,
    /// How long the successes took, all together.
    pub milliseconds: u64,
}

impl Record {
    fn is_known(self) -> bool {
        self.succeeded + self.failed >= OUTCOMES_MIN
    }

    /// Mean time of a success.
    fn mean_ms(self) -> Option<f64> {
        (self.is_known() && self.succeeded > 0).then(|| self.milliseconds as f64 / self.succeeded as f64)
    }

    fn reliability(self) -> Option<f64> {
        self.is_known().then(|| self.succeeded as f64 / (self.succeeded + self.failed) as f64)
    }
}

/// A way with its price and what is known of its parts.
#[derive(Debug, Clone)]
pub struct Way {
    /// What a quote for it would say.
    pub terms: QuoteTerms,
    /// Stablecoin that the on-ramp has.
    pub on_ramp_liquidity: i128,
    /// What the off-ramp has of the destination currency.
    pub off_ramp_liquidity: i128,
    /// How on-ramp, chain and off-ramp did.
    pub records: [Record; 3],
}

/// What a way is worth: each part from 0 to 1, all together from 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scores {
    /// 1 for the cheapest.
    pub cost: f64,
    /// 1 for the fastest.
    pub speed: f64,
    /// 1 when there is far more than needed.
    pub liquidity: f64,
    /// Share of what was done of what was asked.
    pub reliability: f64,
    /// The weighted sum.
    pub total: f64,
    /// How long it took lately, in milliseconds, if that is known.
    pub expected_ms: Option<f64>,
}

impl Way {
    /// Whether both providers have what it takes.
    pub fn is_covered(&self) -> bool {
        self.on_ramp_liquidity >= self.terms.bought.minor && self.off_ramp_liquidity >= self.terms.destination.minor
    }

    fn expected_ms(&self) -> Option<f64> {
        self.records.iter().try_fold(0.0, |sum, record| Some(sum + record.mean_ms()?))
    }

    fn reliability(&self) -> Option<f64> {
        self.records.iter().try_fold(1.0, |product, record| Some(product * record.reliability()?))
    }

    fn liquidity(&self) -> f64 {
        let headroom = |available: i128, needed: Money| {
            let times = available as f64 / needed.minor.max(1) as f64;
            ((times - 1.0) / (AMPLE - 1.0)).clamp(0.0, 1.0)
        };
        headroom(self.on_ramp_liquidity, self.terms.bought)
            .min(headroom(self.off_ramp_liquidity, self.terms.destination))
    }

    /// What the sender's side pays, or the receiver's gets: whichever was left open.
    fn open_amount(&self) -> f64 {
        match self.terms.side {
            AmountSide::Source => self.terms.destination.minor as f64,
            AmountSide::Destination => self.terms.debit.minor as f64,
        }
    }

    /// How much more it costs than `best`, in basis points.
    fn dearer_bps(&self, best: f64) -> f64 {
        let difference = match self.terms.side {
            AmountSide::Source => best - self.open_amount(),
            AmountSide::Destination => self.open_amount() - best,
        };
        difference / best.max(1.0) * 10_000.0
    }
}

/// The ways with their scores, the best first. Those that are not covered are left out. All are of one request.
pub fn rank(ways: Vec<Way>) -> Vec<(Way, Scores)> {
    let ways: Vec<Way> = ways.into_iter().take(WAYS_MAX).filter(Way::is_covered).collect();
    let amounts = ways.iter().map(Way::open_amount);
    let best = match ways.first().map(|way| way.terms.side) {
        Some(AmountSide::Source) => amounts.fold(0.0, f64::max),
        Some(AmountSide::Destination) => amounts.fold(f64::INFINITY, f64::min),
        None => return Vec::new(),
    };
    let fastest = ways.iter().filter_map(Way::expected_ms).fold(f64::INFINITY, f64::min).max(1.0);
    let speed = |way: &Way| way.expected_ms().map(|ms| fastest / ms.max(1.0));
    let usual_speed = mean(ways.iter().filter_map(speed));
    let usual_reliability = mean(ways.iter().filter_map(Way::reliability));
    let mut ranked: Vec<(Way, Scores)> = ways
        .into_iter()
        .map(|way| {
            let cost = (1.0 - way.dearer_bps(best) / COST_SPAN_BPS).clamp(0.0, 1.0);
            let speed = speed(&way).unwrap_or(usual_speed);
            let reliability = way.reliability().unwrap_or(usual_reliability);
            let liquidity = way.liquidity();
            let total = COST * cost + SPEED * speed + LIQUIDITY * liquidity + RELIABILITY * reliability;
            let expected_ms = way.expected_ms();
            (way, Scores { cost, speed, liquidity, reliability, total, expected_ms })
        })
        .collect();
    // Equals in the order of their names, so that the answer does not depend on chance.
    let name = |way: &Way| (way.terms.route.on_ramp.clone(), way.terms.route.off_ramp.clone());
    ranked.sort_by(|(a, x), (b, y)| y.total.total_cmp(&x.total).then_with(|| name(a).cmp(&name(b))));
    ranked
}

/// 1 of nothing: where nobody knows anything all are equal.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
    if count == 0 { 1.0 } else { sum / f64::from(count) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use settla_domain::fee::FeeSchedule;
    use settla_domain::money::Currency;
    use settla_domain::quote::{Fallbacks, PriceRequest, Route, SourcedRate, price};
    use settla_domain::tenant::{TenantStatus, TenantTerms};
    use settla_domain::time::Timestamp;

    const PLENTY: i128 = 1_000_000_000_000_000;
    /// A hundred of a hundred in a second each.
    const GOOD: Record = Record { succeeded: 100, failed: 0, milliseconds: 100_000 };
    const UNKNOWN: Record = Record { succeeded: 0, failed: 0, milliseconds: 0 };

    fn way(on_ramp: &str, rate_on: &str, side: AmountSide, record: Record) -> Way {
        let rate = |text: &str| SourcedRate { rate: text.parse().unwrap(), source: "x".into(), as_of: Timestamp(0) };
        let (source, destination) = (Currency::GBP, Currency::NGN);
        let amount = match side {
            AmountSide::Source => Money::new(source, 100_000),
            AmountSide::Destination => Money::new(destination, 190_000_000),
        };
        let route = Route {
            on_ramp: on_ramp.into(),
            stablecoin: Currency::USDC,
            chain: "eip155:1".into(),
            off_ramp: "meridian".into(),
        };
        let schedule = FeeSchedule { on_ramp_bps: 0, off_ramp_bps: 0, minimum: 0, maximum: 0 };
        let tenant = TenantTerms {
            status: TenantStatus::Active,
            spread_bps: 0,
            fees: [(source, schedule)].into(),
            limits: [].into(),
        };
        let request = PriceRequest {
            side,
            amount,
            source,
            destination,
            route,
            fallbacks: Fallbacks::default(),
            rate_on: rate(rate_on),
            rate_off: rate("1500"),
            rate_age_ms_max: 1_000,
        };
        let terms = price(&request, &tenant, Timestamp(0)).unwrap();
        Way { terms, on_ramp_liquidity: PLENTY, off_ramp_liquidity: PLENTY, records: [record; 3] }
    }

    fn order(ways: Vec<Way>) -> Vec<String> {
        rank(ways).into_iter().map(|(way, _)| way.terms.route.on_ramp).collect()
    }

    #[test]
    fn the_cheapest_is_first_when_all_else_is_equal() {
        for side in [AmountSide::Source, AmountSide::Destination] {
            let ways = || vec![way("dear", "1.2600", side, GOOD), way("cheap", "1.2610", side, GOOD)];
            assert_eq!(order(ways()), ["cheap", "dear"]);
            let scores = rank(ways())[1].1;
            // 1.2610 to 1.2600 are 7.9 of 50 basis points.
            assert!((scores.cost - (1.0 - 7.93 / COST_SPAN_BPS)).abs() < 0.001, "{scores:?}");
            assert!((rank(ways())[0].1.total - 100.0).abs() < 1e-9);
        }
    }

    #[test]
    fn each_part_weighs_what_it_should() {
        let slow = Record { milliseconds: 2 * GOOD.milliseconds, ..GOOD };
        let unreliable = Record { succeeded: 50, failed: 50, milliseconds: 50_000 };
        let base = || way("b", "1.25", AmountSide::Source, GOOD);
        let points = |other: Way| {
            rank(vec![base(), other]).into_iter().find(|(w, _)| w.terms.route.on_ramp == "a").unwrap().1.total
        };
        let near = |points: f64, expected: f64| assert!((points - expected).abs() < 0.01, "{points} {expected}");
        near(points(way("a", "1.25", AmountSide::Source, GOOD)), 100.0);
        near(points(way("a", "1.25", AmountSide::Source, slow)), 100.0 - SPEED / 2.0);
        near(points(way("a", "1.20", AmountSide::Source, GOOD)), 100.0 - COST);
        near(points(way("a", "1.25", AmountSide::Source, unreliable)), 100.0 - RELIABILITY * (1.0 - 0.125));
        let mut dry = way("a", "1.25", AmountSide::Source, GOOD);
        dry.off_ramp_liquidity = dry.terms.destination.minor;
        near(points(dry), 100.0 - LIQUIDITY);
        assert_eq!(COST + SPEED + LIQUIDITY + RELIABILITY, 100.0);
    }

    #[test]
    fn speed_may_outweigh_a_little_cost_and_not_a_lot() {
        let fast = Record { milliseconds: GOOD.milliseconds / 2, ..GOOD };
        let ways = |rate: &str| {
            vec![way("cheap", "1.2500", AmountSide::Source, GOOD), way("fast", rate, AmountSide::Source, fast)]
        };
        assert_eq!(order(ways("1.2490"))[0], "fast");
        assert_eq!(order(ways("1.2450"))[0], "cheap");
    }

    #[test]
    fn who_does_not_have_it_is_no_way() {
        let (mut dry, mut broke) =
            (way("a", "1.25", AmountSide::Source, GOOD), way("b", "1.25", AmountSide::Source, GOOD));
        dry.on_ramp_liquidity = dry.terms.bought.minor - 1;
        broke.off_ramp_liquidity = broke.terms.destination.minor - 1;
        assert!(rank(vec![dry, broke]).is_empty());
        assert!(rank(Vec::new()).is_empty());
    }

    #[test]
    fn what_nothing_is_known_of_counts_as_the_average() {
        let slow = Record { milliseconds: 2 * GOOD.milliseconds, ..GOOD };
        let ways = vec![
            way("fast", "1.25", AmountSide::Source, GOOD),
            way("slow", "1.25", AmountSide::Source, slow),
            way("new", "1.25", AmountSide::Source, UNKNOWN),
        ];
        assert_eq!(order(ways), ["fast", "new", "slow"]);
        // Four outcomes are none.
        let few = Record { succeeded: 0, failed: OUTCOMES_MIN - 1, milliseconds: 0 };
        let scores = rank(vec![way("few", "1.25", AmountSide::Source, few)])[0].1;
        assert_eq!((scores.total, scores.expected_ms), (100.0, None));
    }

    #[test]
    fn equals_come_in_the_order_of_their_names() {
        let ways = |names: [&str; 3]| names.map(|name| way(name, "1.25", AmountSide::Source, GOOD)).into();
        assert_eq!(order(ways(["c", "a", "b"])), ["a", "b", "c"]);
        assert_eq!(order(ways(["b", "c", "a"])), ["a", "b", "c"]);
    }
}
