//! What batches of one process remember from one to the next: only what cannot have changed, or what a revision tells of.

use super::Subscription;
use settla_domain::id::TransferId;
use settla_domain::tenant::{TenantNo, TenantTerms};
use settla_domain::transfer::Transfer;
use settla_domain::world::Change;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// Most tenants that are remembered, and most transfers. A transfer takes about two kilobytes.
const REMEMBERED_MAX: usize = 40_000;

/// What is remembered.
#[derive(Debug, Default)]
pub struct Memory {
    /// Holds as long as the revision in the tenant's lock row says so, which whoever has that row locked knows for sure.
    tenants: Kept<TenantNo, Agreement>,
    /// As they were when they became known. The database lets nobody change more of them than [`Transfer::state`], version,
    /// progress and the time of the last change, which every batch reads.
    transfers: Kept<(TenantNo, TransferId), Arc<Transfer>>,
}

/// What was agreed with a tenant.
#[derive(Debug, Clone)]
pub(super) struct Agreement {
    pub revision: i64,
    pub terms: TenantTerms,
    pub endpoints: Arc<[Subscription]>,
}

impl Memory {
    pub(super) fn agreement(&self, tenant: TenantNo, revision: i64) -> Option<Agreement> {
        self.tenants.get(&tenant).filter(|agreement| agreement.revision == revision)
    }

    pub(super) fn agree(&self, tenant: TenantNo, agreement: Agreement) {
        self.tenants.keep(tenant, agreement);
    }

    pub(super) fn transfer(&self, key: &(TenantNo, TransferId)) -> Option<Arc<Transfer>> {
        self.transfers.get(key)
    }

    pub(super) fn keep(&self, transfer: &Transfer) {
        self.transfers.keep((transfer.tenant, transfer.id), Arc::new(transfer.clone()));
    }

    /// Remembers the transfers that a batch has made, once it is committed.
    pub fn committed(&self, changes: &[Change]) {
        for change in changes {
            if let Change::TransferCreated(transfer) = change {
                self.keep(transfer);
            }
        }
    }
}

/// In two generations: when the younger is full it becomes the elder, whose entries are forgotten. So what was kept lately is
/// there, however much there is; forgetting all at once would have everything that is under way read anew.
#[derive(Debug)]
struct Kept<K, V>(Mutex<Generations<K, V>>);

#[derive(Debug)]
struct Generations<K, V> {
    younger: HashMap<K, V>,
    elder: HashMap<K, V>,
}

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self(Mutex::new(Generations { younger: HashMap::new(), elder: HashMap::new() }))
    }
}

impl<K: Eq + Hash, V: Clone> Kept<K, V> {
    fn get(&self, key: &K) -> Option<V> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.younger.get(key).or_else(|| kept.elder.get(key)).cloned()
    }

    fn keep(&self, key: K, value: V) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.younger.len() >= REMEMBERED_MAX / 2 {
            kept.elder = std::mem::take(&mut kept.younger);
        }
        kept.younger.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_lately_is_there_and_there_is_a_bound() {
        let kept = Kept::default();
        kept.keep(0, "before");
        for key in 0..3 * REMEMBERED_MAX {
            kept.keep(key, "now");
            let lately = key.saturating_sub(REMEMBERED_MAX / 2 - 1)..=key;
            assert_eq!((kept.get(lately.start()), kept.get(&key)), (Some("now"), Some("now")));
        }
        let remembered = (0..3 * REMEMBERED_MAX).filter(|key| kept.get(key).is_some()).count();
        assert!(remembered <= REMEMBERED_MAX, "{remembered}");
    }
}
