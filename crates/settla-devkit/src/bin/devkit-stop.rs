//! Stops what a test run left running: the shared test Postgres, and the parts of tests that were
//! killed. With folders as arguments it stops the parts recorded in those instead.

use std::path::Path;
use std::process::ExitCode;

use settla_devkit::{DevkitError, stop_recorded, stop_test_cluster, sweep_test_folders};

fn main() -> ExitCode {
    let folders: Vec<_> = std::env::args_os().skip(1).collect();
    let stopped: Result<(), DevkitError> = if folders.is_empty() {
        stop_test_cluster().and_then(|()| sweep_test_folders())
    } else {
        folders.iter().try_for_each(|folder| stop_recorded(Path::new(folder)))
    };
    match stopped {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("devkit-stop: {error}");
            ExitCode::FAILURE
        }
    }
}
