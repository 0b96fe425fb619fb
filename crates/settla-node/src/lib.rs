//! The node: workers that carry effects out and bring findings back.
//!
//! Every worker delivers at least once, holds what it works on by a lease that ends by itself, and has a
//! bound on what it does at the same time. A worker never decides a transfer's state: it submits findings to
//! the runner. A time-out is no finding; it is followed by an enquiry.

mod bank_payment;
mod counters;
mod expiry;
mod gauges;
mod growth;
mod inbox;
mod measure;
mod off_ramp;
mod on_ramp;
mod provider;
pub mod reconcile;
mod sell_back;
mod settlement;
mod sightings;
mod statement;
mod taken;
pub mod webhook;

use measure::Measures;
use settla_domain::decide::{Answer, Command, Report};
use settla_domain::finding::Finding;
use settla_domain::id::EffectId;
use settla_domain::tenant::TenantNo;
use settla_domain::time::Timestamp;
use settla_evm::{Address, Signer};
use settla_rails::bank::Bank;
use settla_rails::chain::Chain;
use settla_rails::off_ramp::OffRamp;
use settla_rails::on_ramp::OnRamp;
use settla_server::keyring::Keyring;
use settla_server::parties::Payees;
use settla_server::route_facts::RouteFacts;
use settla_server::runner::{Envelope, Runner, RunnerError};
use settla_store::Store;
use settla_store::inbox::InboxEvent;
use sightings::Sightings;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use taken::Taken;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use uuid::Uuid;

pub use settlement::{SettlementConfig, SignerSource};

/// What all workers share.
pub struct Node {
    /// The database.
    pub store: Store,
    /// Where findings go.
    pub runner: Runner,
    /// Opens personal data for those who pay.
    pub keyring: Arc<Keyring>,
    /// On-ramps by name.
    pub on_ramps: HashMap<String, Arc<dyn OnRamp>>,
    /// Off-ramps by name.
    pub off_ramps: HashMap<String, Arc<dyn OffRamp>>,
    /// Our bank.
    pub bank: Arc<dyn Bank>,
    /// The chain we settle on.
    pub chain: Arc<Chain>,
    /// Our wallet on it.
    pub wallet: Address,
    /// What is switched off.
    pub facts: Arc<RouteFacts>,
    /// How the workers behave.
    pub config: NodeConfig,
    payees: Payees,
    measures: Measures,
    taken: Taken,
    started_at: Timestamp,
    sightings: Sightings,
    statement_bell: Notify,
    /// Providers' events that the server of this process hands over.
    arrivals: Mutex<Option<mpsc::Receiver<InboxEvent>>>,
}

/// How the workers behave.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// How long a worker holds an effect. Longer than a provider call with its acceptance delay.
    pub lease_ms: i64,
    /// Calls at the same time to one kind of provider.
    pub concurrency: usize,
    /// When settlement batches are closed, and what is done about those that do not get into a block.
    pub settlement: SettlementConfig,
    /// After so long a transfer whose on-ramp order nobody has touched is called off.
    pub hold_lifetime: Duration,
    /// When books are compared.
    pub reconcile: reconcile::ReconcileConfig,
    /// Whether webhooks may go to private addresses and by plain http.
    pub webhook_any_address: bool,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            lease_ms: 12_000,
            concurrency: 64,
            settlement: SettlementConfig::default(),
            hold_lifetime: Duration::from_secs(15 * 60),
            reconcile: reconcile::ReconcileConfig::default(),
            webhook_any_address: false,
        }
    }
}

/// The parts a node is made of.
#[allow(missing_docs)] // the same as the fields of `Node`
pub struct NodeParts {
    pub store: Store,
    pub runner: Runner,
    pub keyring: Arc<Keyring>,
    pub on_ramps: HashMap<String, Arc<dyn OnRamp>>,
    pub off_ramps: HashMap<String, Arc<dyn OffRamp>>,
    pub bank: Arc<dyn Bank>,
    pub chain: Arc<Chain>,
    pub wallet: Address,
    pub arrivals: Option<mpsc::Receiver<InboxEvent>>,
    pub facts: Arc<RouteFacts>,
    pub config: NodeConfig,
}

/// Tells workers to stop.
pub type Stop = watch::Receiver<bool>;

impl Node {
    /// A node of these parts.
    pub fn new(parts: NodeParts) -> Arc<Self> {
        let NodeParts { store, runner, keyring, on_ramps, off_ramps, bank, chain, wallet, arrivals, facts, config } =
            parts;
        let payees = Payees::start(store.clone(), Arc::clone(&keyring));
        let sightings = Sightings::default();
        let statement_bell = Notify::new();
        Arc::new(Self {
            store,
            runner,
            keyring,
            on_ramps,
            off_ramps,
            bank,
            chain,
            wallet,
            facts,
            config,
            payees,
            measures: Measures::default(),
            taken: Taken::default(),
            started_at: settla_server::clock::now(),
            sightings,
            statement_bell,
            arrivals: Mutex::new(arrivals),
        })
    }

    /// Runs all workers until told to stop; each finishes what it holds, or leaves it to its lease.
    pub async fn run(self: Arc<Self>, signer: Arc<dyn SignerSource>, stop: Stop) {
        counters::start();
        let mut workers = JoinSet::new();
        workers.spawn(provider::run(Arc::clone(&self), on_ramp::OnRampDesk, stop.clone()));
        workers.spawn(provider::run(Arc::clone(&self), off_ramp::OffRampDesk, stop.clone()));
        workers.spawn(provider::run(Arc::clone(&self), sell_back::SellBackDesk, stop.clone()));
        workers.spawn(provider::run(Arc::clone(&self), bank_payment::BankDesk, stop.clone()));
        let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).take();
        workers.spawn(inbox::run(Arc::clone(&self), arrivals, stop.clone()));
        workers.spawn(statement::run(Arc::clone(&self), stop.clone()));
        workers.spawn(settlement::run(Arc::clone(&self), signer, stop.clone()));
        workers.spawn(webhook::run(Arc::clone(&self), stop.clone()));
        workers.spawn(expiry::run(Arc::clone(&self), stop.clone()));
        workers.spawn(measure::run(Arc::clone(&self), stop.clone()));
        workers.spawn(apart("settla-reconcile", reconcile::run(Arc::clone(&self), stop.clone())));
        workers.spawn(gauges::run(Arc::clone(&self), stop.clone()));
        workers.spawn(growth::run(Arc::clone(&self), stop.clone()));
        while let Some(ended) = workers.join_next().await {
            // A worker ends only when told to; anything else must be seen, not survived in silence.
            let told = *stop.borrow();
            if ended.is_err() || !told {
                let error = ended.err().map(|error| error.to_string());
                tracing::error!(error, "a worker has died");
                metrics::counter!(counters::WORKERS_DIED).increment(1);
            }
        }
    }

    /// Submits a finding and waits until it is durable. `Nothing` means that it was known already.
    pub(crate) async fn report(
        &self,
        tenant: TenantNo,
        subject: Uuid,
        effect: EffectId,
        finding: Finding,
    ) -> Result<Answer, RunnerError> {
        let command = Command::Report(Report { tenant, subject, effect, finding: finding.clone() });
        let envelope = Envelope { tenant, command, idempotency: None, sealed: None, audit: None };
        let answer = self.runner.submit_patiently(envelope).await?.answer;
        if !matches!(finding, Finding::Accepted | Finding::NotStarted { .. }) {
            self.taken.ended(effect);
        }
        if answer == Answer::Contradicts {
            tracing::error!(%effect, "a success is reported of an effect that has ended otherwise");
            metrics::counter!(counters::CONTRADICTIONS).increment(1);
        }
        Ok(answer)
    }
}

/// Carries work that thinks for long out on a thread of its own, so that nobody's request waits behind it. Returns when it has
/// ended, however.
async fn apart(name: &str, work: impl Future<Output = ()> + Send + 'static) {
    let (ends, ended) = tokio::sync::oneshot::channel::<()>();
    let thread = tokio::runtime::Builder::new_current_thread().enable_all().build().and_then(|runtime| {
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            runtime.block_on(work);
            drop(ends);
        })
    });
    match thread {
        Ok(_) => drop(ended.await),
        Err(error) => tracing::error!(%error, name, "there is no thread for a worker"),
    }
}

/// Waits for a bell, at most so long. Returns false when told to stop.
pub(crate) async fn wait(bell: impl Future<Output = ()>, longest: Duration, stop: &mut Stop) -> bool {
    tokio::select! {
        () = bell => {}
        () = tokio::time::sleep(longest) => {}
        changed = stop.changed() => {
            if changed.is_err() { return false; }
        }
    }
    !*stop.borrow()
}

/// Resolves when told to stop.
pub(crate) async fn stopped(stop: &mut Stop) {
    // An error means that nobody can tell any more, which is the end as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// A signer that is ready to use.
pub type AnySigner = Arc<dyn Signer>;
