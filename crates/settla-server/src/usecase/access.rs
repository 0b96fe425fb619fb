//! Keys and what was agreed with their tenants: looked up for all requests that come together, and remembered.
//!
//! What is remembered holds only while this process knows that nothing has changed: a task asks for the number that every
//! change moves up ([`POLL_EVERY`]). A change empties the memory, and without an answer for [`TRUSTED_FOR`] nothing is
//! taken from it. So a key that is revoked, or a tenant that is suspended, is refused everywhere within a second, also by
//! a process that cannot reach the database any more.

use super::from_together;
use crate::clock::now;
use settla_domain::tenant::TenantNo;
use settla_port::error::PortError;
use settla_store::Store;
use settla_store::read::{self, KeyMatch, TenantProfile};
use settla_store::together::Together;
use settla_vault::Environment;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Between two questions whether anything has changed.
const POLL_EVERY: Duration = Duration::from_millis(250);
/// How old the last answer may be, counted from its question.
const TRUSTED_FOR: Duration = Duration::from_millis(900);
/// Most keys, and most profiles, remembered; beyond that the memory starts anew.
const REMEMBERED_MAX: usize = 10_000;

/// Look-ups, and their memory.
pub(super) struct Access {
    memory: Arc<Mutex<Memory>>,
    keys: Together<Vec<u8>, Option<KeyMatch>>,
    profiles: Together<TenantNo, Option<Arc<TenantProfile>>>,
}

#[derive(Default)]
struct Memory {
    /// The revision that everything here is of, and when it was asked for last.
    revision: Option<(i64, Instant)>,
    keys: HashMap<Vec<u8>, KeyMatch>,
    profiles: HashMap<TenantNo, Arc<TenantProfile>>,
}

impl Memory {
    /// The database said so, to a question of this moment.
    fn heard(&mut self, revision: i64, asked_at: Instant) {
        if self.revision.is_none_or(|(before, _)| before != revision) {
            self.keys.clear();
            self.profiles.clear();
        }
        self.revision = Some((revision, asked_at));
    }

    /// The present revision, if it can be trusted.
    fn revision(&self, now: Instant) -> Option<i64> {
        self.revision.filter(|(_, at)| now.duration_since(*at) < TRUSTED_FOR).map(|(revision, _)| revision)
    }
}

fn remember<K: Eq + Hash, V>(kept: &mut HashMap<K, V>, key: K, value: V) {
    if kept.len() >= REMEMBERED_MAX {
        kept.clear();
    }
    kept.insert(key, value);
}

impl Access {
    pub fn start(store: &Store, environment: Environment) -> Self {
        let memory = Arc::new(Mutex::new(Memory::default()));
        let (watched, asked) = (Arc::downgrade(&memory), store.clone());
        tokio::spawn(async move {
            let mut poll = tokio::time::interval(POLL_EVERY);
            poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                poll.tick().await;
                let asked_at = Instant::now();
                let revision = read::access_revision(&asked.app).await;
                let Some(memory) = watched.upgrade() else { return };
                match revision {
                    Ok(revision) => lock(&memory).heard(revision, asked_at),
                    Err(error) => tracing::warn!(%error, "whether keys have changed cannot be read now"),
                }
            }
        });
        let (one, other) = (store.clone(), store.clone());
        let keys = Together::start(move |hashes: Vec<Vec<u8>>| {
            let store = one.clone();
            async move {
                let asked: Vec<&[u8]> = hashes.iter().map(Vec::as_slice).collect();
                let found = read::find_api_keys(&store.app, &asked, environment.as_str()).await?;
                Ok(hashes.iter().map(|hash| found.get(hash).cloned()).collect())
            }
        });
        let profiles = Together::start(move |tenants: Vec<TenantNo>| {
            let store = other.clone();
            async move {
                let asked = tenants.iter().copied().collect();
                let found = read::profiles(&store.runner, &asked).await?;
                let found: HashMap<_, _> = found.into_iter().map(|(tenant, found)| (tenant, Arc::new(found))).collect();
                Ok(tenants.iter().map(|tenant| found.get(tenant).cloned()).collect())
            }
        });
        Self { memory, keys, profiles }
    }

    /// The key of this hash, if it is good.
    pub async fn key(&self, hash: &[u8]) -> Result<Option<KeyMatch>, PortError> {
        let is_good = |key: &KeyMatch| key.expires_at.is_none_or(|at| now() < at);
        let (revision, kept) = {
            let memory = lock(&self.memory);
            let revision = memory.revision(Instant::now());
            (revision, revision.and_then(|_| memory.keys.get(hash).cloned()))
        };
        if let Some(kept) = kept {
            return Ok(Some(kept).filter(is_good));
        }
        let found = self.keys.ask(hash.to_vec()).await.map_err(from_together)?;
        // What is no key is not remembered: anybody can think of such.
        if let Some(found) = &found {
            self.keep(revision, |memory| remember(&mut memory.keys, hash.to_vec(), found.clone()));
        }
        Ok(found.filter(is_good))
    }

    /// What was agreed with a tenant.
    pub async fn profile(&self, tenant: TenantNo) -> Result<Option<Arc<TenantProfile>>, PortError> {
        let (revision, kept) = {
            let memory = lock(&self.memory);
            let revision = memory.revision(Instant::now());
            (revision, revision.and_then(|_| memory.profiles.get(&tenant).cloned()))
        };
        if kept.is_some() {
            return Ok(kept);
        }
        let found = self.profiles.ask(tenant).await.map_err(from_together)?;
        if let Some(found) = &found {
            self.keep(revision, |memory| remember(&mut memory.profiles, tenant, Arc::clone(found)));
        }
        Ok(found)
    }

    /// Only if the revision is the one that was there before the question: else the answer may be older than the change.
    fn keep(&self, before: Option<i64>, keep: impl FnOnce(&mut Memory)) {
        let mut memory = lock(&self.memory);
        if before.is_some() && memory.revision(Instant::now()) == before {
            keep(&mut memory);
        }
    }
}

fn lock(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use settla_domain::id::KeyId;
    use settla_store::operator::RateOverrides;
    use uuid::Uuid;

    fn key() -> KeyMatch {
        let rate_limits = RateOverrides::default();
        KeyMatch {
            id: KeyId(Uuid::nil()),
            tenant: TenantNo(1),
            scopes: Vec::new(),
            allowed_ips: Vec::new(),
            expires_at: None,
            rate_limits,
        }
    }

    #[test]
    fn a_memory_is_of_one_revision_and_of_less_than_a_second_ago() {
        let (mut memory, at) = (Memory::default(), Instant::now());
        assert_eq!(memory.revision(at), None, "nothing is known yet");
        memory.heard(7, at);
        remember(&mut memory.keys, vec![1], key());
        memory.heard(7, at + POLL_EVERY);
        assert_eq!((memory.revision(at + TRUSTED_FOR), memory.keys.len()), (Some(7), 1));
        assert_eq!(memory.revision(at + POLL_EVERY + TRUSTED_FOR), None, "nobody has said so lately");
        // Any other number: a database that was put back counts from an earlier one.
        for revision in [8, 3] {
            memory.heard(revision, at);
            assert!(memory.keys.is_empty());
            remember(&mut memory.keys, vec![1], key());
        }
    }

    #[tokio::test]
    async fn an_answer_from_before_a_change_is_not_remembered() {
        let nothing = || Together::start(|asked: Vec<Vec<u8>>| std::future::ready(Ok(vec![None; asked.len()])));
        let profiles = Together::start(|asked: Vec<TenantNo>| std::future::ready(Ok(vec![None; asked.len()])));
        let access = Access { memory: Arc::default(), keys: nothing(), profiles };
        let kept = |before| {
            access.keep(before, |memory| remember(&mut memory.keys, vec![1], key()));
            lock(&access.memory).keys.len()
        };
        assert_eq!(kept(None), 0, "asked before anything was known");
        lock(&access.memory).heard(1, Instant::now());
        assert_eq!(kept(None), 0);
        lock(&access.memory).heard(2, Instant::now());
        assert_eq!(kept(Some(1)), 0, "asked before the change");
        assert_eq!(kept(Some(2)), 1);
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let mut kept = HashMap::new();
        for n in 0..REMEMBERED_MAX + 5 {
            remember(&mut kept, n, ());
        }
        assert_eq!(kept.len(), 5);
    }
}
