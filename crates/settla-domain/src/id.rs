//! Typed ids, one type an entity: UUIDv7 inside, a prefix and 32 hex digits outside (`tr_0193…`).

use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// The text is not an id of the expected kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid `{prefix}_` id")]
pub struct IdError {
    /// The prefix that was expected.
    pub prefix: &'static str,
}

macro_rules! typed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);

        impl $name {
            /// The prefix of this kind of id in JSON, without the underscore.
            pub const PREFIX: &'static str = $prefix;
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                parse(text, $prefix).map(Self).ok_or(IdError { prefix: $prefix })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

typed_id!(/** A tenant, as the outside sees it. */ TenantId, "tn");
typed_id!(/** A quote (a price). */ QuoteId, "qt");
typed_id!(/** A transfer. */ TransferId, "tr");
typed_id!(/** An effect: also its idempotency key at a provider. */ EffectId, "ef");
typed_id!(/** A posting. */ PostingId, "po");
typed_id!(/** A webhook event. */ EventId, "evt");
typed_id!(/** A top-up: money that a tenant has announced to send us. */ TopupId, "tu");
typed_id!(/** A withdrawal. */ WithdrawalId, "wd");
typed_id!(/** A settlement batch: one transaction on chain. */ BatchId, "sb");
typed_id!(/** A webhook endpoint. */ EndpointId, "whe");
typed_id!(/** A webhook delivery. */ DeliveryId, "whk");
typed_id!(/** A range of events that is delivered again. */ RedeliveryId, "whr");
typed_id!(/** An API key (not the key itself). */ KeyId, "key");

/// Exactly `prefix_` and 32 lower-case hex digits, so that an id has one spelling.
fn parse(text: &str, prefix: &str) -> Option<Uuid> {
    let hex = text.strip_prefix(prefix)?.strip_prefix('_')?;
    let canonical = hex.len() == 32 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if canonical { Uuid::try_parse(hex).ok() } else { None }
}

/// A deterministic id for something that belongs to `base`: the same bytes with the last two replaced by
/// `tag`. It keeps the time order of UUIDv7 (good for indexes), and a redelivered command makes the same
/// ids again. Two bases of the same millisecond collide only if their other 58 random bits agree.
pub fn derived(base: Uuid, tag: u16) -> Uuid {
    let mut bytes = *base.as_bytes();
    bytes[14..].copy_from_slice(&tag.to_be_bytes());
    Uuid::from_bytes(bytes)
}

impl PostingId {
    /// The least and the greatest id that a posting of this subject can have: those [`derived`] from it, and its own.
    pub fn of_subject(subject: Uuid) -> (Uuid, Uuid) {
        (derived(subject, 0), derived(subject, u16::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let id = TransferId(Uuid::from_u128(0x0193_aaaa_bbbb_7ccc_8ddd_eeee_ffff_0001));
        assert_eq!(id.to_string(), "tr_0193aaaabbbb7ccc8dddeeeeffff0001");
        assert_eq!(id.to_string().parse::<TransferId>(), Ok(id));
        for bad in [
            "tr_0193AAAABBBB7ccc8dddeeeeffff0001",
            "qt_0193aaaabbbb7ccc8dddeeeeffff0001",
            "tr_",
            "tr_0193aaaa-bbbb-7ccc-8ddd-eeeeffff0001",
            "",
        ] {
            assert!(bad.parse::<TransferId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn derived_ids_differ_by_tag_and_repeat() {
        let base = Uuid::from_u128(0x0193_aaaa_bbbb_7ccc_8ddd_eeee_ffff_0001);
        assert_eq!(derived(base, 7), derived(base, 7));
        assert_ne!(derived(base, 7), derived(base, 8));
    }

    #[test]
    fn ids_of_postings_lie_between_those_of_their_subject() {
        let subject = Uuid::from_u128(0x0193_aaaa_bbbb_7ccc_8ddd_eeee_ffff_0001);
        let (low, high) = PostingId::of_subject(subject);
        for id in [derived(subject, 0), derived(subject, 7), derived(subject, u16::MAX), subject] {
            assert!(low <= id && id <= high);
        }
        assert!(high < Uuid::from_u128(0x0193_aaaa_bbbb_7ccc_8ddd_eeef_0000_0000));
    }
}
