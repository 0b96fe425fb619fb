//! What Settla itself adds to a payment's time: all of it, less what the providers and the chain took.
//!
//! A provider's time counts from when it has accepted an order to when it has booked it, both by its own statement, an
//! on-ramp's until its delivery is at depth; the chain's from our first signature to the block that makes the depth, as
//! seen here. Whatever lies between these, waiting for a batch's window with it, is Settla's.

use super::load::Created;
use crate::dev::DEPTH;
use crate::failure::Failure;
use crate::local::{ServerFacts, System};
use serde::Deserialize;
use settla_domain::effect::EffectKind;
use settla_evm::{Rpc, TxHash};
use settla_store::Store;
use sqlx::Row;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

/// How often the chain is asked for its height.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Lines of a statement that are asked for at once.
const PAGE: usize = 1_000;
/// Receipts that are asked for at once.
const RECEIPTS: usize = 50;
const PATIENCE: Duration = Duration::from_secs(30);

/// When blocks were first seen.
pub(super) struct Heads {
    first_seen: Arc<Mutex<BTreeMap<u64, SystemTime>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Heads {
    /// Looks until dropped.
    pub async fn watch(system: &System) -> Result<Self, Failure> {
        let rpc = Rpc::connect(&system.facts.rpc_url, system.facts.chain_id).await?;
        let first_seen = Arc::<Mutex<BTreeMap<u64, SystemTime>>>::default();
        let seen = Arc::clone(&first_seen);
        let task = tokio::spawn(async move {
            loop {
                if let Ok(height) = rpc.block_number().await {
                    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.entry(height).or_insert_with(SystemTime::now);
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        Ok(Self { first_seen, task })
    }

    /// When this height, or one above it, was there.
    fn reached(&self, height: u64) -> Option<SystemTime> {
        let seen = self.first_seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.range(height..).next().map(|(_, at)| *at)
    }
}

impl Drop for Heads {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// From when to when something was in others' hands.
type Span = (SystemTime, SystemTime);

/// What Settla took of a payment's time, in the order in which it passes.
#[derive(Debug, Default)]
pub(super) struct Added {
    /// From the intended send to the on-ramp's acceptance.
    pub to_on_ramp: Vec<Duration>,
    /// From the on-ramp's delivery at depth to our first signature: the batch's window is in it.
    pub to_chain: Vec<Duration>,
    /// From the depth to the off-ramp's acceptance of the payout.
    pub to_off_ramp: Vec<Duration>,
    /// From the off-ramp's booking to the webhook.
    pub to_webhook: Vec<Duration>,
    /// All of it.
    pub total: Vec<Duration>,
}

/// What Settla added to each transfer that has ended so. Those that took another way than the usual one, or whose
/// lines are missing, are left out.
pub(super) async fn added(
    system: &System,
    db: &Store,
    heads: &Heads,
    ended: impl Iterator<Item = (&Created, Instant)>,
) -> Result<Added, Failure> {
    let anchor = (Instant::now(), SystemTime::now());
    let clock = |at: Instant| anchor.1 - anchor.0.duration_since(at);
    let rpc = Rpc::connect(&system.facts.rpc_url, system.facts.chain_id).await?;
    let mut lines = Vec::new();
    for server in system.facts.on_ramps.iter().chain(&system.facts.off_ramps) {
        read_statement(server, &mut lines).await?;
    }
    let deliveries = deep(&rpc, heads, lines.iter().filter_map(|line| line.tx_hash).collect()).await?;
    let mut booked: HashMap<Uuid, Span> = HashMap::new();
    for line in &lines {
        let by_itself = instant(&line.booked_at)?;
        let deep = line.tx_hash.and_then(|hash| deliveries.get(&hash));
        booked.insert(line.id, (instant(&line.accepted_at)?, deep.map_or(by_itself, |deep| by_itself.max(*deep))));
    }
    let on_chain = on_chain(&rpc, db, heads).await?;
    let mut added = Added::default();
    for (created, at) in ended {
        let spans = (
            booked.get(&EffectKind::OnRamp.id_for(created.id).0),
            on_chain.get(&created.id),
            booked.get(&EffectKind::OffRamp.id_for(created.id).0),
        );
        let (Some(on_ramp), Some(chain), Some(off_ramp)) = spans else { continue };
        let since = |to: SystemTime, from: SystemTime| to.duration_since(from).unwrap_or_default();
        let parts = [
            since(on_ramp.0, clock(created.intended)),
            since(chain.0, on_ramp.1),
            since(off_ramp.0, chain.1),
            since(clock(at), off_ramp.1),
        ];
        added.to_on_ramp.push(parts[0]);
        added.to_chain.push(parts[1]);
        added.to_off_ramp.push(parts[2]);
        added.to_webhook.push(parts[3]);
        added.total.push(parts.iter().sum());
    }
    Ok(added)
}

#[derive(Deserialize)]
struct Page {
    entries: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    seq: u64,
    id: Uuid,
    accepted_at: String,
    booked_at: String,
    tx_hash: Option<TxHash>,
}

/// What a ramp has booked.
async fn read_statement(server: &ServerFacts, lines: &mut Vec<Line>) -> Result<(), Failure> {
    let client = reqwest::Client::builder().timeout(PATIENCE).build()?;
    let mut after = 0;
    loop {
        let url = format!("{}/v1/statement?after={after}&limit={PAGE}", server.url);
        let answer = client.get(url).bearer_auth(&server.key).send().await?.error_for_status()?;
        let page: Page = answer.json().await?;
        let Some(last) = page.entries.last() else { return Ok(()) };
        after = last.seq;
        lines.extend(page.entries);
    }
}

fn instant(rfc3339: &str) -> Result<SystemTime, Failure> {
    let at = OffsetDateTime::parse(rfc3339, &Rfc3339).map_err(|_| Failure::new("a statement's line has no time"))?;
    Ok(at.into())
}

/// When each of these transactions was at depth.
async fn deep(rpc: &Rpc, heads: &Heads, hashes: HashSet<TxHash>) -> Result<HashMap<TxHash, SystemTime>, Failure> {
    let hashes: Vec<TxHash> = hashes.into_iter().collect();
    let mut deep = HashMap::new();
    for some in hashes.chunks(RECEIPTS) {
        for (hash, receipt) in some.iter().zip(rpc.receipts(some).await?) {
            let at = receipt.and_then(|receipt| heads.reached(receipt.block_number + DEPTH.max(1) - 1));
            deep.extend(at.map(|at| (*hash, at)));
        }
    }
    Ok(deep)
}

/// From the first signature of each transfer's batch to the block that made the depth.
async fn on_chain(rpc: &Rpc, db: &Store, heads: &Heads) -> Result<HashMap<Uuid, Span>, Failure> {
    let query = "SELECT s.batch, s.tx_hash, (SELECT min(signed_at) FROM settlement_transactions t WHERE t.batch = s.batch) AS signed
                 FROM settlements s WHERE s.status = 'done' AND s.tx_hash IS NOT NULL";
    let mut signed: HashMap<TxHash, (Uuid, OffsetDateTime)> = HashMap::new();
    for row in sqlx::query(query).fetch_all(&db.auditor).await? {
        let hash: TxHash = row.try_get::<String, _>("tx_hash")?.parse().map_err(|_| Failure::new("an odd hash"))?;
        signed.insert(hash, (row.try_get("batch")?, row.try_get("signed")?));
    }
    let deep = deep(rpc, heads, signed.keys().copied().collect()).await?;
    let span =
        |(hash, at): (TxHash, SystemTime)| signed.get(&hash).map(|(batch, signed)| (*batch, ((*signed).into(), at)));
    let batches: HashMap<Uuid, Span> = deep.into_iter().filter_map(span).collect();
    let members = sqlx::query("SELECT batch, subject FROM settlement_members WHERE NOT released");
    let mut spans = HashMap::new();
    for row in members.fetch_all(&db.auditor).await? {
        if let Some(span) = batches.get(&row.try_get("batch")?) {
            spans.insert(row.try_get("subject")?, *span);
        }
    }
    Ok(spans)
}
