//! Signing and broadcasting: stored before sent, the same bytes again and again, more money only at the same nonce.

use super::{RoundError, Sent, SettlementDesk, audit, manifest};
use settla_evm::{Fees, Intent, SendError, SignedTx, TOKEN_TRANSFER_GAS_LIMIT};
use settla_store::settlement::{self, NewTransaction, Settlement, SignedTransaction};
use std::time::Instant;
use uuid::Uuid;

/// Blocks that must have passed since the last signature before fees are raised: on a chain that stands still, more
/// money moves nothing.
const BUMP_BLOCKS_MIN: u64 = 2;

impl SettlementDesk {
    /// Signs, stores the bytes, then broadcasts them for the first time. Returns false when the wallet cannot pay the
    /// gas after that of those `on_their_way`: then nothing is signed, because a signed transaction that nobody takes
    /// holds up all that come after it.
    pub(super) async fn sign(&mut self, batch: &Settlement, on_their_way: u128) -> Result<bool, RoundError> {
        let chain = &self.node.chain;
        let fees = chain.rpc.fees().await?;
        if self.gas_left(fees).await? <= on_their_way {
            tracing::error!(batch = %batch.batch, "the wallet cannot pay for gas; settlement is held");
            return Ok(false);
        }
        let members = settlement::members(&self.node.store.worker, batch.batch).await?;
        let parse = |text: &str| text.parse().map_err(|_| RoundError::Stored("a stored address is not readable"));
        let intent = Intent {
            id: batch.batch,
            chain_id: chain.rpc.chain_id(),
            token: parse(&batch.lane.token)?,
            destination: parse(&batch.lane.destination)?,
            manifest: manifest(batch.batch, &members),
            audit: audit(&batch.lane, &members),
            fees,
            gas_limit: TOKEN_TRANSFER_GAS_LIMIT,
        };
        let signed = self.signer.sign(&intent).await?;
        self.store(batch.batch, &signed).await?;
        self.broadcast(batch.batch, &signed.raw).await;
        Ok(true)
    }

    /// How many settlements the wallet can pay the gas of, at these fees.
    pub(super) async fn gas_left(&self, fees: Fees) -> Result<u128, RoundError> {
        let cost = fees.max_fee_per_gas.saturating_mul(u128::from(TOKEN_TRANSFER_GAS_LIMIT)).max(1);
        let left = self.node.chain.rpc.native_balance(self.node.wallet).await? / cost;
        metrics::gauge!(crate::counters::GAS_TRANSACTIONS_LEFT).set(left as f64);
        Ok(left)
    }

    /// Signs a batch again for higher fees, if it has waited long enough while blocks were made.
    pub(super) async fn bump(&mut self, batch: &Settlement, stored: &[SignedTransaction]) -> Result<(), RoundError> {
        let last = stored.last().ok_or(RoundError::Stored("a signed batch without bytes"))?;
        let waited = u128::try_from(last.age_ms).unwrap_or(0) >= self.node.config.settlement.bump_after.as_millis();
        let height = self.node.chain.rpc.block_number().await?;
        let since = self.sent.get(&batch.batch).and_then(|sent| sent.height);
        let blocks = since.map_or(0, |since| height.saturating_sub(since));
        if !waited || blocks < BUMP_BLOCKS_MIN {
            return Ok(());
        }
        if self.learn(batch.batch, stored).await? {
            return Ok(());
        }
        let known = self.signer.find(batch.batch).await?;
        let last = known.last().ok_or(RoundError::Stored("a signed batch that the signer does not know"))?;
        let Some(raised) = last.fees.raised(self.node.chain.rpc.fees().await?) else {
            tracing::error!(batch = %batch.batch, "a batch is in no block and its fees are at the ceiling");
            return Ok(());
        };
        let members = settlement::members(&self.node.store.worker, batch.batch).await?;
        let signed = self.signer.bump(batch.batch, raised, &audit(&batch.lane, &members)).await?;
        tracing::warn!(batch = %batch.batch, nonce = signed.nonce, "a batch is in no block: its fees were raised");
        metrics::counter!(crate::counters::SETTLEMENTS_BUMPED).increment(1);
        self.store(batch.batch, &signed).await?;
        self.broadcast_anew(batch.batch, &signed.raw).await;
        Ok(())
    }

    /// The database may have lost what was signed: an answer did not arrive, its machine failed, an old copy was put
    /// back. The signer's journal has not. Stores what is missing and broadcasts the newest; returns whether anything was.
    pub(super) async fn learn(&mut self, batch: Uuid, stored: &[SignedTransaction]) -> Result<bool, RoundError> {
        let known = self.signer.find(batch).await?;
        let is_stored = |signed: &SignedTx| stored.iter().any(|tx| tx.tx_hash == signed.tx_hash.to_string());
        let Some(newest) = known.last().filter(|_| !known.iter().all(is_stored)) else { return Ok(false) };
        tracing::warn!(%batch, "the signer knows more transactions of a batch than the database");
        // In their order: the last one stored is the one that counts.
        for signed in &known {
            self.store(batch, signed).await?;
        }
        self.broadcast_anew(batch, &newest.raw).await;
        Ok(true)
    }

    async fn store(&self, batch: Uuid, signed: &SignedTx) -> Result<(), RoundError> {
        let number = |fee: u128| i64::try_from(fee).map_err(|_| RoundError::Stored("fees"));
        let new = NewTransaction {
            nonce: i64::try_from(signed.nonce).map_err(|_| RoundError::Stored("nonce"))?,
            tx_hash: &signed.tx_hash.to_string(),
            raw: &signed.raw,
            max_fee_per_gas: number(signed.fees.max_fee_per_gas)?,
            max_priority_fee_per_gas: number(signed.fees.max_priority_fee_per_gas)?,
        };
        Ok(settlement::signed(&self.node.store.worker, batch, &new).await?)
    }

    /// Broadcasts bytes for the first time: blocks are counted from now on.
    async fn broadcast_anew(&mut self, batch: Uuid, raw: &[u8]) {
        self.sent.remove(&batch);
        self.broadcast(batch, raw).await;
    }

    /// Sends the bytes. Whatever the answer, only the chain's outcome at depth counts.
    pub(super) async fn broadcast(&mut self, batch: Uuid, raw: &[u8]) {
        let height = match self.sent.get(&batch).and_then(|sent| sent.height) {
            Some(height) => Some(height),
            None => self.node.chain.rpc.block_number().await.ok(),
        };
        self.sent.insert(batch, Sent { at: Instant::now(), height });
        match self.node.chain.rpc.send_raw(raw).await {
            Ok(_) | Err(SendError::NonceTooLow) => {}
            Err(error) => tracing::warn!(%error, %batch, "broadcasting was not clearly taken"),
        }
    }
}
