//! Asks the chain for the transactions that clients announced.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use settla_evm::{Confirmation, RpcError, TxHash};
use uuid::Uuid;

use super::{
    Offramp,
    ledger::Record,
    settlement::{SettlementRequest, SettlementStatus},
};
use crate::{chain::Chain, clock::now_ms, error::StoreError, stop::Stop};

/// Between two looks while something is open. A node tells of receipts only when it is asked.
const LOOK_EVERY: Duration = Duration::from_millis(150);
/// Longest wait between two questions about one transaction: those that never come must not crowd out the others.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// Wait after the node did not answer.
const FAILED_WAIT: Duration = Duration::from_secs(1);
/// Most settlements in one look.
const LOOK_MAX: usize = 200;

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Rpc(#[from] RpcError),
}

/// When a settlement was last asked for, and how long to wait before the next time.
struct Asked {
    at: Instant,
    wait: Duration,
}

/// Works until it is time to stop.
pub(super) async fn run(offramp: Arc<Offramp>, chain: Chain, stop: Stop) {
    let mut asked = HashMap::new();
    stop.or(async {
        loop {
            match look(&offramp, &chain, &mut asked).await {
                Ok(true) => tokio::time::sleep(LOOK_EVERY).await,
                Ok(false) => offramp.settlement_bell.notified().await,
                Err(trouble) => {
                    tracing::warn!(%trouble, "settlements cannot be checked for a moment");
                    tokio::time::sleep(FAILED_WAIT).await;
                }
            }
        }
    })
    .await;
}

/// One look; says whether anything is still open.
async fn look(offramp: &Offramp, chain: &Chain, asked: &mut HashMap<Uuid, Asked>) -> Result<bool, Trouble> {
    let is_due = |id: &Uuid| asked.get(id).is_none_or(|asked| asked.at.elapsed() >= asked.wait);
    let (any_open, due): (bool, Vec<SettlementRequest>) = offramp
        .book
        .read(|ledger| {
            let due = ledger.unverified.iter().map(|(_, id)| id).filter(|id| is_due(id)).take(LOOK_MAX);
            let requests = due.filter_map(|id| ledger.settlements.get(id)).map(|open| open.request.clone());
            (!ledger.unverified.is_empty(), requests.collect())
        })
        .await?;
    let hashes: Vec<TxHash> = due.iter().map(|request| request.tx_hash).collect();
    let found = chain.rpc.confirmed(&hashes, chain.depth).await?;
    let mut records = Vec::new();
    for (request, confirmation) in due.into_iter().zip(found) {
        let id = request.batch_id;
        let verdict = match confirmation {
            Confirmation::NotFound | Confirmation::Pending => None,
            Confirmation::Reverted { .. } => Some(Err("transfer_reverted")),
            Confirmation::Succeeded { receipt } => request.verify(chain, offramp.deposit, &receipt).await?,
        };
        match verdict {
            None => {
                let wait = asked.get(&id).map_or(LOOK_EVERY, |asked| (asked.wait * 2).min(WAIT_MAX));
                asked.insert(id, Asked { at: Instant::now(), wait });
            }
            Some(verdict) => {
                asked.remove(&id);
                records.push((request, verdict));
            }
        }
    }
    if !records.is_empty() {
        note(offramp, records).await?;
        offramp.bell.notify_one();
    }
    Ok(any_open)
}

async fn note(
    offramp: &Offramp,
    verdicts: Vec<(SettlementRequest, Result<(), &'static str>)>,
) -> Result<(), StoreError> {
    offramp
        .book
        .commit(|change| {
            for (request, verdict) in verdicts {
                let settlement = request.batch_id;
                let known = change.ledger().settlements.get(&settlement);
                if known.is_none_or(|known| known.status != SettlementStatus::Pending) {
                    continue;
                }
                change.write(match verdict {
                    Ok(()) => Record::SettlementVerified { settlement, at_ms: now_ms() },
                    Err(reason) => {
                        tracing::warn!(batch_id = %settlement, reason, "settlement refused");
                        Record::SettlementRefused { settlement, reason: reason.to_owned() }
                    }
                });
            }
        })
        .await
}
