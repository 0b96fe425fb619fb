//! JSON logs on standard error or into a file. Personal data and secrets are kept out by their types.

use crate::failure::Failure;
use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Mutex;
use tracing_subscriber::EnvFilter;

const DEFAULT_FILTER: &str = "info,sqlx=warn,hyper=warn,reqwest=warn";

fn filter() -> EnvFilter {
    EnvFilter::try_from_env("SETTLA_LOG").unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER))
}

/// Logs to standard error.
pub fn to_stderr() {
    tracing_subscriber::fmt().json().with_env_filter(filter()).with_writer(std::io::stderr).init();
}

/// Logs to a file, which grows over restarts.
pub fn to_file(path: &Path) -> Result<(), Failure> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    tracing_subscriber::fmt().json().with_env_filter(filter()).with_writer(Mutex::new(file)).init();
    Ok(())
}
