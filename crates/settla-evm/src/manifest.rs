//! The list of payments that one token transfer carries, and its hash, which goes on chain with the transfer.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Most members that one batch may have: it bounds a journal line and a manifest on the wire.
pub const MEMBERS_MAX: usize = 2_000;

/// One payment in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestMember {
    /// What the two sides call this payment.
    pub id: Uuid,
    /// Token minor units.
    #[serde(with = "decimal")]
    pub amount: u128,
}

/// What a batch transfer is made of. The order of members does not matter to [`Manifest::hash`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The batch's own id.
    pub batch_id: Uuid,
    /// The payments in it.
    pub members: Vec<ManifestMember>,
}

/// Why a manifest cannot be paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// There is nothing to pay.
    #[error("the manifest has no members")]
    Empty,
    /// More than [`MEMBERS_MAX`] members.
    #[error("the manifest has more than {MEMBERS_MAX} members")]
    TooManyMembers,
    /// A member of zero: most likely a mistake, and never worth a row.
    #[error("member {0} has an amount of zero")]
    ZeroAmount(Uuid),
    /// The same member twice would be paid twice.
    #[error("member {0} is in the manifest twice")]
    DuplicateMember(Uuid),
    /// The amounts add up to more than 128 bits.
    #[error("the total overflows")]
    Overflow,
}

impl Manifest {
    /// The SHA-256 that goes on chain: see [`manifest_hash`].
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        hash_sorted(self.members.iter().map(|member| (member.id, member.amount)).collect())
    }

    /// The sum of all members, after checking that the manifest can be paid at all.
    pub fn total(&self) -> Result<u128, ManifestError> {
        if self.members.is_empty() {
            return Err(ManifestError::Empty);
        }
        if self.members.len() > MEMBERS_MAX {
            return Err(ManifestError::TooManyMembers);
        }
        let mut seen = BTreeSet::new();
        let mut total = 0_u128;
        for member in &self.members {
            if member.amount == 0 {
                return Err(ManifestError::ZeroAmount(member.id));
            }
            if !seen.insert(member.id) {
                return Err(ManifestError::DuplicateMember(member.id));
            }
            total = total.checked_add(member.amount).ok_or(ManifestError::Overflow)?;
        }
        Ok(total)
    }
}

/// SHA-256 over the members in ascending order of id, each as 16 bytes id and 16 bytes amount, both big endian.
#[must_use]
pub fn manifest_hash(members: &[(Uuid, u128)]) -> [u8; 32] {
    hash_sorted(members.to_vec())
}

fn hash_sorted(mut members: Vec<(Uuid, u128)>) -> [u8; 32] {
    members.sort_unstable();
    let mut hasher = Sha256::new();
    for (id, amount) in members {
        hasher.update(id.as_bytes());
        hasher.update(amount.to_be_bytes());
    }
    hasher.finalize().into()
}

/// Amounts are decimal strings in JSON, because 128 bits do not fit a JSON number.
mod decimal {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(amount: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(amount)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let text = String::deserialize(deserializer)?;
        // `parse` alone would take a leading plus sign.
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(de::Error::custom("an amount is a string of decimal digits"));
        }
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u128, amount: u128) -> ManifestMember {
        ManifestMember { id: Uuid::from_u128(id), amount }
    }

    fn manifest(members: Vec<ManifestMember>) -> Manifest {
        Manifest { batch_id: Uuid::from_u128(9), members }
    }

    #[test]
    fn hash_is_over_the_canonical_bytes_whatever_the_order() {
        let mut bytes = Vec::new();
        for (id, amount) in [(1_u128, 500_u128), (2, 7)] {
            bytes.extend_from_slice(&id.to_be_bytes());
            bytes.extend_from_slice(&amount.to_be_bytes());
        }
        let expected: [u8; 32] = Sha256::digest(&bytes).into();
        assert_eq!(manifest(vec![member(2, 7), member(1, 500)]).hash(), expected);
        assert_eq!(manifest_hash(&[(Uuid::from_u128(1), 500), (Uuid::from_u128(2), 7)]), expected);
    }

    #[test]
    fn unpayable_manifests_are_refused() {
        let cases = [
            (vec![], ManifestError::Empty),
            (vec![member(1, 1), member(1, 2)], ManifestError::DuplicateMember(Uuid::from_u128(1))),
            (vec![member(1, 0)], ManifestError::ZeroAmount(Uuid::from_u128(1))),
            (vec![member(1, u128::MAX), member(2, 1)], ManifestError::Overflow),
            ((0..=MEMBERS_MAX as u128).map(|id| member(id, 1)).collect(), ManifestError::TooManyMembers),
        ];
        for (members, error) in cases {
            assert_eq!(manifest(members).total(), Err(error));
        }
        assert_eq!(manifest(vec![member(1, 3), member(2, 4)]).total(), Ok(7));
    }

    #[test]
    fn json_amounts_are_decimal_strings() {
        let json = serde_json::to_value(member(1, u128::MAX)).unwrap();
        assert_eq!(json["amount"], u128::MAX.to_string());
        let back: ManifestMember = serde_json::from_value(json).unwrap();
        assert_eq!(back, member(1, u128::MAX));
        for bad in ["+1", "-1", "1e3", "", "1.0"] {
            let json = serde_json::json!({"id": Uuid::nil(), "amount": bad});
            assert!(serde_json::from_value::<ManifestMember>(json).is_err());
        }
    }
}
