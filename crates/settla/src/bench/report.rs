//! What a run comes to.

use super::Args;
use super::added::Added;
use super::cpu::Cpu;
use super::hooks::Seen;
use super::load::{AMOUNT_MINOR, IN_FLIGHT_MAX, Load};
use super::machine::{Machine, git_commit};
use super::measure::Snapshot;
use super::spread::{Spread, spread};
use super::{LATENCY_MS, UNKNOWN_PERMILLE};
use crate::dev::{BLOCK_TIME, DEPTH};
use crate::reconcile;
use serde::Serialize;
use serde_json::{Value, json};
use settla_store::batch::ROUND_TRIPS_MAX;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// States in which nothing more happens by itself. A transfer under review waits for people.
const AT_REST: [&str; 5] = ["COMPLETED", "REFUNDED", "FAILED", "CANCELLED", "UNDER_REVIEW"];
const METHOD: &str = "open loop. Created: 201 answers over the time from the first intended send to the last answer. \
    Completed: transfer.completed webhooks over the time from the first intended send to the last of them; while_sending \
    counts those of the second half of the sending alone. create: quote and transfer from the intended send to the answer. \
    end_to_end: from the intended send to the terminal webhook. \
    added_by_settla: of that what is left without the time from each provider's acceptance to its booking, by its \
    statement (to the depth of its delivery, if that is later), and from our first signature to the depth. CPU, rows and batches: from before the first send to \
    after the last webhook.";

/// What was seen from outside and inside.
pub(super) struct Observed {
    pub load: Load,
    pub seen: Seen,
    /// What Settla added to each payment's time.
    pub added: Added,
    pub before: Snapshot,
    pub after: Snapshot,
    /// Every transfer of the database.
    pub states: HashMap<Uuid, String>,
    pub settings: BTreeMap<String, String>,
    pub steps: BTreeMap<String, [f64; 2]>,
    pub log: BTreeMap<String, u64>,
    pub books: reconcile::Report,
}

/// The result.
#[derive(Serialize)]
pub(super) struct Report {
    pub method: &'static str,
    pub profile: &'static str,
    pub git_commit: Option<String>,
    pub machine: Machine,
    pub settings: Value,
    pub rate: u32,
    pub seconds: u32,
    pub tenants: u32,
    /// Per cent of the transfers that the first of them sends, if not all send the same.
    pub first_tenant_percent: Option<u32>,
    pub created: usize,
    pub created_per_s: f64,
    pub completed: usize,
    pub completed_per_s: f64,
    pub completed_per_s_while_sending: f64,
    /// By status and code.
    pub refused: BTreeMap<String, u64>,
    /// By kind.
    pub errors: BTreeMap<String, u64>,
    /// All transfers, as the database has them at the end.
    pub states: BTreeMap<String, u64>,
    pub stuck: usize,
    pub lost: usize,
    pub duplicates: u64,
    pub webhooks: Webhooks,
    pub in_flight_peak: usize,
    pub in_flight_bound: usize,
    /// Sends that the bound held up.
    pub held_up: u64,
    pub create: Spread,
    pub transfer_post: Spread,
    pub end_to_end: Spread,
    /// Of it what neither the providers nor the chain took.
    pub added_by_settla: Spread,
    pub added_parts: BTreeMap<&'static str, Spread>,
    /// Into each state from the one before: median and 99th percentile.
    pub steps_ms: BTreeMap<String, [f64; 2]>,
    pub on_chain_transactions: u64,
    pub on_chain_transactions_per_1000: f64,
    pub rows_per_transfer: BTreeMap<String, f64>,
    pub rows_per_transfer_total: f64,
    pub database_commits_per_transfer: f64,
    pub wal_bytes_per_transfer: f64,
    pub wal_fsyncs_per_transfer: f64,
    pub batches: Batches,
    pub cpu: BTreeMap<&'static str, CpuUse>,
    pub platform_log: BTreeMap<String, u64>,
    pub books_agree: bool,
    pub books_differences: Vec<String>,
}

/// Webhooks as they came.
#[derive(Serialize)]
pub(super) struct Webhooks {
    pub ended: usize,
    /// Transfers whose end no webhook told in time.
    pub missing: usize,
    pub redelivered: u64,
    pub refused: u64,
}

/// The runner's batches.
#[derive(Serialize)]
pub(super) struct Batches {
    pub count: f64,
    pub commands_per_batch: f64,
    pub seconds_per_batch: f64,
    /// Share of the time in which a batch was being applied.
    pub busy: f64,
    /// The contract, counted on the wire by a test: not measured here.
    pub round_trips_max: usize,
}

/// Processor time of a process.
#[derive(Serialize)]
pub(super) struct CpuUse {
    pub seconds: f64,
    pub ms_per_transfer: f64,
    /// While transfers were being sent or were on their way.
    pub cores: f64,
}

fn rounded(value: f64) -> f64 {
    if value.is_finite() { (value * 1_000.0).round() / 1_000.0 } else { 0.0 }
}

fn per(value: f64, by: f64) -> f64 {
    rounded(value / by)
}

impl Report {
    /// Adds up what was seen.
    pub fn new(args: &Args, dir: &Path, observed: Observed) -> Self {
        let Observed { load, seen, added, before, after, states, settings, steps, log, books } = observed;
        let (started, tally) = (load.started, &load.tally);
        let since = |at: Instant| at.duration_since(started);
        let known: HashSet<Uuid> = tally.created.iter().map(|c| c.id).collect();
        let completions: Vec<Duration> = seen.ended.values().filter(|e| e.completed).map(|e| since(e.at)).collect();
        let sending = Duration::from_secs(u64::from(args.seconds));
        let late_half = completions.iter().filter(|at| (sending / 2..sending).contains(*at)).count();
        let last_answer = tally.created.iter().map(|c| since(c.answered)).max().unwrap_or_default();
        let last_completion = completions.iter().max().copied().unwrap_or_default();
        let created = tally.created.len();
        let transfers = states.len() as f64;
        let window = after.at.duration_since(before.at).as_secs_f64();
        // A request without an answer may have made one transfer; any other that we know nothing of is one too many.
        let unknown = states.keys().filter(|id| !known.contains(id)).count() as u64;
        let duplicates = (created - known.len()) as u64 + unknown.saturating_sub(tally.unanswered) + seen.ended_again;
        let rows = rows(&before, &after, transfers);
        let batches = after.batches.batches - before.batches.batches;
        let seconds = after.batches.seconds - before.batches.seconds;
        let nonces = after.nonce.saturating_sub(before.nonce);
        Self {
            method: METHOD,
            profile: if cfg!(debug_assertions) { "debug" } else { "release" },
            git_commit: git_commit(),
            machine: Machine::read(dir),
            settings: json!({
                "postgres": settings,
                "sandbox": { "latency_ms_median": LATENCY_MS, "unknown_permille": UNKNOWN_PERMILLE },
                "chain": { "block_ms": BLOCK_TIME.as_millis() as u64, "depth": DEPTH },
                "source_minor": AMOUNT_MINOR, "corridor": "GBP-USDC-NGN",
            }),
            rate: args.rate,
            seconds: args.seconds,
            tenants: args.tenants,
            first_tenant_percent: args.first_tenant_percent,
            created,
            created_per_s: per(created as f64, last_answer.as_secs_f64()),
            completed: completions.len(),
            completed_per_s: per(completions.len() as f64, last_completion.as_secs_f64()),
            completed_per_s_while_sending: per(late_half as f64, sending.as_secs_f64() / 2.0),
            refused: tally.refused.clone(),
            errors: tally.errors.clone(),
            stuck: states.values().filter(|state| !AT_REST.contains(&state.as_str())).count(),
            lost: known.iter().filter(|id| !states.contains_key(id)).count(),
            duplicates,
            webhooks: Webhooks {
                ended: seen.ended.len(),
                missing: known.iter().filter(|id| !seen.ended.contains_key(id)).count(),
                redelivered: seen.redelivered,
                refused: seen.refused,
            },
            in_flight_peak: load.in_flight_peak,
            in_flight_bound: IN_FLIGHT_MAX,
            held_up: load.held_up,
            create: spread(tally.created.iter().map(|c| c.answered - c.intended).collect()),
            transfer_post: spread(tally.created.iter().map(|c| c.posted).collect()),
            end_to_end: spread(
                tally
                    .created
                    .iter()
                    .filter_map(|c| Some(seen.ended.get(&c.id)?.at.duration_since(c.intended)))
                    .collect(),
            ),
            added_by_settla: spread(added.total),
            added_parts: BTreeMap::from([
                ("1 to the on-ramp", spread(added.to_on_ramp)),
                ("2 to the chain", spread(added.to_chain)),
                ("3 to the off-ramp", spread(added.to_off_ramp)),
                ("4 to the webhook", spread(added.to_webhook)),
            ]),
            steps_ms: steps,
            on_chain_transactions: nonces,
            on_chain_transactions_per_1000: per(nonces as f64 * 1_000.0, transfers),
            rows_per_transfer_total: rounded(rows.values().sum()),
            rows_per_transfer: rows,
            database_commits_per_transfer: per((after.work.commits - before.work.commits) as f64, transfers),
            wal_bytes_per_transfer: per((after.work.wal_bytes - before.work.wal_bytes) as f64, transfers).round(),
            wal_fsyncs_per_transfer: per((after.work.wal_fsyncs - before.work.wal_fsyncs) as f64, transfers),
            batches: Batches {
                count: batches,
                commands_per_batch: per(after.batches.commands - before.batches.commands, batches),
                seconds_per_batch: (seconds / batches.max(1.0) * 1e6).round() / 1e6,
                busy: per(seconds, window),
                round_trips_max: ROUND_TRIPS_MAX,
            },
            cpu: cpu(&after.cpu.since(&before.cpu), transfers, window),
            states: states.into_values().fold(BTreeMap::new(), |mut count, state| {
                *count.entry(state).or_default() += 1;
                count
            }),
            platform_log: log,
            books_agree: books.ok(),
            books_differences: books.failures(),
        }
    }

    /// Why the run failed; nothing if it did not.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut must_be_none = |count: u64, what: &str| {
            if count > 0 {
                problems.push(format!("{count} transfers {what}"));
            }
        };
        must_be_none(self.lost as u64, "are lost");
        must_be_none(self.stuck as u64, "are stuck");
        must_be_none(self.duplicates, "are duplicates");
        if self.created == 0 {
            problems.push("no transfer was created".to_owned());
        }
        if !self.books_agree {
            problems.push("the books differ".to_owned());
        }
        problems
    }
}

fn rows(before: &Snapshot, after: &Snapshot, transfers: f64) -> BTreeMap<String, f64> {
    let earlier: HashMap<&str, i64> = before.rows.iter().map(|(table, n)| (table.as_str(), *n)).collect();
    let grown = |table: &str, n: i64| per((n - earlier.get(table).copied().unwrap_or(0)) as f64, transfers);
    after.rows.iter().map(|(table, n)| (table.clone(), grown(table, *n))).collect()
}

fn cpu(used: &Cpu, transfers: f64, window: f64) -> BTreeMap<&'static str, CpuUse> {
    let one = |seconds: f64| CpuUse {
        seconds: rounded(seconds),
        ms_per_transfer: per(seconds * 1_000.0, transfers),
        cores: per(seconds, window),
    };
    used.parts().into_iter().map(|(name, seconds)| (name, one(seconds))).collect()
}
