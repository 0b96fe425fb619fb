//! Tenants' data encryption keys, unwrapped and kept for a while.

use settla_domain::tenant::TenantNo;
use settla_store::{Store, StoreError, read};
use settla_vault::{Dek, MasterKey};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Most keys kept.
const KEYS_MAX: usize = 10_000;
/// How long a key is kept.
const KEY_LIFETIME: Duration = Duration::from_secs(300);

/// Unwraps and keeps DEKs.
pub struct Keyring {
    master: Arc<MasterKey>,
    store: Store,
    keys: Mutex<HashMap<TenantNo, (Instant, Arc<Dek>)>>,
}

/// A tenant's key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The database does not give it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such tenant.
    #[error("no such tenant")]
    NoTenant,
    /// It does not open under this master key.
    #[error("the tenant's key does not open under this master key")]
    Unwrap,
}

impl Keyring {
    /// A keyring under a master key.
    pub fn new(master: Arc<MasterKey>, store: Store) -> Self {
        Self { master, store, keys: Mutex::new(HashMap::new()) }
    }

    /// The master key, for what belongs to no tenant's DEK.
    pub fn master(&self) -> &MasterKey {
        &self.master
    }

    /// A tenant's key.
    pub async fn dek(&self, tenant: TenantNo) -> Result<Arc<Dek>, KeyringError> {
        if let Some(dek) = self.kept(tenant) {
            return Ok(dek);
        }
        let mut profiles = read::profiles(&self.store.runner, &BTreeSet::from([tenant])).await?;
        let profile = profiles.remove(&tenant).ok_or(KeyringError::NoTenant)?;
        let dek = Arc::new(self.master.unwrap(&profile.dek_wrapped, tenant.0).map_err(|_| KeyringError::Unwrap)?);
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= KEYS_MAX {
            keys.retain(|_, (at, _)| at.elapsed() < KEY_LIFETIME);
        }
        if keys.len() < KEYS_MAX {
            keys.insert(tenant, (Instant::now(), Arc::clone(&dek)));
        }
        Ok(dek)
    }

    fn kept(&self, tenant: TenantNo) -> Option<Arc<Dek>> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.get(&tenant).filter(|(at, _)| at.elapsed() < KEY_LIFETIME).map(|(_, dek)| Arc::clone(dek))
    }
}
