//! A folder for a system that is not meant to last.

use crate::failure::Failure;
use std::path::{Path, PathBuf};

/// A new folder among the temporary files. When this is dropped, whatever still runs in it is stopped, and
/// it is removed unless it is to be kept.
pub struct ScratchFolder {
    path: PathBuf,
    kept: bool,
}

impl ScratchFolder {
    /// Makes one, readable by the user that runs Postgres.
    pub fn new(label: &str) -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("settla-{label}-{}", uuid::Uuid::now_v7().simple()));
        std::fs::create_dir(&path)?;
        Ok(Self { path, kept: false })
    }

    /// As [`Self::new`], below another folder, which is made if it is missing.
    pub fn below(parent: &Path, label: &str) -> Result<Self, Failure> {
        std::fs::create_dir_all(parent)?;
        let path = parent.canonicalize()?.join(format!("{label}-{}", uuid::Uuid::now_v7().simple()));
        std::fs::create_dir(&path)?;
        Ok(Self { path, kept: false })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps it, to be read.
    pub fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for ScratchFolder {
    fn drop(&mut self) {
        if let Err(error) = settla_devkit::stop_recorded(&self.path) {
            eprintln!("a part in {} is left running: {error}", self.path.display());
        }
        if !self.kept
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            eprintln!("{} stays behind: {error}", self.path.display());
        }
    }
}
