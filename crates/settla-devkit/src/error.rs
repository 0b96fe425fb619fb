//! The one error type of this crate.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a part could not be started, found or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DevkitError {
    /// The operating system refused.
    #[error("{action}: {source}")]
    Io {
        /// What was tried.
        action: String,
        /// What it answered.
        source: io::Error,
    },
    /// A part ended before it was ready.
    #[error("{name} ended before it was ready; the end of {}:\n{tail}", log.display())]
    Exited {
        /// The part.
        name: String,
        /// Its log.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// A part runs but does not answer.
    #[error("{name} was not ready after {within:?}; the end of {}:\n{tail}", log.display())]
    NotReady {
        /// The part.
        name: String,
        /// How long it was given.
        within: Duration,
        /// Its log.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// Something else holds the folder and would not let go.
    #[error("{} is held by another process", path.display())]
    Held {
        /// The lock file.
        path: PathBuf,
    },
    /// A process did not end, not even by SIGKILL.
    #[error("process {pid} does not end")]
    Unstoppable {
        /// The process.
        pid: u32,
    },
    /// A program that is needed is not there.
    #[error("{what} not found: {fix}")]
    Missing {
        /// What is missing.
        what: &'static str,
        /// How to mend it.
        fix: &'static str,
    },
    /// A helper program failed.
    #[error("{program} failed: {output}")]
    Failed {
        /// The program.
        program: String,
        /// What it said.
        output: String,
    },
    /// A folder is not in the state it should be in.
    #[error("{}: {problem}", path.display())]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A database name that is not a plain lower-case identifier.
    #[error("{0:?} is not a plain database name")]
    BadName(String),
    /// Postgres refused a statement.
    #[error("postgres: {0}")]
    Database(#[from] sqlx::Error),
}

impl DevkitError {
    /// For `map_err`: an I/O error with what was tried on which path.
    pub(crate) fn io(action: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let action = format!("{action} {}", path.display());
        move |source| Self::Io { action, source }
    }
}
