//! Settlement: gathers members into batches, has each signed once, broadcasts the same bytes until the chain
//! has an outcome at depth, tells the off-ramp whose tokens they are, then the transfers.
//!
//! One process at a time settles: the one whose signer is open. The signer's own lock sees to that.
//!
//! A batch that does not get into a block is signed again at its own nonce for higher fees. It has failed only when
//! its nonce is used up, in a block that is final, by something that moved no tokens: a revert, or a transaction that is
//! none of its own. Until then no member of it is in another batch.

mod afterwards;
mod follow;
mod gather;
mod send;
mod tell;
#[cfg(test)]
mod tests;

use crate::{AnySigner, Node, Stop, wait};
use async_trait::async_trait;
use settla_domain::id::TransferId;
use settla_evm::{Manifest, ManifestMember, TxHash};
use settla_rails::RailError;
use settla_store::StoreError;
use settla_store::settlement::{self, Lane, Member, Settlement};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tell::Telling;
use tokio::time::timeout;
use uuid::Uuid;

/// Most batches of one status looked at in one round.
const OPEN_MAX: i64 = 64;
/// Between two looks at what waits and what is on its way.
const ROUND: Duration = Duration::from_millis(125);
/// A round that takes longer is left, as a crash would leave it.
const ROUND_MAX: Duration = Duration::from_secs(120);
/// Without a new block, what is on its way is looked at again after this.
const FOLLOW_AGAIN: Duration = Duration::from_secs(1);

/// When a batch is closed and how long it is left alone.
#[derive(Debug, Clone)]
pub struct SettlementConfig {
    /// A batch is closed when its oldest member has waited so long,
    pub window: Duration,
    /// or when its members together move so many minor units of the stablecoin.
    pub amount: i128,
    /// The same bytes are broadcast again after so long without an outcome.
    pub rebroadcast_after: Duration,
    /// Fees are raised when a transaction is still in no block after so long.
    pub bump_after: Duration,
    /// Blocks above a batch's block until it is final: a failure frees the members then, and nobody looks at a success
    /// any more.
    pub final_depth: u64,
}

impl Default for SettlementConfig {
    /// A quarter of a second, or a million; depths as on a chain that may reorganise.
    fn default() -> Self {
        Self {
            window: Duration::from_millis(250),
            amount: 1_000_000_000_000,
            rebroadcast_after: Duration::from_secs(3),
            bump_after: Duration::from_secs(20),
            final_depth: 64,
        }
    }
}

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
    let round = node.config.settlement.window.min(ROUND);
    let mut desk = SettlementDesk::new(node, signer);
    while wait(std::future::pending(), round, &mut stop).await {
        match timeout(ROUND_MAX, desk.round()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "a round of settlement did not finish"),
            Err(_) => tracing::warn!("a round of settlement was left: something it waits for does not answer"),
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
    /// When a batch's last bytes were broadcast, and how high the chain was then.
    sent: HashMap<Uuid, Sent>,
    watched_at: Option<Instant>,
    /// How high the chain was when what is on its way was last looked at, and when that was.
    followed_at: Option<(u64, Instant)>,
    telling: Telling,
}

#[derive(Clone, Copy)]
struct Sent {
    at: Instant,
    /// Not known as long as the chain could not be asked.
    height: Option<u64>,
}

impl SettlementDesk {
    fn new(node: Arc<Node>, signer: AnySigner) -> Self {
        let telling = Telling::default();
        Self { node, signer, sent: HashMap::new(), watched_at: None, followed_at: None, telling }
    }

    async fn round(&mut self) -> Result<(), RoundError> {
        // Trouble with new members must not keep batches waiting that are on their way.
        if let Err(error) = self.gather().await {
            tracing::warn!(%error, "no new batch can be made now");
        }
        self.telling.reap();
        let open = settlement::open(&self.node.store.worker, OPEN_MAX).await?;
        // Only the first nonce can be what the others wait for.
        let first = open.iter().filter(|b| b.status == "signed").filter_map(|b| b.nonce).min();
        let mut on_their_way = open.iter().filter(|batch| batch.status == "signed").count() as u128;
        let mut held = false;
        let follow = on_their_way > 0 && self.is_to_follow().await;
        for batch in &open {
            // One batch in trouble must not keep the others waiting.
            let moved = match batch.status.as_str() {
                "closed" if held => Ok(()),
                "closed" => self.sign(batch, on_their_way).await.map(|signed| {
                    held = !signed;
                    on_their_way += u128::from(signed);
                }),
                "signed" if follow => self.follow(batch, batch.nonce == first).await,
                "confirmed" => {
                    self.telling.begin(&self.node, batch);
                    Ok(())
                }
                _ => Ok(()),
            };
            if let Err(error) = moved {
                tracing::warn!(%error, batch = %batch.batch, status = batch.status, "a batch does not move on");
            }
        }
        metrics::gauge!(crate::counters::SETTLEMENT_HELD).set(if held { 1.0 } else { 0.0 });
        self.watch_finished().await
    }

    /// Whether what is on its way is to be looked at: the chain has grown since, or some time has passed.
    async fn is_to_follow(&mut self) -> bool {
        let height = self.node.chain.rpc.block_number().await.ok();
        let again = FOLLOW_AGAIN.min(self.node.config.settlement.rebroadcast_after);
        if self.followed_at.is_some_and(|(seen, at)| height.is_none_or(|height| height == seen) && at.elapsed() < again)
        {
            return false;
        }
        let seen = height.or(self.followed_at.map(|(seen, _)| seen)).unwrap_or(0);
        self.followed_at = Some((seen, Instant::now()));
        true
    }
}

/// The manifest names members by their payout, which is how the off-ramp knows them.
fn manifest(batch: Uuid, members: &[Member]) -> Manifest {
    let member = |m: &Member| ManifestMember { id: m.payout.0, amount: u128::try_from(m.amount).unwrap_or(0) };
    Manifest { batch_id: batch, members: members.iter().map(member).collect() }
}

/// One line a member, for the signer's journal.
fn audit(lane: &Lane, members: &[Member]) -> Vec<String> {
    members
        .iter()
        .map(|m| format!("tenant={} transfer={} chain={}", m.tenant.0, TransferId(m.subject), lane.chain))
        .collect()
}

fn tx_hash(batch: &Settlement) -> Result<TxHash, RoundError> {
    let text = batch.tx_hash.as_deref().ok_or(RoundError::Stored("a batch on its way without a transaction"))?;
    parse_hash(text)
}

fn parse_hash(text: &str) -> Result<TxHash, RoundError> {
    text.parse().map_err(|_| RoundError::Stored("a stored transaction hash is not readable"))
}
