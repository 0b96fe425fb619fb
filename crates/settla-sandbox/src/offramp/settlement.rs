//! A settlement: the client's statement that a token transfer was for these payouts, and its check against the chain.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use settla_evm::{Address, Manifest, ManifestMember, Receipt, RpcError, TxHash, parse_transfer_calldata};
use uuid::Uuid;

use crate::{chain::Chain, http::Problem, money::Amount};

/// One payout's share.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct SettlementMember {
    pub(crate) client_payout_id: Uuid,
    pub(crate) amount: Amount,
}

/// `POST /v1/settlements`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct SettlementRequest {
    pub(crate) tx_hash: TxHash,
    pub(crate) batch_id: Uuid,
    pub(crate) members: Vec<SettlementMember>,
}

impl SettlementRequest {
    fn manifest(&self) -> Manifest {
        let member = |m: &SettlementMember| ManifestMember { id: m.client_payout_id, amount: m.amount.0 };
        Manifest { batch_id: self.batch_id, members: self.members.iter().map(member).collect() }
    }

    /// The sum of all members, or why the manifest cannot be one.
    pub(crate) fn total(&self) -> Result<u128, Problem> {
        self.manifest().total().map_err(|error| Problem::unprocessable("invalid_manifest", error.to_string()))
    }

    /// Checks the manifest against a transaction that succeeded. `None`: the node has not said all that is needed.
    pub(crate) async fn verify(
        &self,
        chain: &Chain,
        deposit: Address,
        receipt: &Receipt,
    ) -> Result<Option<Result<(), &'static str>>, RpcError> {
        let Some(tx) = chain.rpc.transaction(self.tx_hash).await? else { return Ok(None) };
        Ok(Some(self.judge(tx.to, &tx.input, chain.token, deposit, receipt)))
    }

    fn judge(
        &self,
        called: Option<Address>,
        input: &[u8],
        token: Address,
        deposit: Address,
        receipt: &Receipt,
    ) -> Result<(), &'static str> {
        let manifest = self.manifest();
        let total = manifest.total().map_err(|_| "invalid_manifest")?;
        let call = parse_transfer_calldata(input).ok_or("not_a_token_transfer")?;
        let (batch, hash) = call.batch.ok_or("no_manifest_on_chain")?;
        let received = receipt.transfers.iter().any(|transfer| {
            transfer.token == token
                && transfer.to == deposit
                && transfer.amount == total
                && transfer.from == receipt.from
        });
        let checks = [
            (called == Some(token), "other_token"),
            (call.to == deposit, "other_destination"),
            (batch == self.batch_id, "other_batch"),
            (hash == manifest.hash(), "manifest_mismatch"),
            (call.amount == total, "total_mismatch"),
            (received, "tokens_not_received"),
        ];
        checks.into_iter().try_for_each(|(holds, reason)| if holds { Ok(()) } else { Err(reason) })
    }
}

/// What the chain said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum SettlementStatus {
    /// Not asked yet, or not in a block at depth.
    Pending,
    /// The tokens of every member are here.
    Verified,
    /// The manifest is not that of the transaction. Another one may be sent under the same id.
    Refused(String),
}

/// A settlement in the book.
pub(crate) struct Settlement {
    pub(crate) request: SettlementRequest,
    pub(crate) accepted_ms: u64,
    pub(crate) status: SettlementStatus,
}

impl Settlement {
    pub(crate) fn to_json(&self) -> Value {
        let (status, reason) = match &self.status {
            SettlementStatus::Pending => ("pending", None),
            SettlementStatus::Verified => ("verified", None),
            SettlementStatus::Refused(reason) => ("refused", Some(reason)),
        };
        let (batch_id, tx_hash) = (self.request.batch_id, self.request.tx_hash);
        json!({ "settlement": { "batch_id": batch_id, "tx_hash": tx_hash, "status": status, "reason": reason }})
    }
}

#[cfg(test)]
mod tests {
    use super::{Address, Amount, Receipt, SettlementMember, SettlementRequest, TxHash, Uuid};
    use settla_evm::{TokenTransfer, transfer_calldata};

    const TOKEN: Address = Address([1; 20]);
    const DEPOSIT: Address = Address([2; 20]);
    const PAYER: Address = Address([3; 20]);
    const TX: TxHash = TxHash([4; 32]);

    fn settlement() -> SettlementRequest {
        let member = |id, amount| SettlementMember { client_payout_id: Uuid::from_u128(id), amount: Amount(amount) };
        SettlementRequest { tx_hash: TX, batch_id: Uuid::from_u128(9), members: vec![member(1, 30), member(2, 12)] }
    }

    fn input(request: &SettlementRequest, to: Address, amount: u128) -> Vec<u8> {
        transfer_calldata(to, amount, Some((request.batch_id, request.manifest().hash())))
    }

    fn receipt(token: Address, to: Address, amount: u128) -> Receipt {
        let transfer = TokenTransfer { token, from: PAYER, to, amount, tx_hash: TX, block_number: 5, log_index: 0 };
        Receipt {
            tx_hash: TX,
            from: PAYER,
            to: Some(token),
            created_contract: None,
            block_number: 5,
            block_hash: [0; 32],
            succeeded: true,
            gas_used: 1,
            transfers: vec![transfer],
        }
    }

    #[test]
    fn each_mismatch_is_refused_by_its_own_name() {
        let request = settlement();
        let right = input(&request, DEPOSIT, 42);
        let judge = |request: &SettlementRequest, called, input: &[u8], receipt: &Receipt| {
            request.judge(called, input, TOKEN, DEPOSIT, receipt).err()
        };
        let good = receipt(TOKEN, DEPOSIT, 42);
        assert_eq!(judge(&request, Some(TOKEN), &right, &good), None);

        assert_eq!(judge(&request, Some(PAYER), &right, &good), Some("other_token"));
        assert_eq!(judge(&request, None, &right, &good), Some("other_token"));
        assert_eq!(judge(&request, Some(TOKEN), &right[..20], &good), Some("not_a_token_transfer"));
        let bare = transfer_calldata(DEPOSIT, 42, None);
        assert_eq!(judge(&request, Some(TOKEN), &bare, &good), Some("no_manifest_on_chain"));
        let elsewhere = input(&request, PAYER, 42);
        assert_eq!(judge(&request, Some(TOKEN), &elsewhere, &good), Some("other_destination"));
        let less = input(&request, DEPOSIT, 41);
        assert_eq!(judge(&request, Some(TOKEN), &less, &good), Some("total_mismatch"));
        for wrong in [receipt(TOKEN, DEPOSIT, 41), receipt(TOKEN, PAYER, 42), receipt(PAYER, DEPOSIT, 42)] {
            assert_eq!(judge(&request, Some(TOKEN), &right, &wrong), Some("tokens_not_received"));
        }

        let mut moved = settlement();
        moved.members[0].amount = Amount(29);
        moved.members[1].amount = Amount(13);
        assert_eq!(judge(&moved, Some(TOKEN), &right, &good), Some("manifest_mismatch"));
        let mut other = settlement();
        other.batch_id = Uuid::from_u128(8);
        assert_eq!(judge(&other, Some(TOKEN), &right, &good), Some("other_batch"));
    }
}
