//! What every server is opened with.

use std::{path::PathBuf, sync::Arc};

use crate::{lock::FolderLock, magic::Script, stop::Stop, webhook::Announcer};

/// A server's folder and what it shares with the others.
pub(crate) struct Setup {
    pub(crate) dir: PathBuf,
    pub(crate) lock: FolderLock,
    pub(crate) announcer: Arc<Announcer>,
    pub(crate) script: Script,
    pub(crate) stop: Stop,
}
