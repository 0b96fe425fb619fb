//! The batch runner's SQL: load under locks, write what was decided, commit.
//!
//! # Round trips
//!
//! A batch costs at most [`ROUND_TRIPS_MAX`] round trips however many commands it has: one to begin, at most
//! eleven to load, at most sixteen to write, one to commit. A statement with nothing to do is not sent. Each
//! statement is prepared once a connection, at its first use. When the connection goes back to the pool there is
//! one Sync more, which nobody waits for. A test counts them on the wire.
//!
//! # Locks
//!
//! One row a tenant (`tenant_locks`), taken in order of tenant number, so two batches cannot deadlock. Whoever
//! holds it may change that tenant's positions and number its events. Outbox rows are locked besides, since
//! workers claim them without the tenant's lock.
//!
//! # What bounds a batch
//!
//! Its caller, through the number of commands (a few hundred). All statements bind arrays, so neither the size
//! of a statement nor the number of plans grows with the batch.

mod deliveries;
mod hand_over;
mod load;
mod memory;
mod touched;
mod write;

use crate::StoreError;
use crate::bounded::BoundedPool;
use crate::outbox::Moment;
use crate::tenant_tx;
use settla_domain::effect::EffectKind;
use settla_domain::id::{EffectId, QuoteId, TransferId, WithdrawalId};
use settla_domain::refusal::Refusal;
use settla_domain::tenant::TenantNo;
use settla_domain::time::Timestamp;
use settla_domain::world::World;
use sqlx::pool::PoolConnection;
use sqlx::{Connection, Executor, Postgres, Row, Transaction};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use uuid::Uuid;

pub use hand_over::{EffectTaker, Handed, Takers};
pub(crate) use load::{position, quote, recorded, tenant_terms, topup, transfer, withdrawal};
pub use memory::Memory;
pub use write::{Audit, Idempotency, Outcome, SealedParties};

/// The most round trips that a batch takes, whatever its size.
pub const ROUND_TRIPS_MAX: usize = 29;

/// What a batch has to load.
#[derive(Debug, Default)]
pub struct Keys {
    /// Tenants to lock; the platform (0) may be among them for postings that concern no tenant.
    pub tenants: BTreeSet<TenantNo>,
    /// Idempotency keys.
    pub idempotency: BTreeSet<(TenantNo, String)>,
    /// Quotes.
    pub quotes: BTreeSet<(TenantNo, QuoteId)>,
    /// Transfers.
    pub transfers: BTreeSet<(TenantNo, TransferId)>,
    /// Withdrawals.
    pub withdrawals: BTreeSet<(TenantNo, WithdrawalId)>,
    /// References of withdrawals that must not exist yet.
    pub withdrawal_references: BTreeSet<(TenantNo, String)>,
    /// Effects.
    pub effects: BTreeSet<(TenantNo, EffectId)>,
    /// Top-ups by reference.
    pub topup_references: BTreeSet<(TenantNo, String)>,
    /// Top-ups by id, for replays.
    pub topups: BTreeSet<(TenantNo, Uuid)>,
    /// Bank entries that may have been applied.
    pub bank_entries: BTreeSet<String>,
}

/// A stored first answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Keyed fingerprint of the request.
    pub fingerprint: Vec<u8>,
    /// Whether it was refused, and why.
    pub refusal: Option<Refusal>,
    /// What it made or changed.
    pub subject: Option<Uuid>,
}

/// What a batch has loaded.
#[derive(Debug, Default)]
pub struct Loaded {
    /// State for the engine.
    pub world: World,
    /// First answers by key.
    pub idempotency: HashMap<(TenantNo, String), Recorded>,
    /// The last event number of each tenant.
    pub sequences: HashMap<TenantNo, i64>,
    /// The tenants' webhook endpoints that are enabled.
    pub endpoints: HashMap<TenantNo, Arc<[Subscription]>>,
}

/// Which events a webhook endpoint wants.
#[derive(Debug, Clone, serde::Deserialize)]
pub struct Subscription {
    /// The endpoint.
    pub id: Uuid,
    /// Event types.
    pub events: Vec<String>,
}

/// The connection of a batch.
pub struct BatchConnection(PoolConnection<Postgres>);

impl BatchConnection {
    /// One that nobody else uses.
    pub async fn acquire(runner: &BoundedPool) -> Result<Self, StoreError> {
        Ok(Self(runner.acquire().await?))
    }

    /// Closes it without a word to the server: for one on which no answer comes any more. Given back to the pool it
    /// would keep a place there until the network gives it up, which may be never.
    pub fn abandon(self) {
        drop(self.0.detach());
    }
}

/// A batch's transaction.
pub struct BatchTx<'c> {
    id: Uuid,
    begun: Moment,
    tx: Transaction<'c, Postgres>,
}

/// What was written, and who is to be told when it is committed.
#[derive(Debug, Default)]
pub struct Written {
    /// What workers of this process take over.
    pub handed: Handed,
    /// Kinds of effects that have to be claimed.
    pub to_claim: BTreeSet<EffectKind>,
    /// Whether webhook deliveries have to be claimed.
    pub deliveries_to_claim: bool,
}

impl<'c> BatchTx<'c> {
    /// Begins the transaction and opens it to the given tenants alone. `id` names the batch's commit.
    pub async fn begin(
        connection: &'c mut BatchConnection,
        id: Uuid,
        tenants: &BTreeSet<TenantNo>,
    ) -> Result<Self, StoreError> {
        let begun = Moment::now();
        let begin = tenant_tx::opening(tenants);
        let tx = connection.0.begin_with(begin).await?;
        Ok(Self { id, begun, tx })
    }

    /// Locks the tenants and loads what the keys name.
    pub async fn load(&mut self, keys: Keys, memory: &Memory) -> Result<Loaded, StoreError> {
        load::load(&mut self.tx, keys, memory).await
    }

    /// Writes what was decided. `takers` take over what they have room for.
    pub async fn write(
        &mut self,
        outcome: &Outcome,
        loaded: &Loaded,
        now: Timestamp,
        takers: &Takers,
    ) -> Result<Written, StoreError> {
        let mut writing = write::Writing { takers, begun: self.begun, written: Written::default() };
        write::write(&mut self.tx, self.id, outcome, loaded, now, &mut writing).await?;
        Ok(writing.written)
    }

    /// Commits. `Unreachable` means that the outcome is unknown: ask [`was_committed`].
    pub async fn commit(self) -> Result<(), StoreError> {
        self.tx.commit().await.map_err(|error| match StoreError::from(error) {
            StoreError::Database(error) => StoreError::Unreachable(error),
            other => other,
        })
    }
}

/// Whether the batch of this id was committed. It settles the matter for good: it writes the batch's marker
/// itself, which waits for a commit still under way, and keeps a late one from succeeding. The marker says who
/// wrote it, so that asking again, after the answer to this was lost as well, finds the same.
pub async fn was_committed(connection: &mut BatchConnection, id: Uuid) -> Result<bool, StoreError> {
    let insert = "INSERT INTO commit_markers (batch, committed) VALUES ($1, false) ON CONFLICT DO NOTHING";
    connection.0.execute(sqlx::query(insert).bind(id)).await?;
    let select = sqlx::query("SELECT committed FROM commit_markers WHERE batch = $1").bind(id);
    let row = select.fetch_one(&mut *connection.0).await?;
    Ok(row.try_get("committed")?)
}
