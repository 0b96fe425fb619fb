//! Processes by identity, not by number: a pid is reused, a pid with its start time is not.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::DevkitError;

/// How long a process that was sent SIGKILL may take to go.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// One wait for a process's end, after which it is asked whether anybody still wants to know.
const SLICE: Duration = Duration::from_secs(1);

/// The signal that asks a part to end in good order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopSignal {
    /// SIGTERM, the usual one.
    Terminate,
    /// SIGINT: to Postgres a "fast" shutdown that does not wait for clients.
    Interrupt,
}

impl StopSignal {
    fn number(self) -> Signal {
        match self {
            Self::Terminate => Signal::TERM,
            Self::Interrupt => Signal::INT,
        }
    }
}

/// One process of this machine since its boot: the pid alone may belong to another one tomorrow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    pid: u32,
    /// Clock ticks from boot to the process's start, field 22 of `/proc/<pid>/stat`.
    start_ticks: u64,
    /// The kernel's id of this boot.
    boot_id: String,
}

impl ProcessId {
    /// The process that has this pid now, unless there is none or it has ended.
    pub fn of(pid: u32) -> Option<Self> {
        Self::identify(pid).filter(Self::is_alive)
    }

    /// Like [`ProcessId::of`], but also one that has ended and is still in the table.
    fn identify(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(Self { pid, start_ticks: start_ticks(&stat)?, boot_id: boot_id.trim().to_owned() })
    }

    /// The process that asks.
    pub fn own() -> Option<Self> {
        Self::of(std::process::id())
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it still runs. A process that ended and was not yet reaped does not; one whose first
    /// thread has ended before the others does.
    pub fn is_alive(&self) -> bool {
        matches!(self.ended_within(Duration::ZERO), Ok(false))
    }

    /// A descriptor of exactly this process, `None` when it is gone.
    fn open(&self) -> io::Result<Option<OwnedFd>> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return Ok(None);
        };
        let fd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(fd) => fd,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // Looked at after opening: had the pid been reused before, the start time would differ.
        let identity = Self::identify(self.pid);
        Ok((identity.as_ref() == Some(self)).then_some(fd))
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        match self.open()? {
            Some(fd) => match pidfd_send_signal(&fd, signal) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
                Err(error) => Err(error.into()),
            },
            None => Ok(()),
        }
    }

    /// Returns when the process has ended. Waited for in a thread of its own, which goes too, a
    /// second later at most, when this future is dropped.
    pub async fn ended(&self) -> io::Result<()> {
        let process = self.clone();
        let (tell, told) = oneshot::channel();
        std::thread::Builder::new().name("devkit-wait".to_owned()).spawn(move || {
            while !tell.is_closed() {
                match process.ended_within(SLICE) {
                    Ok(false) => {}
                    Ok(true) => return drop(tell.send(Ok(()))),
                    Err(error) => return drop(tell.send(Err(error))),
                }
            }
        })?;
        told.await.map_err(io::Error::other)?
    }

    /// Waits in the calling thread; `false` when it still runs after `patience`.
    fn ended_within(&self, patience: Duration) -> io::Result<bool> {
        let Some(fd) = self.open()? else {
            return Ok(true);
        };
        let patience = Timespec::try_from(patience).map_err(io::Error::other)?;
        let mut watched = [PollFd::new(&fd, PollFlags::IN)];
        match poll(&mut watched, Some(&patience)) {
            Ok(ready) => Ok(ready > 0),
            // Interrupted: one more look, without a wait, so that it stays bounded.
            Err(rustix::io::Errno::INTR) => Ok(poll(&mut watched, Some(&Timespec::default()))? > 0),
            Err(error) => Err(error.into()),
        }
    }

    /// Asks it to end, waits at most `patience`, then ends it by SIGKILL. Blocks the thread: for
    /// `Drop` and for small programs.
    pub fn stop_blocking(&self, signal: StopSignal, patience: Duration) -> Result<(), DevkitError> {
        self.signal(signal.number()).map_err(|e| self.error(e))?;
        if self.ended_within(patience).map_err(|e| self.error(e))? {
            return Ok(());
        }
        self.signal(Signal::KILL).map_err(|e| self.error(e))?;
        match self.ended_within(KILL_PATIENCE) {
            Ok(true) => Ok(()),
            Ok(false) => Err(DevkitError::Unstoppable { pid: self.pid }),
            Err(error) => Err(self.error(error)),
        }
    }

    /// Asks it to end, waits at most `patience`, then ends it by SIGKILL.
    pub async fn stop(&self, signal: StopSignal, patience: Duration) -> Result<(), DevkitError> {
        self.signal(signal.number()).map_err(|e| self.error(e))?;
        match tokio::time::timeout(patience, self.ended()).await {
            Ok(ended) => ended.map_err(|e| self.error(e)),
            Err(_) => self.kill().await,
        }
    }

    /// Ends it by SIGKILL and waits until it is gone.
    pub async fn kill(&self) -> Result<(), DevkitError> {
        self.signal(Signal::KILL).map_err(|e| self.error(e))?;
        match tokio::time::timeout(KILL_PATIENCE, self.ended()).await {
            Ok(ended) => ended.map_err(|e| self.error(e)),
            Err(_) => Err(DevkitError::Unstoppable { pid: self.pid }),
        }
    }

    fn error(&self, source: io::Error) -> DevkitError {
        DevkitError::Io { action: format!("process {}", self.pid), source }
    }
}

/// The start time in a stat line, its field 22.
fn start_ticks(stat: &str) -> Option<u64> {
    // The name, field 2, is in parentheses and may itself hold spaces and parentheses.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_start_time_behind_an_odd_name() {
        let stat = "7 (a) b) (c) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 1 1";
        assert_eq!(start_ticks(stat), Some(12345));
        assert_eq!(start_ticks("nonsense"), None);
    }

    #[test]
    fn a_process_that_ended_and_was_not_reaped_is_not_alive() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
        let process = ProcessId::of(child.id()).expect("alive");
        child.kill().expect("kill");
        assert!(process.ended_within(KILL_PATIENCE).expect("wait"));
        assert!(!process.is_alive());
        assert_eq!(ProcessId::of(child.id()), None);
        child.wait().expect("wait");
    }

    #[test]
    fn this_process_is_alive_and_its_pid_at_another_time_is_not() {
        let own = ProcessId::own().expect("own process");
        assert!(own.is_alive());
        let earlier = ProcessId { start_ticks: own.start_ticks - 1, ..own };
        assert!(!earlier.is_alive());
        // Would end the test itself if it went by the number alone.
        earlier.stop_blocking(StopSignal::Terminate, Duration::ZERO).expect("nothing to stop");
    }
}
