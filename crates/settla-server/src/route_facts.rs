//! What is known of the ways: how providers did in the last hour, and what operators have switched off. Kept for a short
//! time each, so that quotes and workers do not ask the database every time.

use settla_domain::effect::EffectKind;
use settla_domain::money::Currency;
use settla_rails::router::Record;
use settla_store::routes::{self, SwitchKind};
use settla_store::{Store, StoreError};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// What counts as lately.
const WINDOW: Duration = Duration::from_secs(3_600);
/// A switch is heeded everywhere after this.
const SWITCHES_KEPT_FOR: Duration = Duration::from_secs(1);
const RECORDS_KEPT_FOR: Duration = Duration::from_secs(5);

/// Records by provider (for a settlement: the chain) and step.
pub type Records = HashMap<(String, EffectKind), Record>;

/// The facts, shared by all quotes and workers of a process.
pub struct RouteFacts {
    store: Store,
    switches: Mutex<Option<(Instant, Arc<Switches>)>>,
    records: Mutex<Option<(Instant, Arc<Records>)>>,
}

/// What is switched off.
#[derive(Debug, Default)]
pub struct Switches {
    off: HashSet<(SwitchKind, String)>,
}

impl Switches {
    /// Whether a provider gets new orders.
    pub fn is_provider_on(&self, name: &str) -> bool {
        !self.off.contains(&(SwitchKind::Provider, name.to_owned()))
    }

    /// Whether a pair of currencies is quoted.
    pub fn is_corridor_on(&self, source: Currency, destination: Currency) -> bool {
        !self.off.contains(&(SwitchKind::Corridor, corridor(source, destination)))
    }
}

/// A corridor's name, `GBP-NGN`.
pub fn corridor(source: Currency, destination: Currency) -> String {
    format!("{source}-{destination}")
}

impl RouteFacts {
    /// Facts of this database.
    pub fn new(store: Store) -> Self {
        Self { store, switches: Mutex::new(None), records: Mutex::new(None) }
    }

    /// What is switched off, at most a second ago.
    pub async fn switches(&self) -> Result<Arc<Switches>, StoreError> {
        // The lock is held over the question on purpose: whoever asks meanwhile waits for the same answer.
        let mut kept = self.switches.lock().await;
        if let Some((at, switches)) = kept.as_ref()
            && at.elapsed() < SWITCHES_KEPT_FOR
        {
            return Ok(Arc::clone(switches));
        }
        let rows = routes::switched_off(&self.store.app).await?;
        let off = rows.into_iter().map(|row| (row.kind, row.name)).collect();
        let switches = Arc::new(Switches { off });
        *kept = Some((Instant::now(), Arc::clone(&switches)));
        Ok(switches)
    }

    /// How providers did in the last hour, as of at most five seconds ago.
    pub async fn records(&self) -> Result<Arc<Records>, StoreError> {
        let mut kept = self.records.lock().await;
        if let Some((at, records)) = kept.as_ref()
            && at.elapsed() < RECORDS_KEPT_FOR
        {
            return Ok(Arc::clone(records));
        }
        let number = |n: i64| u64::try_from(n).unwrap_or(0);
        let rows = routes::measured(&self.store.app, WINDOW).await?;
        let record = |m: &routes::Measured| Record {
            succeeded: number(m.succeeded),
            failed: number(m.failed),
            milliseconds: number(m.milliseconds),
        };
        let records: Records = rows.into_iter().map(|m| ((m.provider.clone(), m.step), record(&m))).collect();
        let records = Arc::new(records);
        *kept = Some((Instant::now(), Arc::clone(&records)));
        Ok(records)
    }
}
