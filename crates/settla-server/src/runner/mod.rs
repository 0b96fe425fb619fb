//! The batch runner: collects the commands that arrive together and applies them in one transaction.
//!
//! # Cost
//!
//! A batch takes a fixed number of round trips however many commands it has:
//! [`settla_store::batch::ROUND_TRIPS_MAX`] at most, and one commit. While a batch runs, the next one
//! collects, so the load itself sets the size: no timer, no wait.
//!
//! Everything waits for batches, so the runner has a thread of its own: its round trips do not queue behind the requests
//! that the other threads serve.
//!
//! # What bounds a batch
//!
//! [`BATCH_MAX`] commands; [`QUEUE_MAX`] more may wait, and beyond that callers are told that we are busy. Requests, for
//! which somebody waits, come before workers' findings, of which a batch with requests takes [`FINDINGS_BESIDE`], or
//! [`FINDINGS_A_REQUEST`] for each of them if that is more: a block on chain brings hundreds of them at once, and whoever
//! asks for a quote then should not notice, but what was begun has to come to its end as fast as more is begun.
//!
//! # Failure
//!
//! Until COMMIT has answered, nobody is told anything. A conflict is tried again as a whole. Any other failure
//! splits the batch in two, until a single command is left that fails by itself, so one bad command does not
//! take its neighbours down. That one is looked at a second time if a constraint refused it: another process
//! may have written the row (an idempotency key, a bank entry) just after the first look. A COMMIT whose answer
//! was lost is settled by its marker before anything is tried again. The memory of a failed batch is dropped.

mod bells;
mod fold;
mod queue;

use bells::Bells;
use fold::Folded;
use queue::Queue;
use settla_domain::decide::{Answer, Command};
use settla_domain::effect::EffectKind;
use settla_domain::refusal::Refusal;
use settla_domain::tenant::TenantNo;
use settla_store::batch::{BatchConnection, BatchTx, Memory, SealedParties, Takers, was_committed};
use settla_store::{Store, StoreError};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

pub use queue::{BATCH_MAX, FINDINGS_A_REQUEST, FINDINGS_BESIDE};

/// Most requests that wait, and most findings.
pub const QUEUE_MAX: usize = 4_096;
/// How often a batch that met a conflict is tried.
const TRIES_MAX: u32 = 8;
/// Longest time for a batch, from BEGIN to the answer to COMMIT, or for the question whether a COMMIT took place. Longer
/// than the database allows one statement.
const BATCH_TIME_MAX: Duration = Duration::from_secs(40);
/// How long a connection that has nothing to do is kept from the pool.
const KEPT_FOR: Duration = Duration::from_secs(1);
/// Commands that failed by themselves: defects.
const COMMANDS_FAILED: &str = "settla_commands_failed_total";

/// A command with what belongs to its request.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// Whose command; the platform's for a bank credit that nobody owns.
    pub tenant: TenantNo,
    /// What to decide.
    pub command: Command,
    /// The request's idempotency key and keyed fingerprint.
    pub idempotency: Option<(String, Vec<u8>)>,
    /// Personal data to keep with it, by subject.
    pub sealed: Option<(Uuid, SealedParties)>,
    /// Who does it and in which request, for the audit log; absent for the platform's own workers.
    pub audit: Option<(String, String)>,
}

/// What a caller of the runner is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The answer, as it was the first time.
    pub answer: Answer,
    /// Whether an earlier request with this key had been carried out.
    pub replayed: bool,
}

/// Why the runner did not decide, or how it decided against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RunnerError {
    /// A business refusal.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Too much is queued.
    #[error("too much is queued")]
    Overloaded,
    /// The database does not answer, or the runner has stopped.
    #[error("the database does not answer")]
    Unavailable,
    /// A defect.
    #[error("internal error")]
    Internal,
}

/// One answer for each envelope.
type Answers = Vec<Result<Decided, RunnerError>>;

type Job = (Envelope, oneshot::Sender<Result<Decided, RunnerError>>);

/// A handle on the runner. It ends when the last handle is dropped and the queue is empty.
#[derive(Clone)]
pub struct Runner {
    requests: mpsc::Sender<Job>,
    findings: mpsc::Sender<Job>,
    bells: Arc<Bells>,
    takers: Arc<Mutex<Takers>>,
}

impl Runner {
    /// Starts a runner on a database. Fails if there is no thread to be had for it.
    pub fn start(store: Store) -> std::io::Result<Self> {
        Self::start_with(store, BATCH_TIME_MAX)
    }

    /// As [`Self::start`], with another bound on the time of a batch.
    pub fn start_with(store: Store, batch_time_max: Duration) -> std::io::Result<Self> {
        // There from the start, so that its first increase is one.
        metrics::counter!(COMMANDS_FAILED).increment(0);
        let (requests, asked) = mpsc::channel(QUEUE_MAX);
        let (findings, found) = mpsc::channel(QUEUE_MAX);
        let queue = Queue { asked, found };
        let bells = Arc::new(Bells::new());
        let takers = Arc::<Mutex<Takers>>::default();
        let database = Database {
            store,
            batch_time_max,
            bells: Arc::clone(&bells),
            takers: Arc::clone(&takers),
            memory: Arc::default(),
            kept: Arc::default(),
        };
        let thread = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new()
            .name("settla-runner".to_owned())
            .spawn(move || thread.block_on(run(database, queue)))?;
        Ok(Self { requests, findings, bells, takers })
    }

    /// Has a command decided and made durable. Refuses at once when too much is queued.
    pub async fn submit(&self, envelope: Envelope) -> Result<Decided, RunnerError> {
        let (reply, answer) = oneshot::channel();
        self.requests.try_send((envelope, reply)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => RunnerError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => RunnerError::Unavailable,
        })?;
        answer.await.unwrap_or(Err(RunnerError::Unavailable))
    }

    /// As [`Self::submit`], but waits for room: for workers, whose findings must not be turned away.
    pub async fn submit_patiently(&self, envelope: Envelope) -> Result<Decided, RunnerError> {
        let (reply, answer) = oneshot::channel();
        self.findings.send((envelope, reply)).await.map_err(|_| RunnerError::Unavailable)?;
        answer.await.unwrap_or(Err(RunnerError::Unavailable))
    }

    /// Sets who of this process takes over what batches order. What nobody has room for is left to be claimed.
    pub fn set_takers(&self, set: impl FnOnce(&mut Takers)) {
        set(&mut self.takers.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Resolves when a batch that leaves effects of this kind to be claimed has been committed. For one worker a kind: each
    /// bell is heard once.
    pub async fn ordered(&self, kind: EffectKind) {
        self.bells.ordered(kind).await;
    }

    /// Resolves when a batch that leaves webhook deliveries to be claimed has been committed. For one worker as well.
    pub async fn deliveries(&self) {
        self.bells.deliveries().await;
    }
}

/// Where batches go, and for how long one may take.
#[derive(Clone)]
struct Database {
    store: Store,
    batch_time_max: Duration,
    bells: Arc<Bells>,
    takers: Arc<Mutex<Takers>>,
    memory: Arc<Memory>,
    /// The last batch's connection, for the next one: what its server process has prepared and read is at hand there.
    kept: Arc<Mutex<Option<BatchConnection>>>,
}

impl Database {
    /// The last batch's connection, if it is still there.
    fn connection(&self) -> Option<BatchConnection> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn takers(&self) -> Takers {
        self.takers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn run(database: Database, mut queue: Queue<Job>) {
    let mut jobs = Vec::with_capacity(BATCH_MAX);
    loop {
        if tokio::time::timeout(KEPT_FOR, queue.next(&mut jobs)).await.is_err() {
            drop(database.connection());
            queue.next(&mut jobs).await;
        }
        if jobs.is_empty() {
            return;
        }
        let (envelopes, replies): (Vec<_>, Vec<_>) = jobs.drain(..).unzip();
        let begun = Instant::now();
        let commands = envelopes.len();
        let answers = survive(&database, envelopes).await;
        metrics::histogram!("settla_batch_seconds").record(begun.elapsed().as_secs_f64());
        metrics::histogram!("settla_batch_commands").record(commands as f64);
        for (reply, answer) in replies.into_iter().zip(answers) {
            // A caller that has gone away does not matter: its command is durable and its retry gets the answer.
            let _ = reply.send(answer);
        }
    }
}

/// Applies envelopes in a task of their own: a panic, which is a defect, costs this batch and not the runner.
async fn survive(database: &Database, envelopes: Vec<Envelope>) -> Vec<Result<Decided, RunnerError>> {
    let (commands, database) = (envelopes.len(), database.clone());
    tokio::spawn(async move { settle(&database, &envelopes).await }).await.unwrap_or_else(|error| {
        tracing::error!(%error, commands, "a batch has panicked");
        metrics::counter!(COMMANDS_FAILED).increment(commands as u64);
        vec![Err(RunnerError::Internal); commands]
    })
}

/// Applies envelopes, splitting what fails. One answer for each, in order.
async fn settle(database: &Database, envelopes: &[Envelope]) -> Vec<Result<Decided, RunnerError>> {
    let mut answers = Vec::with_capacity(envelopes.len());
    // A stack of ranges, so that splitting needs no recursion.
    let mut ranges = vec![(0, envelopes.len())];
    while let Some((from, to)) = ranges.pop() {
        let part = &envelopes[from..to];
        match apply(database, part).await {
            Ok(decided) => answers.extend(decided),
            Err(StoreError::Unreachable(error)) => {
                tracing::error!(%error, "the database does not answer");
                answers.extend(part.iter().map(|_| Err(RunnerError::Unavailable)));
            }
            Err(error) if part.len() == 1 => {
                let detail = std::error::Error::source(&error).map(ToString::to_string);
                // This task serves many requests and is in the span of none.
                let request_id = part[0].audit.as_ref().map(|(_, request_id)| request_id.as_str());
                tracing::error!(%error, detail, command = command_name(&part[0].command), request_id, "a command failed");
                metrics::counter!(COMMANDS_FAILED).increment(1);
                answers.push(Err(RunnerError::Internal));
            }
            Err(error) => {
                tracing::warn!(%error, commands = part.len(), "a batch failed and is split");
                let middle = from + part.len() / 2;
                ranges.push((middle, to));
                ranges.push((from, middle));
            }
        }
    }
    answers
}

/// One batch, tried again on conflicts and on commits whose outcome was lost.
async fn apply(database: &Database, envelopes: &[Envelope]) -> Result<Vec<Result<Decided, RunnerError>>, StoreError> {
    let (mut tries, mut constraints) = (0, 0);
    loop {
        tries += 1;
        let id = Uuid::now_v7();
        let error = match once(database, id, envelopes).await {
            Ok(answers) => return Ok(answers),
            Err(Attempt::Before(error)) => error,
            Err(Attempt::Commit(error, answers)) => {
                tracing::warn!(%error, "the answer to a COMMIT was lost");
                if settle_commit(database, id).await? {
                    database.bells.ring_all();
                    return Ok(answers);
                }
                error
            }
        };
        let again = match &error {
            StoreError::Retry(_) | StoreError::Unreachable(_) => true,
            StoreError::Constraint(_) => {
                constraints += 1;
                envelopes.len() == 1 && constraints == 1
            }
            _ => false,
        };
        if !again || tries >= TRIES_MAX {
            return Err(error);
        }
        tokio::time::sleep(Duration::from_millis(10 << tries.min(6))).await;
    }
}

enum Attempt {
    /// Nothing can have been committed.
    Before(StoreError),
    /// The outcome of the commit is unknown; these would be the answers.
    Commit(StoreError, Answers),
}

impl From<StoreError> for Attempt {
    fn from(error: StoreError) -> Self {
        Self::Before(error)
    }
}

/// A database that has gone without closing its connections answers nothing and refuses nothing: without a bound the
/// runner would wait for it until the process is restarted.
async fn once(database: &Database, id: Uuid, envelopes: &[Envelope]) -> Result<Answers, Attempt> {
    let mut connection = match database.connection() {
        Some(connection) => connection,
        None => BatchConnection::acquire(&database.store.runner).await?,
    };
    let mut committing = None;
    let work = transact(&mut connection, id, envelopes, database, &mut committing);
    match tokio::time::timeout(database.batch_time_max, work).await {
        Ok(Ok(answers)) => {
            *database.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
            Ok(answers)
        }
        Ok(Err(attempt)) => Err(attempt),
        Err(_) => {
            connection.abandon();
            let silent = StoreError::silent();
            Err(match committing {
                None => Attempt::Before(silent),
                Some(answers) => Attempt::Commit(silent, answers),
            })
        }
    }
}

/// The batch in its transaction. What would be answered is put into `committing` before COMMIT is sent.
async fn transact(
    connection: &mut BatchConnection,
    id: Uuid,
    envelopes: &[Envelope],
    database: &Database,
    committing: &mut Option<Answers>,
) -> Result<Answers, Attempt> {
    let mut tenants: BTreeSet<TenantNo> = envelopes.iter().map(|e| e.tenant).collect();
    // A credit that turns out not to be its owner's (another currency) is posted to the platform's suspense.
    if envelopes.iter().any(|e| matches!(e.command, Command::BankCredit { .. })) {
        tenants.insert(TenantNo::PLATFORM);
    }
    let mut tx = BatchTx::begin(connection, id, &tenants).await?;
    let mut loaded = tx.load(fold::keys(envelopes, tenants), &database.memory).await?;
    // Read under the lock, so that times never run backwards within a tenant on one machine.
    let now = crate::clock::now();
    let Folded { outcome, answers, broken } = fold::fold(&mut loaded, envelopes, now);
    if broken {
        return Err(Attempt::Before(StoreError::Corrupt("invariant")));
    }
    if outcome.changes.is_empty() && outcome.idempotency.is_empty() {
        return Ok(answers);
    }
    let written = tx.write(&outcome, &loaded, now, &database.takers()).await?;
    let answers = committing.insert(answers);
    match tx.commit().await {
        Ok(()) => {
            database.memory.committed(&outcome.changes);
            database.bells.ring(&written);
            written.handed.over();
            Ok(std::mem::take(answers))
        }
        Err(StoreError::Unreachable(error)) => {
            Err(Attempt::Commit(StoreError::Unreachable(error), std::mem::take(answers)))
        }
        Err(error) => Err(Attempt::Before(error)),
    }
}

/// Finds out whether a lost commit took place, for as long as a restart of the database may take.
async fn settle_commit(database: &Database, id: Uuid) -> Result<bool, StoreError> {
    let mut tries = 0;
    loop {
        match ask(database, id).await {
            Ok(committed) => return Ok(committed),
            Err(error) if tries >= 60 => return Err(error),
            Err(_) => tries += 1,
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn ask(database: &Database, id: Uuid) -> Result<bool, StoreError> {
    let mut connection = BatchConnection::acquire(&database.store.runner).await?;
    match tokio::time::timeout(database.batch_time_max, was_committed(&mut connection, id)).await {
        Ok(answer) => answer,
        Err(_) => {
            connection.abandon();
            Err(StoreError::silent())
        }
    }
}

fn command_name(command: &Command) -> &'static str {
    match command {
        Command::CreateQuote(_) => "create_quote",
        Command::CreateTransfer(_) => "create_transfer",
        Command::CancelTransfer { .. } => "cancel_transfer",
        Command::ExpireHold { .. } => "expire_hold",
        Command::CreateTopup(_) => "create_topup",
        Command::BankCredit { .. } => "bank_credit",
        Command::CreateWithdrawal(_) => "create_withdrawal",
        Command::Decide(_) => "decide",
        Command::Report(_) => "report",
    }
}
