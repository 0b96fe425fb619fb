//! What integration tests share: one disposable Postgres cluster, and folders that clean up.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::process::ProcessId;
use crate::record::Record;
use crate::{DevkitError, Postgres, PostgresSettings, random_bytes, workspace_root};

const FOLDER_PREFIX: &str = "settla-test-";
const OWNER_FILE: &str = "owner.json";
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// Folders below a given one that are searched for records.
const RECORD_DEPTH: usize = 3;

/// The cluster that all test processes share: the first one starts it, empty and without fsync, in
/// `target/test-postgres`; the others find it there. It outlives them; `devkit-stop` ends it.
pub async fn test_cluster() -> Result<Postgres, DevkitError> {
    let folder = test_cluster_folder()?;
    Postgres::start_disposable(&folder, PostgresSettings::DISPOSABLE).await
}

fn test_cluster_folder() -> Result<PathBuf, DevkitError> {
    let root =
        workspace_root().ok_or(DevkitError::Missing { what: "the workspace", fix: "run the tests from inside it" })?;
    Ok(root.join("target/test-postgres"))
}

/// Stops the shared test cluster, if it runs.
pub fn stop_test_cluster() -> Result<(), DevkitError> {
    stop_recorded(&test_cluster_folder()?)
}

/// A fresh, empty database of one test on the shared cluster. Dropped with this value.
#[derive(Debug)]
pub struct TestDatabase {
    cluster: Postgres,
    name: String,
    url: String,
}

impl TestDatabase {
    /// Makes one. Starts the cluster if need be.
    pub async fn create() -> Result<Self, DevkitError> {
        let cluster = test_cluster().await?;
        let name = format!("test_{}", random_suffix()?);
        cluster.create_database(&name).await?;
        Ok(Self { url: cluster.url(&name), cluster, name })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The superuser's connection URL.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for TestDatabase {
    /// Best effort: what stays goes with the cluster.
    fn drop(&mut self) {
        let (cluster, name) = (self.cluster.clone(), std::mem::take(&mut self.name));
        // A thread of its own: the test's runtime cannot be entered again from here.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = runtime
                && let Err(error) = runtime.block_on(cluster.drop_database(&name))
            {
                tracing::warn!(%error, "a test database stays behind");
            }
        });
        let _finished = dropped.join();
    }
}

/// A folder of one test. When this is dropped, the parts that were started in it are stopped and it
/// is removed; after a failed test it is kept, to be read.
#[derive(Debug)]
pub struct TestFolder {
    path: PathBuf,
}

impl TestFolder {
    /// Makes one in the system's folder for temporary files, readable by the user that runs Postgres.
    pub fn new(label: &str) -> Result<Self, DevkitError> {
        let name = format!("{FOLDER_PREFIX}{label}-{}", random_suffix()?);
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).map_err(DevkitError::io("make", &path))?;
        let folder = Self { path };
        let owner = folder.path.join(OWNER_FILE);
        let line =
            serde_json::to_vec(&ProcessId::own()).map_err(|error| DevkitError::io("write", &owner)(error.into()))?;
        std::fs::write(&owner, line).map_err(DevkitError::io("write", &owner))?;
        Ok(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TestFolder {
    fn drop(&mut self) {
        if let Err(error) = stop_recorded(&self.path) {
            tracing::warn!(%error, "a part of a test is left running");
        }
        if std::thread::panicking() {
            eprintln!("the test's folder is kept: {}", self.path.display());
        } else if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "a test's folder stays behind");
        }
    }
}

/// Stops every child recorded in the folder or a few levels below it. A record whose process is
/// gone is left alone, whoever has its pid now.
pub fn stop_recorded(folder: &Path) -> Result<(), DevkitError> {
    for path in records(folder, RECORD_DEPTH)? {
        if let Some(record) = Record::read(&path) {
            record.process.stop_blocking(record.stop_signal, STOP_PATIENCE)?;
        }
    }
    Ok(())
}

fn records(folder: &Path, depth: usize) -> Result<Vec<PathBuf>, DevkitError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(DevkitError::io("read", folder)(error)),
    };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        // A data folder of Postgres holds no records, and may belong to another user.
        if is_folder && depth > 0 && entry.file_name() != "data" {
            found.extend(records(&path, depth - 1)?);
        } else if Record::is_at(&path) {
            found.push(path);
        }
    }
    Ok(found)
}

/// Stops the parts of test processes that were killed before they could do it. Folders of tests that
/// still run are not touched.
pub fn sweep_test_folders() -> Result<(), DevkitError> {
    let temp = std::env::temp_dir();
    let entries = std::fs::read_dir(&temp).map_err(DevkitError::io("read", &temp))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        let is_ours =
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(FOLDER_PREFIX));
        if is_ours && owner_is_gone(&path) {
            stop_recorded(&path)?;
        }
    }
    Ok(())
}

fn owner_is_gone(folder: &Path) -> bool {
    let owner: Option<ProcessId> =
        std::fs::read(folder.join(OWNER_FILE)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    owner.is_some_and(|owner| !owner.is_alive())
}

fn random_suffix() -> Result<String, DevkitError> {
    Ok(hex::encode(random_bytes::<8>()?))
}
