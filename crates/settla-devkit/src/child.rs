//! A child process that outlives its parent and is found again by the next one.
//!
//! In its folder a child `name` has
//!
//! - `name.child.json`: pid, start time, ports and a fingerprint of its command line;
//! - `name.lock`: locked for as long as the child (or a child of its own) lives, because the locked
//!   file is the child's standard input. So even a child whose parent was killed before it could
//!   write the record is noticed, and nothing is ever started twice in one folder;
//! - `name.start.lock`: held by the parent that is attaching or starting now;
//! - `name.log`: its output.
//!
//! A process is attached to, or signalled, only if pid **and** start time are the recorded ones, and
//! attached to only if that very process listens on the recorded ports and answers.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::DevkitError;
use crate::process::ProcessId;
pub use crate::process::StopSignal;
use crate::slot::Slot;

/// How a child is called, and the bounds of its life.
#[derive(Debug, Clone, Copy)]
pub struct ChildSpec<'a> {
    /// A short name, unique in the folder: it names the files.
    pub name: &'a str,
    /// Where record, locks and log are kept. Made if missing.
    pub folder: &'a Path,
    /// How many ports it listens on. They are kept over restarts while they are free.
    pub ports: usize,
    /// The signal that ends it in good order.
    pub stop_signal: StopSignal,
    /// How long it may take until it answers.
    pub ready_within: Duration,
}

/// A running child. Dropping this leaves it running.
#[derive(Debug, Clone)]
pub struct Child {
    pub(crate) process: ProcessId,
    pub(crate) ports: Vec<u16>,
    pub(crate) log: PathBuf,
    pub(crate) stop_signal: StopSignal,
    pub(crate) attached: bool,
}

/// How long a child may take to end in good order before it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(15);

impl Child {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The ports it listens on, in the order the command got them.
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// The file its output goes to.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Whether it had been started by an earlier parent.
    pub fn was_attached(&self) -> bool {
        self.attached
    }

    /// Whether it still runs.
    pub fn is_alive(&self) -> bool {
        self.process.is_alive()
    }

    /// Returns when it has ended.
    pub async fn ended(&self) -> io::Result<()> {
        self.process.ended().await
    }

    /// Ends it in good order: its stop signal, a bounded wait, then SIGKILL.
    pub async fn stop(&self) -> Result<(), DevkitError> {
        self.process.stop(self.stop_signal, STOP_PATIENCE).await
    }

    /// Ends it by SIGKILL, as a crash would.
    pub async fn kill(&self) -> Result<(), DevkitError> {
        self.process.kill().await
    }
}

/// Takes over the child that already runs in the folder or starts it.
///
/// `command` builds the command line for the ports; input, output and process group are set here.
/// `healthy` asks the child whether it is ready. A running child whose command line or program file
/// differs from the present one is stopped and started anew.
pub async fn attach_or_start<C, H, F>(spec: &ChildSpec<'_>, command: C, healthy: H) -> Result<Child, DevkitError>
where
    C: Fn(&[u16]) -> Command,
    H: Fn(Vec<u16>) -> F,
    F: Future<Output = bool>,
{
    let slot = Slot::lock(spec).await?;
    match slot.attach(&command, &healthy).await? {
        Some(child) => Ok(child),
        None => slot.start(&command, &healthy).await,
    }
}
