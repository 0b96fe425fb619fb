//! Percentiles of durations: exact, of all values.

use serde::Serialize;
use std::time::Duration;

/// How durations are spread, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Spread {
    pub count: usize,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

/// The spread of these values; of none, all zero.
pub(super) fn spread(mut values: Vec<Duration>) -> Spread {
    values.sort_unstable();
    let at = |percent: usize| {
        // Nearest rank: the smallest value that so many per cent do not exceed.
        let rank = (values.len() * percent).div_ceil(100).max(1);
        values.get(rank - 1).map_or(0.0, |value| (value.as_secs_f64() * 1e6).round() / 1e3)
    };
    Spread { count: values.len(), p50_ms: at(50), p99_ms: at(99), max_ms: at(100) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_nearest() {
        let values = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(spread(values), Spread { count: 200, p50_ms: 100.0, p99_ms: 198.0, max_ms: 200.0 });
        let one = spread(vec![Duration::from_micros(1_500)]);
        assert_eq!(one, Spread { count: 1, p50_ms: 1.5, p99_ms: 1.5, max_ms: 1.5 });
        assert_eq!(spread(Vec::new()), Spread::default());
    }
}
