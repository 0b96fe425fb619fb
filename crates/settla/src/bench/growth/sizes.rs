//! The sizes to measure at.

/// The fewest and the most stored transfers.
pub(super) const STORED_MIN: u64 = 100;
pub(super) const STORED_MAX: u64 = 10_000_000;
/// The most sizes of a run.
const SIZES_MAX: usize = 8;

/// Sizes, each larger than the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sizes(pub Vec<u64>);

/// Reads `10000,100000`.
pub(super) fn parse(text: &str) -> Result<Sizes, String> {
    let sizes: Vec<u64> = text
        .split(',')
        .map(|size| size.trim().parse().map_err(|_| format!("`{size}` is no number")))
        .collect::<Result<_, _>>()?;
    if sizes.len() > SIZES_MAX {
        return Err(format!("{SIZES_MAX} sizes at most"));
    }
    if let Some(size) = sizes.iter().find(|size| !(STORED_MIN..=STORED_MAX).contains(*size)) {
        return Err(format!("{size} is not from {STORED_MIN} to {STORED_MAX}"));
    }
    if !sizes.is_sorted_by(|one, next| one < next) {
        return Err("each must be larger than the one before".to_owned());
    }
    Ok(Sizes(sizes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_grow_within_bounds() {
        assert_eq!(parse("100,2000, 10000000"), Ok(Sizes(vec![100, 2_000, 10_000_000])));
        for bad in ["", "99", "10000001", "200,100", "200,200", "100,x", "-100", "100,", "1,2,3,4,5,6,7,8,9"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let many = (1..=9).map(|n| (n * 100).to_string()).collect::<Vec<_>>().join(",");
        assert!(parse(&many).is_err());
    }
}
