//! Token movements as we believe them: seen on chain, at depth, with the manifest that the transaction names.

use crate::on_ramp::TokenBatch;
use settla_domain::money::Currency;
use settla_evm::{Address, Confirmation, Nodes, RpcError, manifest_hash, parse_transfer_calldata};

/// A chain that we settle on.
pub struct Chain {
    /// CAIP-2 name.
    pub name: String,
    /// Reading and broadcasting.
    pub rpc: Nodes,
    /// The stablecoin we settle in.
    pub currency: Currency,
    /// Its contract.
    pub token: Address,
    /// Blocks after which a receipt counts.
    pub depth: u64,
}

/// What the chain says about a token transfer that a provider claims to have made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sighting {
    /// At depth, with exactly this manifest, from and to the right addresses.
    Seen,
    /// Not at depth yet, or not there (yet).
    NotYet,
    /// At depth, but it is not what the provider says. The reason is a stable code.
    Contradicted(&'static str),
}

impl Chain {
    /// Compares a provider's token transfer with the chain.
    pub async fn sight(&self, batch: &TokenBatch, from: Option<Address>, to: Address) -> Result<Sighting, RpcError> {
        let receipt = match self.rpc.confirmed(&[batch.tx], self.depth).await?.into_iter().next() {
            Some(Confirmation::Succeeded { receipt }) => receipt,
            Some(Confirmation::Reverted { .. }) => return Ok(Sighting::Contradicted("reverted")),
            _ => return Ok(Sighting::NotYet),
        };
        let Some(total) = batch.members.iter().try_fold(0u128, |sum, (_, amount)| sum.checked_add(*amount)) else {
            return Ok(Sighting::Contradicted("manifest_total"));
        };
        let arrived: u128 = receipt
            .transfers
            .iter()
            .filter(|t| t.token == self.token && t.to == to && from.is_none_or(|f| f == t.from))
            .fold(0, |sum, t| sum.saturating_add(t.amount));
        if arrived != total {
            return Ok(Sighting::Contradicted("amount"));
        }
        self.check_manifest(batch).await
    }

    /// The transaction itself names the batch and the hash of its manifest, so that one transfer of tokens
    /// cannot be claimed for two sets of orders.
    async fn check_manifest(&self, batch: &TokenBatch) -> Result<Sighting, RpcError> {
        let Some(tx) = self.rpc.transaction(batch.tx).await? else { return Ok(Sighting::NotYet) };
        let named = parse_transfer_calldata(&tx.input).and_then(|call| call.batch);
        Ok(if named == Some((batch.id, manifest_hash(&batch.members))) {
            Sighting::Seen
        } else {
            Sighting::Contradicted("manifest_hash")
        })
    }

    /// Tokens that an address holds.
    pub async fn tokens_of(&self, owner: Address) -> Result<u128, RpcError> {
        self.rpc.token_balance(self.token, owner).await
    }
}
