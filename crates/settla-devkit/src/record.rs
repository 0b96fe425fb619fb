//! What a parent leaves behind about a child, for the next parent: `<name>.child.json`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::DevkitError;
use crate::process::{ProcessId, StopSignal};

const SUFFIX: &str = ".child.json";

/// A child process as recorded in its folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub process: ProcessId,
    pub ports: Vec<u16>,
    pub stop_signal: StopSignal,
    /// Of the command line and the program file; another one means the child is out of date.
    pub fingerprint: u64,
}

impl Record {
    pub(crate) fn path(folder: &Path, name: &str) -> PathBuf {
        folder.join(format!("{name}{SUFFIX}"))
    }

    pub(crate) fn is_at(path: &Path) -> bool {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.ends_with(SUFFIX))
    }

    /// `None` when there is none or it is damaged: the child's lock still tells whether it runs.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        let bytes = std::fs::read(path).ok()?;
        serde_json::from_slice(&bytes)
            .inspect_err(|error| tracing::warn!(path = %path.display(), %error, "damaged record"))
            .ok()
    }

    /// In one step: a reader sees the old one or the new one.
    pub(crate) fn write(&self, path: &Path) -> Result<(), DevkitError> {
        let mut bytes =
            serde_json::to_vec_pretty(self).map_err(|error| DevkitError::io("write", path)(error.into()))?;
        bytes.push(b'\n');
        let new = path.with_extension("json.new");
        std::fs::write(&new, bytes).map_err(DevkitError::io("write", &new))?;
        std::fs::rename(&new, path).map_err(DevkitError::io("write", path))
    }
}
