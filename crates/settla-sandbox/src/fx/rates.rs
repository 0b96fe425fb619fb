//! The feed's rates: a fixed mid price a fiat currency with a slow drift that depends on the time alone.

use crate::money::Currency;

/// Decimals of a rate.
const SCALE: u128 = 100_000_000;
/// How far the drift goes from the mid price, in parts per million, to either side.
const DRIFT_PPM: u128 = 1_500;

/// Fiat for one USDC, times 10^8.
fn mid(fiat: Currency) -> Option<u128> {
    match fiat {
        Currency::Gbp => Some(78_548_425),
        Currency::Eur => Some(92_250_923),
        Currency::Usd => Some(100_020_000),
        Currency::Ngn => Some(154_520_000_000),
        Currency::Kes => Some(12_910_000_000),
        Currency::Ghs => Some(1_542_000_000),
        Currency::Usdc | Currency::Usdt => None,
    }
}

/// A triangle wave: a line up and a line down in every period, so that it never jumps.
fn drift_ppm(fiat: Currency, at_ms: u64) -> u128 {
    // A period of its own for each currency, so that they do not move together.
    let period_s = 1_800 + 240 * u64::from(fiat as u8);
    let position = u128::from(at_ms % (period_s * 1_000)) * 4 * DRIFT_PPM / (u128::from(period_s) * 1_000);
    let up = position.min(4 * DRIFT_PPM - position);
    1_000_000 - DRIFT_PPM + up
}

/// How much `quote` one `base` is, times 10^8. Between a fiat currency and a stablecoin only.
pub(crate) fn rate_e8(base: Currency, quote: Currency, at_ms: u64) -> Option<u128> {
    let (fiat, stable) = if base.is_fiat() { (base, quote) } else { (quote, base) };
    let per_usdc = mid(fiat)? * drift_ppm(fiat, at_ms) / 1_000_000;
    let fiat_per_stable = match stable {
        Currency::Usdc => per_usdc,
        Currency::Usdt => per_usdc * 9_997 / 10_000,
        _ => return None,
    };
    Some(if base.is_fiat() { (SCALE * SCALE + fiat_per_stable / 2) / fiat_per_stable } else { fiat_per_stable })
}

/// The rate as a decimal string with eight decimals.
pub(crate) fn decimal(rate_e8: u128) -> String {
    format!("{}.{:08}", rate_e8 / SCALE, rate_e8 % SCALE)
}

/// Stablecoin minor units (scale 6) for fiat minor units (scale 2), rounded down.
pub(crate) fn stable_for_fiat(fiat_minor: u128, rate_e8: u128) -> u128 {
    fiat_minor * rate_e8 / (SCALE / 10_000)
}

/// All pairs of the feed.
pub(crate) fn pairs() -> impl Iterator<Item = (Currency, Currency)> {
    let both = |fiat| Currency::STABLE.into_iter().flat_map(move |stable| [(fiat, stable), (stable, fiat)]);
    Currency::FIAT.into_iter().flat_map(both)
}

#[cfg(test)]
mod tests {
    use super::{Currency, decimal, pairs, rate_e8, stable_for_fiat};

    const DAY_MS: u64 = 86_400_000;

    #[test]
    fn all_pairs_have_a_rate_that_drifts_slowly_and_little() {
        assert_eq!(pairs().count(), 24);
        for (base, quote) in pairs() {
            let rates: Vec<u128> = (0..DAY_MS / 10_000).map(|n| rate_e8(base, quote, n * 10_000).unwrap()).collect();
            let (low, high) = (*rates.iter().min().unwrap(), *rates.iter().max().unwrap());
            assert!(high > low, "{base:?}/{quote:?} moves");
            // Rates of a hundred-thousandth have only five digits, hence the one unit.
            assert!((high - low) * 1_000 <= low * 4, "{base:?}/{quote:?}: {low} to {high}");
            assert!(rates.windows(2).all(|pair| pair[0].abs_diff(pair[1]) * 5_000 <= low + 5_000));
        }
        assert_eq!(rate_e8(Currency::Gbp, Currency::Ngn, 0), None);
        assert_eq!(rate_e8(Currency::Usdc, Currency::Usdt, 0), None);
    }

    #[test]
    fn scales_are_right() {
        assert_eq!(decimal(127_310_000), "1.27310000");
        assert_eq!(decimal(5), "0.00000005");
        // GBP 100.00 at 1.2731 is USDC 127.310000.
        assert_eq!(stable_for_fiat(10_000, 127_310_000), 127_310_000);
    }
}
