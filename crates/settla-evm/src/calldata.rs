//! The bytes of an ERC-20 `transfer` call, with the batch that it pays named behind the arguments.
//!
//! ERC-20 contracts ignore what follows their arguments, so the batch id and the manifest hash travel with the
//! transfer itself: whoever receives the tokens can check a manifest against the chain, without trusting the sender.

use alloy::primitives::U256;
use alloy::sol;
use alloy::sol_types::SolCall;
use uuid::Uuid;

use crate::Address;

sol! {
    function transfer(address to, uint256 amount) returns (bool);
}

const CALL_BYTES: usize = 4 + 32 + 32;
const BATCH_BYTES: usize = 16 + 32;

/// A decoded `transfer` call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferCall {
    /// Who receives the tokens.
    pub to: Address,
    /// Token minor units.
    pub amount: u128,
    /// Batch id and manifest hash, where the sender named them.
    pub batch: Option<(Uuid, [u8; 32])>,
}

/// Encodes `transfer(to, amount)`, followed by 16 bytes batch id and 32 bytes manifest hash when given.
#[must_use]
pub fn transfer_calldata(to: Address, amount: u128, batch: Option<(Uuid, [u8; 32])>) -> Vec<u8> {
    let mut data = transferCall { to: to.into(), amount: U256::from(amount) }.abi_encode();
    if let Some((id, hash)) = batch {
        data.extend_from_slice(id.as_bytes());
        data.extend_from_slice(&hash);
    }
    data
}

/// Decodes what [`transfer_calldata`] encodes, and nothing else: another function, another length, dirty padding or an
/// amount over 128 bits is `None`.
#[must_use]
pub fn parse_transfer_calldata(data: &[u8]) -> Option<TransferCall> {
    let (call, rest) = data.split_at_checked(CALL_BYTES)?;
    let call = transferCall::abi_decode_validate(call).ok()?;
    let batch = match rest.len() {
        0 => None,
        BATCH_BYTES => {
            let (id, hash) = rest.split_at(16);
            Some((Uuid::from_slice(id).ok()?, hash.try_into().ok()?))
        }
        _ => return None,
    };
    Some(TransferCall { to: call.to.into(), amount: u128::try_from(call.amount).ok()?, batch })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_bytes() {
        let to = Address([0x11; 20]);
        let data = transfer_calldata(to, 1_000_000, Some((Uuid::from_u128(7), [0xab; 32])));
        let expected =
            format!("a9059cbb{}{}{:064x}{:032x}{}", "00".repeat(12), "11".repeat(20), 1_000_000, 7, "ab".repeat(32));
        assert_eq!(hex::encode(data), expected);
    }

    #[test]
    fn other_calls_are_not_transfers() {
        let good = transfer_calldata(Address([1; 20]), 5, None);
        let mut other_function = good.clone();
        other_function[0] ^= 1;
        let mut dirty_padding = good.clone();
        dirty_padding[4] = 1;
        let mut too_much = good.clone();
        too_much[36] = 1;
        let mut trailing = good.clone();
        trailing.push(0);
        for bad in [&good[..good.len() - 1], &other_function, &dirty_padding, &too_much, &trailing, &[]] {
            assert_eq!(parse_transfer_calldata(bad), None);
        }
    }

    proptest! {
        #[test]
        fn round_trip(to: [u8; 20], amount: u128, batch: Option<(u128, [u8; 32])>) {
            let batch = batch.map(|(id, hash)| (Uuid::from_u128(id), hash));
            let data = transfer_calldata(Address(to), amount, batch);
            prop_assert_eq!(parse_transfer_calldata(&data), Some(TransferCall { to: Address(to), amount, batch }));
        }

        #[test]
        fn garbage_never_panics(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_transfer_calldata(&data);
        }
    }
}
