//! The lock on the sandbox's folder, held by everything that writes there.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::Path,
    sync::Arc,
    time::Duration,
};

use crate::error::SandboxError;

/// How long a start waits for a sandbox that is just ending.
const TRIES_MAX: u32 = 100;
const TRY_EVERY: Duration = Duration::from_millis(30);

/// Free when the last clone is gone: every book and wallet has one, and drops it after its own last write.
#[derive(Clone)]
pub(crate) struct FolderLock(#[expect(dead_code, reason = "held, not used")] Arc<File>);

impl FolderLock {
    /// Makes the folder and takes its lock. Waits a moment for one that is being given back.
    pub(crate) async fn take(dir: &Path) -> Result<Self, SandboxError> {
        let io = |source| SandboxError::Io { path: dir.to_owned(), source };
        std::fs::create_dir_all(dir).map_err(io)?;
        let path = dir.join("sandbox.lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(io)?;
        for _ in 0..TRIES_MAX {
            match file.try_lock() {
                Ok(()) => return Ok(Self(Arc::new(file))),
                Err(TryLockError::Error(source)) => return Err(io(source)),
                // A file lock cannot be waited for with a limit but by trying.
                Err(TryLockError::WouldBlock) => tokio::time::sleep(TRY_EVERY).await,
            }
        }
        Err(SandboxError::InUse(dir.to_owned()))
    }
}
