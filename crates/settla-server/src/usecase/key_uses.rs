//! That keys were used, gathered and written down every few seconds: a write for each request would cost more than the
//! request.

use crate::clock::now;
use settla_domain::id::KeyId;
use settla_domain::time::Timestamp;
use settla_store::{Store, StoreError, read};
use settla_vault::KeyHash;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What `last_used_at` may be behind, and what a kill loses of it.
const EVERY: Duration = Duration::from_secs(10);
/// Most keys noted between two writes; the use of any other is noted the next time.
const NOTED_MAX: usize = 10_000;
/// Most keys hashed anew between two writes.
const REHASHED_MAX: usize = 500;

type Hash = [u8; 32];

/// What is to be written down.
#[derive(Default)]
pub(super) struct KeyUses(Mutex<Noted>);

#[derive(Default)]
struct Noted {
    used: HashMap<KeyId, Timestamp>,
    /// From the hash under an older secret to the one under the present secret, with its version.
    rehashed: HashMap<Hash, (Hash, u16)>,
}

impl KeyUses {
    /// Writes down until it is dropped.
    pub fn start(store: &Store) -> Arc<Self> {
        let uses = Arc::<Self>::default();
        let (watched, store) = (Arc::downgrade(&uses), store.clone());
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(EVERY).await;
                let Some(uses) = watched.upgrade() else { return };
                if let Err(error) = uses.write(&store).await {
                    tracing::warn!(%error, "when keys were used cannot be written down now");
                }
            }
        });
        uses
    }

    /// A key was used.
    pub fn note(&self, key: KeyId) {
        let at = now();
        let mut noted = self.noted();
        if noted.used.len() < NOTED_MAX || noted.used.contains_key(&key) {
            noted.used.insert(key, at);
        }
    }

    /// A key was found by its hash under an older secret.
    pub fn note_older_hash(&self, older: &KeyHash, present: &KeyHash) {
        let mut noted = self.noted();
        if noted.rehashed.len() < REHASHED_MAX {
            noted.rehashed.insert(*older.as_bytes(), (*present.as_bytes(), present.version()));
        }
    }

    async fn write(&self, store: &Store) -> Result<(), StoreError> {
        let Noted { used, rehashed } = std::mem::take(&mut *self.noted());
        if !used.is_empty()
            && let Err(error) = read::note_key_uses(&store.app, &used).await
        {
            // What has been noted since is later. Keys to be hashed anew are noted again when they are used.
            let mut noted = self.noted();
            let room = NOTED_MAX.saturating_sub(noted.used.len());
            for (key, at) in used.into_iter().take(room) {
                noted.used.entry(key).or_insert(at);
            }
            return Err(error);
        }
        for (older, (present, version)) in rehashed {
            read::rehash_api_key(&store.app, &older, &present, version).await?;
        }
        Ok(())
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn what_is_noted_has_a_bound_and_the_latest_use_counts() {
        let uses = KeyUses::default();
        let key = |n: usize| KeyId(Uuid::from_u128(n as u128));
        (0..NOTED_MAX + 5).for_each(|n| uses.note(key(n)));
        assert_eq!(uses.noted().used.len(), NOTED_MAX);
        let first = uses.noted().used[&key(3)];
        while now() == first {
            std::hint::spin_loop();
        }
        uses.note(key(3));
        assert!(uses.noted().used[&key(3)] > first);
        for n in 0..REHASHED_MAX + 5 {
            let mut mac = [0; 32];
            mac[..8].copy_from_slice(&n.to_be_bytes());
            uses.note_older_hash(&KeyHash::from_parts(1, mac), &KeyHash::from_parts(2, mac));
        }
        assert_eq!(uses.noted().rehashed.len(), REHASHED_MAX);
    }
}
