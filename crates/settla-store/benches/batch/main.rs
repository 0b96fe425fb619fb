//! What it costs to write postings into a Postgres that keeps them: `cargo bench -p settla-store`.
//!
//! Batches of several sizes are decided, written and committed by the code that the runner does it with, on a connection
//! of their own, with what the runner writes beside a reservation (first answer, sealed personal data, audit entry). Each
//! size begins with an empty database and ends with the check of its books. The server is started for this on a free port
//! and stopped afterwards. It takes a minute or two, and about a gigabyte in the folder for temporary files meanwhile.

#[expect(dead_code, reason = "the store's tests need more of it")]
#[path = "../../tests/store/apply.rs"]
mod apply;
#[expect(unused_imports, reason = "its own tests are left out")]
#[path = "../../../settla/src/bench/machine.rs"]
mod machine;
mod round;
#[expect(unused_imports, reason = "its own tests are left out")]
#[path = "../../../settla/src/bench/spread.rs"]
mod spread;
#[expect(dead_code, reason = "the store's tests need more of it")]
#[path = "../../tests/support/mod.rs"]
mod support;

use machine::{Machine, git_commit};
use round::{Ground, Took};
use settla_devkit::{Postgres, PostgresSettings, TestFolder};
use settla_store::Store;
use spread::spread;
use sqlx::Row;
use std::time::Duration;

/// The platform's.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Commands a batch, and how often each is measured. The runner takes 400 at most.
const SIZES: [(usize, usize); 4] = [(1, 200), (10, 200), (100, 200), (400, 100)];
/// Rounds that come first and are not counted: statements are prepared, and Postgres reads its catalogue.
const WARM_UP: usize = 5;

fn main() {
    if is_asked_for() {
        // The runner has a thread of its own as well.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(bench());
    }
}

/// Cargo says `--bench` unless it runs this as a test; any other word says which benchmarks to run.
fn is_asked_for() -> bool {
    let (flags, words): (Vec<String>, Vec<String>) = std::env::args().skip(1).partition(|arg| arg.starts_with("--"));
    flags.iter().any(|flag| flag == "--bench") && (words.is_empty() || words.iter().any(|word| "batch".contains(word)))
}

async fn bench() {
    let folder = TestFolder::new("bench").unwrap();
    let postgres = Postgres::start(folder.path(), PostgresSettings::DURABLE).await.unwrap();
    for (place, (commands, rounds)) in SIZES.into_iter().enumerate() {
        let name = format!("batch_{commands}");
        postgres.create_database(&name).await.unwrap();
        let store = support::open(&postgres.url(&name)).await;
        if place == 0 {
            print_head(&postgres, &store).await;
        }
        let mut ground = Ground::new(&store).await;
        let mut took = Vec::new();
        for _ in 0..WARM_UP + rounds {
            took.push(ground.round(commands).await);
        }
        ground.check(&store, commands * took.len()).await;
        let counted = &took[WARM_UP..];
        print_row("reservations", commands, counted.iter().map(|round| round.reserved));
        print_row("payouts", commands, counted.iter().map(|round| round.paid));
        store.close().await;
        postgres.drop_database(&name).await.unwrap();
    }
    postgres.stop().await.unwrap();
}

async fn print_head(postgres: &Postgres, store: &Store) {
    let machine = Machine::read(postgres.data());
    let commit = git_commit().unwrap_or_else(|| "unknown".to_owned());
    println!(
        "{} x {}, {} MiB, database on {}; commit {commit}",
        machine.cores, machine.cpu, machine.memory_mib, machine.filesystem
    );
    let mut settings = Vec::new();
    for name in ["server_version", "fsync", "synchronous_commit", "full_page_writes"] {
        let row = sqlx::query(&format!("SHOW {name}")).fetch_one(&store.auditor).await.unwrap();
        settings.push((name, row.get::<String, _>(0)));
    }
    assert!(settings[1..].iter().all(|(_, value)| value == "on"), "not durable: {settings:?}");
    println!("Postgres {}; fsync, synchronous_commit and full_page_writes on\n", settings[0].1);
    println!(
        "| batch | postings | begin, load, decide: median, ms | p99 | write, commit: median, ms | p99 | a command, µs | a posting, µs |"
    );
    println!("|---|---|---|---|---|---|---|---|");
}

/// The last two columns are the median of write and commit, shared out.
fn print_row(of: &str, commands: usize, took: impl Iterator<Item = Took> + Clone) {
    let postings = took.clone().map(|one| one.postings).max().unwrap_or_default();
    let of_all = |part: fn(Took) -> Duration| spread(took.clone().map(part).collect());
    let (decided, written) = (of_all(|one| one.decided), of_all(|one| one.written));
    let share = |among: usize| written.p50_ms * 1e3 / among as f64;
    println!(
        "| {commands} {of} | {postings} | {:.2} | {:.2} | {:.2} | {:.2} | {:.1} | {:.1} |",
        decided.p50_ms,
        decided.p99_ms,
        written.p50_ms,
        written.p99_ms,
        share(commands),
        share(postings)
    );
}
