//! From receipts to certainty.

use super::{Confirmation, Receipt, Rpc, RpcError};
use crate::TxHash;

impl Rpc {
    /// What became of these transactions, in their order, counting only blocks at `depth`. Depth 1 is the head block,
    /// depth 2 its parent, and so on; 0 counts as 1.
    ///
    /// Three HTTP requests for every 100 transactions, the third only when some have no receipt.
    pub async fn confirmed(&self, hashes: &[TxHash], depth: u64) -> Result<Vec<Confirmation>, RpcError> {
        if hashes.is_empty() {
            return Ok(Vec::new());
        }
        // The head is read before the receipts, so that a block which comes in between can only look too shallow.
        let head = self.block_number().await?;
        let receipts = self.receipts(hashes).await?;
        let without: Vec<TxHash> =
            hashes.iter().zip(&receipts).filter(|(_, receipt)| receipt.is_none()).map(|(hash, _)| *hash).collect();
        let mut known = self.ask_by_hash("eth_getTransactionByHash", &without).await?.into_iter();
        Ok(receipts
            .into_iter()
            .map(|receipt| match receipt {
                Some(receipt) => judge(receipt, head, depth),
                None => match known.next() {
                    Some(transaction) if !transaction.is_null() => Confirmation::Pending,
                    _ => Confirmation::NotFound,
                },
            })
            .collect())
    }
}

fn judge(receipt: Receipt, head: u64, depth: u64) -> Confirmation {
    let needed = receipt.block_number.saturating_add(depth.max(1) - 1);
    if needed > head {
        Confirmation::Pending
    } else if receipt.succeeded {
        Confirmation::Succeeded { receipt }
    } else {
        Confirmation::Reverted { receipt }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Address;

    fn receipt(block_number: u64, succeeded: bool) -> Receipt {
        Receipt {
            tx_hash: TxHash([1; 32]),
            from: Address::ZERO,
            to: None,
            created_contract: None,
            block_number,
            block_hash: [0; 32],
            succeeded,
            gas_used: 0,
            transfers: Vec::new(),
        }
    }

    #[test]
    fn depth_one_is_the_head_block() {
        let pending = |head, depth| judge(receipt(10, true), head, depth) == Confirmation::Pending;
        assert!(pending(9, 0) && pending(9, 1));
        assert!(!pending(10, 0) && !pending(10, 1));
        assert!(pending(10, 2) && !pending(11, 2));
        assert!(pending(u64::MAX - 1, u64::MAX));
    }

    #[test]
    fn a_revert_needs_the_same_depth_as_a_success() {
        assert_eq!(judge(receipt(10, false), 10, 2), Confirmation::Pending);
        assert!(matches!(judge(receipt(10, false), 11, 2), Confirmation::Reverted { .. }));
    }
}
