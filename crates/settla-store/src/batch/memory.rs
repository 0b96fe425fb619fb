//! What batches of one process remember from one to the next: only what cannot have changed, or what a revision tells of.

use super::Subscription;
use settla_domain::id::TransferId;
use settla_domain::tenant::{TenantNo, TenantTerms};
use settla_domain::transfer::Transfer;
use settla_domain::world::Change;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// Most tenants that are remembered, and most transfers; beyond that the memory of them starts anew. A transfer takes about
/// two kilobytes.
const REMEMBERED_MAX: usize = 20_000;

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

#[derive(Debug)]
struct Kept<K, V>(Mutex<HashMap<K, V>>);

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Clone> Kept<K, V> {
    fn get(&self, key: &K) -> Option<V> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn keep(&self, key: K, value: V) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= REMEMBERED_MAX {
            kept.clear();
        }
        kept.insert(key, value);
    }
}
