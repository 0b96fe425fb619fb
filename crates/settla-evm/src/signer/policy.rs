//! What the signer checks by itself, whoever asks.

use sha2::{Digest, Sha256};

use super::record::{BumpRecord, IntentRecord};
use super::{Intent, SignerError};
use crate::fees::GAS_LIMIT_CEILING;
use crate::{Address, Fees};

/// Longest audit line, in bytes. With the bound on members it bounds a journal line.
const AUDIT_LINE_BYTES_MAX: usize = 512;

/// Least gas that any transaction needs.
const GAS_LIMIT_FLOOR: u64 = 21_000;

/// Signatures of one intent at most: more than enough raises to come from one wei to the ceiling would be a defect.
const SIGNATURES_MAX: usize = 64;

/// Checks a raise of an intent's fees.
pub(super) fn check_bump(
    intent: &IntentRecord,
    last: Fees,
    signatures: usize,
    bump: &BumpRecord,
) -> Result<(), SignerError> {
    if signatures >= SIGNATURES_MAX {
        return Err(SignerError::Refused("the intent was signed too often"));
    }
    if !bump.fees.are_acceptable() {
        return Err(SignerError::Refused("the fees are zero or above the ceiling"));
    }
    if !bump.fees.replace(&last) {
        return Err(SignerError::Refused("the fees are not a tenth above the last ones"));
    }
    check_audit(&bump.audit, intent.manifest.members.len())
}

fn check_audit(audit: &[String], members: usize) -> Result<(), SignerError> {
    if audit.len() != members {
        return Err(SignerError::Refused("every member needs one audit line"));
    }
    if audit.iter().any(|line| line.is_empty() || line.len() > AUDIT_LINE_BYTES_MAX) {
        return Err(SignerError::Refused("an audit line is empty or too long"));
    }
    Ok(())
}

/// Checks an intent that was not seen before.
pub(super) fn check(intent: &Intent, chain_id: u64) -> Result<(), SignerError> {
    if intent.chain_id != chain_id {
        return Err(SignerError::WrongChain { expected: chain_id, actual: intent.chain_id });
    }
    if intent.id != intent.manifest.batch_id {
        return Err(SignerError::Refused("the intent and its manifest have different ids"));
    }
    intent.manifest.total()?;
    // Tokens sent to nobody, or to their own contract, are lost.
    if intent.destination == Address::ZERO || intent.destination == intent.token {
        return Err(SignerError::Destination(intent.destination));
    }
    if intent.token == Address::ZERO {
        return Err(SignerError::Destination(intent.token));
    }
    check_audit(&intent.audit, intent.manifest.members.len())?;
    if !intent.fees.are_acceptable() {
        return Err(SignerError::Refused("the fees are zero or above the ceiling"));
    }
    if !(GAS_LIMIT_FLOOR..=GAS_LIMIT_CEILING).contains(&intent.gas_limit) {
        return Err(SignerError::Refused("the gas limit is out of bounds"));
    }
    Ok(())
}

/// Equal for two intents that move the same money. Fees, gas and audit lines are left out, so that a caller who lost
/// the answer can ask again after the fees have changed.
pub(super) fn fingerprint(intent: &Intent) -> [u8; 32] {
    // Every field has a fixed length, so no two intents share an encoding.
    let mut hasher = Sha256::new();
    hasher.update(b"settla-evm intent 1");
    hasher.update(intent.chain_id.to_be_bytes());
    hasher.update(intent.token.0);
    hasher.update(intent.destination.0);
    hasher.update(intent.manifest.batch_id.as_bytes());
    hasher.update(intent.manifest.hash());
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Manifest, ManifestError, ManifestMember};
    use uuid::Uuid;

    type Change = fn(&mut Intent);

    fn intent() -> Intent {
        Intent {
            id: Uuid::from_u128(1),
            chain_id: 43113,
            token: Address([1; 20]),
            destination: Address([2; 20]),
            manifest: Manifest {
                batch_id: Uuid::from_u128(1),
                members: vec![ManifestMember { id: Uuid::from_u128(2), amount: 10 }],
            },
            audit: vec!["a".to_owned()],
            fees: Fees { max_fee_per_gas: 2, max_priority_fee_per_gas: 1 },
            gas_limit: 100_000,
        }
    }

    /// Each rule has an intent that breaks this rule alone.
    #[test]
    fn every_rule_refuses() {
        assert!(check(&intent(), 43113).is_ok());
        let breaks: [(&str, Change); 11] = [
            ("chain", |i| i.chain_id = 43114),
            ("id", |i| i.id = Uuid::from_u128(3)),
            ("zero destination", |i| i.destination = Address::ZERO),
            ("destination is the token", |i| i.destination = i.token),
            ("zero token", |i| i.token = Address::ZERO),
            ("no audit", |i| i.audit.clear()),
            ("empty audit", |i| i.audit[0].clear()),
            ("long audit", |i| i.audit[0] = "x".repeat(AUDIT_LINE_BYTES_MAX + 1)),
            ("no fee", |i| i.fees.max_fee_per_gas = 0),
            ("tip above fee", |i| i.fees.max_priority_fee_per_gas = 3),
            ("gas", |i| i.gas_limit = GAS_LIMIT_CEILING + 1),
        ];
        for (name, break_it) in breaks {
            let mut broken = intent();
            break_it(&mut broken);
            assert!(check(&broken, 43113).is_err(), "{name}");
        }
        let mut empty = intent();
        empty.manifest.members.clear();
        assert!(matches!(check(&empty, 43113), Err(SignerError::Manifest(ManifestError::Empty))));
    }

    #[test]
    fn the_fingerprint_covers_what_moves_money_and_nothing_else() {
        let original = fingerprint(&intent());
        let changes: [Change; 6] = [
            |i| i.chain_id += 1,
            |i| i.token = Address([9; 20]),
            |i| i.destination = Address([9; 20]),
            |i| i.manifest.batch_id = Uuid::from_u128(9),
            |i| i.manifest.members[0].amount += 1,
            |i| i.manifest.members[0].id = Uuid::from_u128(9),
        ];
        for change in changes {
            let mut changed = intent();
            change(&mut changed);
            assert_ne!(fingerprint(&changed), original);
        }
        let mut dearer = intent();
        dearer.fees.max_fee_per_gas += 1;
        dearer.gas_limit += 1;
        dearer.audit[0].push('b');
        assert_eq!(fingerprint(&dearer), original);
    }
}
