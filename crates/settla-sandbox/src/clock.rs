//! Time as the books write it: milliseconds since 1970 inside, RFC 3339 in answers.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serializer;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Milliseconds since 1970. A clock before 1970 reads as 1970.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The instant as RFC 3339 in UTC; one that no calendar has is the epoch.
pub(crate) fn rfc3339(at_ms: u64) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_ms) * 1_000_000)
        .ok()
        .and_then(|at| at.format(&Rfc3339).ok())
        .unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned())
}

/// For `serialize_with`: the instant as RFC 3339.
pub(crate) fn as_rfc3339<S: Serializer>(at_ms: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*at_ms))
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn milliseconds_are_kept_and_the_impossible_is_the_epoch() {
        assert_eq!(rfc3339(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        assert_eq!(rfc3339(u64::MAX), "1970-01-01T00:00:00Z");
    }
}
