//! Settlement: gathers members into batches, has each signed once, broadcasts the same bytes until the chain
//! has an outcome at depth, tells the off-ramp whose tokens they are, then the transfers.
//!
//! One process at a time settles: the one whose signer is open. The signer's own lock sees to that.

use crate::{AnySigner, Node, Stop, wait};
use async_trait::async_trait;
use futures_util::future::join_all;
use settla_domain::effect::{Effect, EffectKind};
use settla_domain::finding::Finding;
use settla_domain::id::{BatchId, TransferId};
use settla_evm::{Intent, Manifest, ManifestMember, SendError, TOKEN_TRANSFER_GAS_LIMIT};
use settla_rails::RailError;
use settla_rails::on_ramp::TokenBatch;
use settla_store::settlement::{self, Lane, Member, Settlement};
use settla_store::{StoreError, outbox};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Most members of a batch.
const MEMBERS_MAX: i64 = 1_000;
/// Most batches looked at in one round.
const OPEN_MAX: i64 = 64;
/// After so long without an outcome the same bytes are broadcast again.
const REBROADCAST_AFTER: Duration = Duration::from_secs(3);
/// A member whose batches keep being reverted goes to people after this many.
const BATCHES_MAX: i32 = 3;
/// A reverted batch's members wait so long before they join another.
const AFTER_REVERT_MS: i64 = 5_000;

/// Where a signer comes from: another process may have it open.
#[async_trait]
pub trait SignerSource: Send + Sync {
    /// The signer, or nothing as long as another process has it.
    async fn open(&self) -> Option<AnySigner>;
}

/// Settles until told to stop.
pub(crate) async fn run(node: Arc<Node>, source: Arc<dyn SignerSource>, mut stop: Stop) {
    let signer = loop {
        if let Some(signer) = source.open().await {
            break signer;
        }
        if !wait(std::future::pending(), Duration::from_secs(1), &mut stop).await {
            return;
        }
    };
    tracing::info!(wallet = %node.wallet, "this process settles on chain");
    let mut desk = SettlementDesk { node, signer, broadcast_at: HashMap::new() };
    let window = desk.node.config.settlement_window;
    while wait(std::future::pending(), window, &mut stop).await {
        if let Err(error) = desk.round().await {
            tracing::warn!(%error, "a round of settlement did not finish");
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Rail(#[from] RailError),
    #[error(transparent)]
    Rpc(#[from] settla_evm::RpcError),
    #[error(transparent)]
    Signer(#[from] settla_evm::SignerError),
    #[error("{0}")]
    Stored(&'static str),
}

struct SettlementDesk {
    node: Arc<Node>,
    signer: AnySigner,
    broadcast_at: HashMap<Uuid, Instant>,
}

impl SettlementDesk {
    async fn round(&mut self) -> Result<(), RoundError> {
        // Trouble with new members must not keep batches waiting that are on their way.
        if let Err(error) = self.gather().await {
            tracing::warn!(%error, "no new batch can be made now");
        }
        for batch in settlement::open(&self.node.store.worker, OPEN_MAX).await? {
            // One batch in trouble must not keep the others waiting.
            if let Err(error) = self.advance(&batch).await {
                tracing::warn!(%error, batch = %batch.batch, status = batch.status, "a batch does not move on");
            }
        }
        Ok(())
    }

    /// Puts what is due into batches, one a lane.
    async fn gather(&mut self) -> Result<(), RoundError> {
        let mut gathering = settlement::gather(&self.node.store.worker, MEMBERS_MAX).await?;
        if gathering.claims.is_empty() {
            return Ok(());
        }
        let mut lanes: BTreeMap<String, Vec<Member>> = BTreeMap::new();
        let (mut tired, mut elsewhere) = (Vec::new(), 0);
        for claim in &gathering.claims {
            match &claim.effect {
                Effect::Settle { chain, .. } if *chain != self.node.chain.name => elsewhere += 1,
                Effect::Settle { .. } if claim.attempt >= BATCHES_MAX => {
                    tired.push((claim.tenant, claim.subject, claim.id))
                }
                Effect::Settle { provider, amount, .. } => {
                    lanes.entry(provider.clone()).or_default().push(member(claim, amount.minor)?);
                }
                _ => elsewhere += 1,
            }
        }
        if elsewhere > 0 {
            tracing::error!(elsewhere, "settle effects for a chain that is not configured");
        }
        let mut batches = Vec::new();
        for (provider, members) in lanes {
            let Some(destination) = self.destination(&provider).await else {
                tracing::error!(provider, members = members.len(), "the off-ramp's deposit address is not known");
                continue;
            };
            let lane = Lane {
                chain: self.node.chain.name.clone(),
                provider,
                token: self.node.chain.token.to_string(),
                destination: destination.to_string(),
            };
            batches.push((Uuid::now_v7(), lane, members));
        }
        for (batch, lane, members) in &batches {
            let manifest = manifest(*batch, members);
            gathering.close(*batch, lane, members, &manifest.hash()).await?;
        }
        gathering.commit().await?;
        for (tenant, subject, effect) in tired {
            let finding = Finding::Unresolved { reason: "settlement_reverted".to_owned() };
            if let Err(error) = self.node.report(tenant, subject, effect, finding).await {
                tracing::warn!(%error, %effect, "a finding was not taken");
            }
        }
        Ok(())
    }

    /// Where an off-ramp takes tokens, as it says itself.
    async fn destination(&self, provider: &str) -> Option<settla_evm::Address> {
        let ramp = self.node.off_ramps.get(provider)?;
        self.node.sightings.terms(provider, ramp.terms()).await.ok()?.deposit_address
    }

    async fn advance(&mut self, batch: &Settlement) -> Result<(), RoundError> {
        match batch.status.as_str() {
            "closed" => self.sign(batch).await,
            "signed" => self.follow(batch).await,
            "confirmed" => self.tell(batch).await,
            _ => Ok(()),
        }
    }

    /// Signs, stores the bytes, then broadcasts them for the first time.
    async fn sign(&mut self, batch: &Settlement) -> Result<(), RoundError> {
        let members = settlement::members(&self.node.store.worker, batch.batch).await?;
        let manifest = manifest(batch.batch, &members);
        let audit = members
            .iter()
            .map(|m| format!("tenant={} transfer={} chain={}", m.tenant.0, TransferId(m.subject), batch.lane.chain))
            .collect();
        let parse = |text: &str| text.parse().map_err(|_| RoundError::Stored("a stored address is not readable"));
        let intent = Intent {
            id: batch.batch,
            chain_id: self.node.chain.rpc.chain_id(),
            token: parse(&batch.lane.token)?,
            destination: parse(&batch.lane.destination)?,
            manifest,
            audit,
            fees: self.node.chain.rpc.fees().await?,
            gas_limit: TOKEN_TRANSFER_GAS_LIMIT,
        };
        let signed = self.signer.sign(&intent).await?;
        let nonce = i64::try_from(signed.nonce).map_err(|_| RoundError::Stored("nonce"))?;
        settlement::signed(&self.node.store.worker, batch.batch, nonce, &signed.tx_hash.to_string(), &signed.raw)
            .await?;
        self.broadcast(batch.batch, &signed.raw).await;
        Ok(())
    }

    /// Sends the bytes. Whatever the answer, only the chain's outcome at depth counts.
    async fn broadcast(&mut self, batch: Uuid, raw: &[u8]) {
        self.broadcast_at.insert(batch, Instant::now());
        match self.node.chain.rpc.send_raw(raw).await {
            Ok(_) | Err(SendError::NonceTooLow) => {}
            Err(error) => tracing::warn!(%error, %batch, "broadcasting was not clearly taken"),
        }
    }

    async fn follow(&mut self, batch: &Settlement) -> Result<(), RoundError> {
        let (Some(tx), Some(raw)) = (&batch.tx_hash, &batch.raw) else {
            return Err(RoundError::Stored("a signed batch without bytes"));
        };
        let tx = tx.parse().map_err(|_| RoundError::Stored("a stored transaction hash is not readable"))?;
        match self.node.chain.outcome(tx).await? {
            Some(true) => {
                settlement::moved(&self.node.store.worker, batch.batch, "confirmed").await?;
                self.tell(batch).await
            }
            Some(false) => {
                tracing::error!(batch = %batch.batch, "a settlement was reverted");
                metrics::counter!(crate::counters::SETTLEMENTS_REVERTED).increment(1);
                self.broadcast_at.remove(&batch.batch);
                Ok(settlement::failed(&self.node.store.worker, batch.batch, AFTER_REVERT_MS).await?)
            }
            None => {
                let silent = self.broadcast_at.get(&batch.batch).is_none_or(|at| at.elapsed() > REBROADCAST_AFTER);
                if silent {
                    self.broadcast(batch.batch, raw).await;
                }
                Ok(())
            }
        }
    }

    /// Tells the off-ramp, then every member. Each step may be repeated.
    async fn tell(&mut self, batch: &Settlement) -> Result<(), RoundError> {
        let node = &self.node;
        let tx = batch.tx_hash.clone().ok_or(RoundError::Stored("a confirmed batch without a transaction"))?;
        let members = settlement::members(&node.store.worker, batch.batch).await?;
        let ramp =
            node.off_ramps.get(&batch.lane.provider).ok_or(RoundError::Stored("no such off-ramp is configured"))?;
        let shares = manifest(batch.batch, &members).members.iter().map(|m| (m.id, m.amount)).collect();
        let hash = tx.parse().map_err(|_| RoundError::Stored("a stored transaction hash is not readable"))?;
        ramp.announce(&TokenBatch { id: batch.batch, tx: hash, members: shares }).await?;
        // All at once, so that they share the runner's batches.
        let mut telling = Vec::with_capacity(members.len());
        for m in &members {
            let finding = Finding::Settled { batch: BatchId(batch.batch), tx: tx.clone() };
            telling.push(node.report(m.tenant, m.subject, m.effect, finding));
        }
        let told = join_all(telling).await;
        if told.iter().all(Result::is_ok) {
            settlement::moved(&node.store.worker, batch.batch, "done").await?;
            self.broadcast_at.remove(&batch.batch);
        }
        Ok(())
    }
}

fn member(claim: &outbox::Claim, amount: i128) -> Result<Member, RoundError> {
    let amount = i64::try_from(amount).map_err(|_| RoundError::Stored("amount"))?;
    Ok(Member { effect: claim.id, tenant: claim.tenant, subject: claim.subject, amount })
}

/// The manifest names members by their payout, which is how the off-ramp knows them.
fn manifest(batch: Uuid, members: &[Member]) -> Manifest {
    let member = |m: &Member| ManifestMember {
        id: EffectKind::OffRamp.id_for(m.subject).0,
        amount: u128::try_from(m.amount).unwrap_or(0),
    };
    Manifest { batch_id: batch, members: members.iter().map(member).collect() }
}
