//! Token batches of providers, compared with the chain once each, however many orders they serve.

use crate::Node;
use settla_rails::chain::Sighting;
use settla_rails::off_ramp::OffRamp;
use settla_rails::on_ramp::{OnRamp, TokenBatch};
use settla_rails::{ProviderTerms, RailError};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use uuid::Uuid;

/// Most batches remembered; beyond that the memory starts anew, which costs a look at the chain each.
const REMEMBERED_MAX: usize = 4_096;
/// After "not yet" the chain is not asked again before this.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// A batch that has been seen.
pub(crate) struct SeenBatch {
    /// The transaction.
    pub tx: settla_evm::TxHash,
    shares: HashMap<Uuid, u128>,
}

impl SeenBatch {
    /// What it holds for an order.
    pub fn share(&self, id: Uuid) -> Option<u128> {
        self.shares.get(&id).copied()
    }
}

/// What is known of a batch.
#[derive(Clone)]
pub(crate) enum Sighted {
    /// On chain at depth, as its manifest says.
    Seen(Arc<SeenBatch>),
    /// Not yet.
    NotYet,
    /// The chain says otherwise.
    Contradicted(&'static str),
}

/// Remembers batches.
#[derive(Default)]
pub(crate) struct Sightings {
    // One lock a batch, so that the orders of one batch wait for one look and those of others do not.
    // Whoever names another one's batch as its own learns nothing about it, and spoils nothing.
    batches: Mutex<HashMap<Named, Arc<Mutex<Look>>>>,
    terms: Mutex<HashMap<String, ProviderTerms>>,
}

/// What a batch is known by: who says so, which way the tokens went, its id.
type Named = (String, Direction, Uuid);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Direction {
    Delivery,
    Return,
}

#[derive(Default)]
struct Look {
    manifest: Option<TokenBatch>,
    result: Option<Sighted>,
    looked_at: Option<Instant>,
}

impl Sightings {
    /// An on-ramp's delivery: from its treasury to our wallet.
    pub async fn delivery(&self, node: &Node, ramp: &dyn OnRamp, id: Uuid) -> Sighted {
        let Ok(terms) = self.terms(ramp.name(), ramp.terms()).await else { return Sighted::NotYet };
        let named = (ramp.name().to_owned(), Direction::Delivery, id);
        self.sight(node, named, terms.treasury_address, ramp.delivery(id)).await
    }

    /// An off-ramp's return: from its deposit address to our wallet.
    pub async fn returned(&self, node: &Node, ramp: &dyn OffRamp, id: Uuid) -> Sighted {
        let Ok(terms) = self.terms(ramp.name(), ramp.terms()).await else { return Sighted::NotYet };
        let named = (ramp.name().to_owned(), Direction::Return, id);
        self.sight(node, named, terms.deposit_address, ramp.returned(id)).await
    }

    /// A provider's terms, asked for once.
    pub async fn terms(
        &self,
        name: &str,
        ask: impl Future<Output = Result<ProviderTerms, RailError>>,
    ) -> Result<ProviderTerms, RailError> {
        if let Some(terms) = self.terms.lock().await.get(name) {
            return Ok(terms.clone());
        }
        let terms = ask.await?;
        self.terms.lock().await.insert(name.to_owned(), terms.clone());
        Ok(terms)
    }

    async fn sight(
        &self,
        node: &Node,
        named: Named,
        from: Option<settla_evm::Address>,
        manifest: impl Future<Output = Result<TokenBatch, RailError>>,
    ) -> Sighted {
        let id = named.2;
        let look = {
            let mut batches = self.batches.lock().await;
            if batches.len() >= REMEMBERED_MAX {
                batches.clear();
            }
            Arc::clone(batches.entry(named).or_default())
        };
        let mut look = look.lock().await;
        if let Some(result) = &look.result {
            return result.clone();
        }
        if look.looked_at.is_some_and(|at| at.elapsed() < LOOK_AGAIN) {
            return Sighted::NotYet;
        }
        if look.manifest.is_none() {
            match manifest.await {
                Ok(batch) if batch.id == id => look.manifest = Some(batch),
                Ok(_) => return Sighted::Contradicted("manifest_id"),
                Err(error) => {
                    tracing::warn!(%error, "a manifest cannot be read now");
                    look.looked_at = Some(Instant::now());
                    return Sighted::NotYet;
                }
            }
        }
        let Some(batch) = &look.manifest else { return Sighted::NotYet };
        let result = match node.chain.sight(batch, from, node.wallet).await {
            Ok(Sighting::Seen) => {
                Sighted::Seen(Arc::new(SeenBatch { tx: batch.tx, shares: batch.members.iter().copied().collect() }))
            }
            Ok(Sighting::Contradicted(reason)) => Sighted::Contradicted(reason),
            Ok(Sighting::NotYet) => {
                look.looked_at = Some(Instant::now());
                return Sighted::NotYet;
            }
            Err(error) => {
                tracing::warn!(%error, "the chain cannot be asked now");
                // Those that wait for this look do not all try again one after the other.
                look.looked_at = Some(Instant::now());
                return Sighted::NotYet;
            }
        };
        look.result = Some(result.clone());
        result
    }
}
