//! The mean of paired differences, and how well it is known.

use serde::Serialize;

/// Fewer say little, more take long.
pub(super) const PAIRS_MIN: u32 = 5;
/// As many as [`T_975`] goes.
pub(super) const PAIRS_MAX: u32 = 30;

/// The 97.5 % quantiles of Student's t for 1 to 29 degrees of freedom.
const T_975: [f64; 29] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045,
];

/// A mean and its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Interval {
    pub mean: f64,
    pub from: f64,
    pub to: f64,
}

/// Student's interval: of values that differ by nothing but chance, the true mean is outside in one case of twenty. Of
/// less than two values nothing is known but their mean.
pub(super) fn interval(values: &[f64]) -> Interval {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count.max(1.0);
    let Some(t) = values.len().checked_sub(2).map(|index| T_975[index.min(T_975.len() - 1)]) else {
        return Interval { mean, from: f64::NEG_INFINITY, to: f64::INFINITY };
    };
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    let half = t * (variance / count).sqrt();
    Interval { mean, from: mean - half, to: mean + half }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_students() {
        // Worked by hand: mean 3, standard deviation sqrt(2.5), standard error sqrt(0.5).
        let found = interval(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        let half = 2.776 * 0.5_f64.sqrt();
        assert!((found.mean - 3.0).abs() < 1e-9);
        assert!((found.from - (3.0 - half)).abs() < 1e-9 && (found.to - (3.0 + half)).abs() < 1e-9, "{found:?}");
        assert_eq!(interval(&[2.0; 5]), Interval { mean: 2.0, from: 2.0, to: 2.0 });
        assert_eq!(interval(&[4.0]).to, f64::INFINITY);
        assert_eq!(T_975.len() + 1, PAIRS_MAX as usize);
    }
}
