//! Starts and supervises the real parts that a local system or a test needs: a private Postgres,
//! a local EVM node, and any other child process, each on a free port of 127.0.0.1 and in a folder
//! of its own.
//!
//! The parts outlive the program that started them, as the outside world does: after a `kill -9`
//! of the parent the next one finds them by their record ([`child`]) and carries on. Nothing here
//! runs in production.
//!
//! For tests: [`TestDatabase::create`] gives a fresh database on a cluster that all test processes
//! of a run share, [`TestFolder`] a folder whose parts are stopped when it is dropped, and
//! [`rounds`] the number of rounds of a test with a short and a full form. `devkit-stop` (run by
//! `make test`) stops what a test run left running.

mod anvil;
pub mod child;
pub mod doctor;
mod error;
pub mod ports;
mod postgres;
pub mod probe;
pub mod process;
mod record;
mod slot;
mod testing;

use std::path::{Path, PathBuf};

pub use anvil::{Anvil, AnvilSettings, anvil_binary};
pub use error::DevkitError;
pub use postgres::{Binaries, Postgres, PostgresSettings, postgres_binaries};
pub use testing::{TestDatabase, TestFolder, stop_recorded, stop_test_cluster, sweep_test_folders, test_cluster};

/// The workspace this crate was built in or, when that is gone (a copied binary), the nearest
/// folder upwards of the current one that looks like it.
pub fn workspace_root() -> Option<PathBuf> {
    let looks_right = |path: &Path| path.join("crates/settla-devkit").is_dir();
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    if let Some(root) = built_in.filter(|root| looks_right(root)) {
        return Some(root.to_owned());
    }
    let current = std::env::current_dir().ok()?;
    current.ancestors().find(|path| looks_right(path)).map(Path::to_owned)
}

/// The rounds of a test that has a short form (every run) and a full one (`make soak`, which sets
/// `SETTLA_SOAK=1`).
pub fn rounds(short: u32, full: u32) -> u32 {
    if std::env::var_os("SETTLA_SOAK").is_some_and(|value| value == "1") { full } else { short }
}

fn random_bytes<const N: usize>() -> Result<[u8; N], DevkitError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| DevkitError::Io { action: "draw random bytes".to_owned(), source: error.into() })?;
    Ok(bytes)
}
