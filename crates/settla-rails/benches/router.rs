//! What it costs to find the best way: `cargo bench -p settla-rails`.

use divan::Bencher;
use settla_domain::fee::FeeSchedule;
use settla_domain::money::{Currency, Money};
use settla_domain::quote::{AmountSide, Fallbacks, PriceRequest, Route, SourcedRate, price};
use settla_domain::tenant::{TenantStatus, TenantTerms};
use settla_domain::time::Timestamp;
use settla_rails::router::{Record, Scores, WAYS_MAX, Way, rank};

/// The platform's.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Two providers a side, as the sandbox has them, and eight, which are as many ways as are looked at.
const WAYS: [usize; 2] = [4, WAYS_MAX];
const NOW: Timestamp = Timestamp(0);

fn main() {
    divan::main();
}

/// Ways that are priced.
#[divan::bench(args = WAYS)]
fn ranked(bencher: Bencher, ways: usize) {
    let tenant = tenant();
    let priced: Vec<Way> = requests(ways).iter().map(|request| way(request, &tenant)).collect();
    assert_ranked(&rank(priced.clone()), ways);
    bencher.with_inputs(|| priced.clone()).bench_values(rank);
}

/// As a quote does it: every way is priced, then they are ranked.
#[divan::bench(args = WAYS)]
fn priced_and_ranked(bencher: Bencher, ways: usize) {
    let tenant = tenant();
    let requests = requests(ways);
    let best = |requests: &[PriceRequest]| rank(requests.iter().map(|request| way(request, &tenant)).collect());
    assert_ranked(&best(&requests), ways);
    bencher.bench(|| best(divan::black_box(&requests)));
}

/// None is left out, they differ, and the best is first.
fn assert_ranked(ranked: &[(Way, Scores)], ways: usize) {
    assert_eq!(ranked.len(), ways);
    assert!(ranked.is_sorted_by(|(_, better), (_, worse)| better.total > worse.total));
    let (best, scores) = &ranked[0];
    assert_eq!((best.terms.route.on_ramp.as_str(), best.terms.route.off_ramp.as_str()), ("on-0", "off-0"));
    assert_eq!((scores.cost, scores.speed), (1.0, 1.0));
}

fn tenant() -> TenantTerms {
    let fees = FeeSchedule { on_ramp_bps: 40, off_ramp_bps: 35, minimum: 10, maximum: 1_000_000 };
    let (spread_bps, fees) = (50, [(Currency::GBP, fees)].into());
    TenantTerms { status: TenantStatus::Active, spread_bps, fees, limits: [].into() }
}

/// A request for each pair of providers, the worst ways first. Each provider is a little dearer than the one before it.
fn requests(ways: usize) -> Vec<PriceRequest> {
    let a_side = ways.isqrt() as u64;
    let rate = |e4: u64| {
        let rate = format!("{}.{:04}", e4 / 10_000, e4 % 10_000).parse().unwrap();
        SourcedRate { rate, source: "feed".into(), as_of: NOW }
    };
    let pairs = (0..a_side).rev().flat_map(|on| (0..a_side).rev().map(move |off| (on, off)));
    let request = |(on, off)| PriceRequest {
        side: AmountSide::Source,
        amount: Money::new(Currency::GBP, 100_000),
        source: Currency::GBP,
        destination: Currency::NGN,
        route: Route {
            on_ramp: format!("on-{on}"),
            stablecoin: Currency::USDC,
            chain: "eip155:43113".into(),
            off_ramp: format!("off-{off}"),
        },
        fallbacks: Fallbacks::default(),
        rate_on: rate(12_731 - 5 * on),
        rate_off: rate(15_437_700 - 700 * off),
        rate_age_ms_max: 5_000,
    };
    pairs.map(request).collect()
}

/// A way whose providers are the slower and the more often at fault the dearer they are, the on-ramp more so.
fn way(request: &PriceRequest, tenant: &TenantTerms) -> Way {
    let terms = price(request, tenant, NOW).unwrap();
    let number = |name: &str| name.rsplit('-').next().and_then(|text| text.parse::<u64>().ok()).unwrap();
    let record = |worse: u64| Record { succeeded: 1_000, failed: worse, milliseconds: 1_000_000 + 10_000 * worse };
    let records = [record(3 * number(&request.route.on_ramp)), record(0), record(number(&request.route.off_ramp))];
    let [on_ramp_liquidity, off_ramp_liquidity] = [terms.bought.minor * 20, terms.destination.minor * 20];
    Way { terms, on_ramp_liquidity, off_ramp_liquidity, records }
}
