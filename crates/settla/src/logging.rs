//! JSON logs on standard error or into a file. Personal data and secrets are kept out by their types.

use crate::failure::Failure;
use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Mutex;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::SubscriberBuilder;
use tracing_subscriber::fmt::format::{Format, Json, JsonFields};

const DEFAULT_FILTER: &str = "info,sqlx=warn,hyper=warn,reqwest=warn";

fn filter() -> EnvFilter {
    EnvFilter::try_from_env("SETTLA_LOG").unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER))
}

/// One object a line. A request's span has no other around it, so the list of all spans would only repeat it.
fn json() -> SubscriberBuilder<JsonFields, Format<Json>, EnvFilter> {
    tracing_subscriber::fmt().json().with_span_list(false).with_env_filter(filter())
}

/// Logs to standard error.
pub fn to_stderr() {
    json().with_writer(std::io::stderr).init();
}

/// Logs to a file, which grows over restarts.
pub fn to_file(path: &Path) -> Result<(), Failure> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    json().with_writer(Mutex::new(file)).init();
    Ok(())
}
