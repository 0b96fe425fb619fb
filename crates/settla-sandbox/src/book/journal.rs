//! The journal file of a book: JSON lines, appended by one writer thread that syncs for everybody who waits.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use crate::error::StoreError;

/// Longest line that is read back. A manifest of 2,000 members takes about 200 kB.
const LINE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// From one sync to the next, at least: whoever comes in between shares it, and the disk is there for others too.
const SYNC_EVERY: Duration = Duration::from_millis(10);
/// With this much waiting for the disk, further changes are refused.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// A write buffer larger than this is given back after use.
const BUFFER_BYTES_KEPT: usize = 1024 * 1024;

/// An open journal. Dropping it writes what is waiting.
pub(super) struct Journal {
    shared: Arc<Shared>,
    durable: watch::Receiver<Durable>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Clone, Copy)]
enum Durable {
    UpTo(u64),
    Failed,
}

struct Shared {
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    position: u64,
    failed: bool,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it holds this lock, and a half-made change to it cannot exist.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal {
    /// Opens the folder's journal, hands each line to `apply`, cuts off a torn last line and starts the writer.
    pub(super) fn open(
        dir: &Path,
        apply: impl FnMut(&[u8]) -> Result<(), serde_json::Error>,
    ) -> Result<Self, StoreError> {
        let io = |path: &Path, source| StoreError::Io { path: path.to_owned(), source };
        std::fs::create_dir_all(dir).map_err(|source| io(dir, source))?;
        let path = dir.join("journal.jsonl");
        let file = OpenOptions::new().read(true).append(true).create(true).open(&path).map_err(|e| io(&path, e))?;
        // The name of a new file is durable only when its folder is.
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(|source| io(dir, source))?;
        let length = replay(&file, &path, apply)?;
        file.set_len(length).and_then(|()| file.sync_all()).map_err(|source| io(&path, source))?;

        let shared = Arc::new(Shared { waiting: Mutex::default(), wake: Condvar::new() });
        let (progress, durable) = watch::channel(Durable::UpTo(0));
        let for_writer = Arc::clone(&shared);
        let writer = std::thread::Builder::new()
            .name("sandbox-journal".to_owned())
            .spawn(move || write_until_closed(file, &path, &for_writer, &progress))
            .map_err(|source| io(dir, source))?;
        Ok(Self { shared, durable, writer: Some(writer) })
    }

    /// Whether a change may be made now.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let waiting = self.shared.lock();
        match (waiting.failed, waiting.lines.len() > WAITING_BYTES_MAX) {
            (true, _) => Err(StoreError::Broken),
            (false, true) => Err(StoreError::Behind),
            (false, false) => Ok(()),
        }
    }

    /// Queues whole lines and returns the position to wait for.
    pub(super) fn append(&self, lines: &[u8]) -> u64 {
        let mut waiting = self.shared.lock();
        if !lines.is_empty() {
            waiting.lines.extend_from_slice(lines);
            waiting.position += 1;
            self.shared.wake.notify_one();
        }
        waiting.position
    }

    /// The position that covers everything queued so far.
    pub(super) fn position(&self) -> u64 {
        self.shared.lock().position
    }

    /// Refuses everything from now on.
    pub(super) fn fail(&self) {
        self.shared.lock().failed = true;
    }

    /// Waits until everything up to the position is on disk.
    pub(super) async fn durable(&self, position: u64) -> Result<(), StoreError> {
        let mut durable = self.durable.clone();
        let reached = durable
            .wait_for(|durable| match durable {
                Durable::UpTo(upto) => *upto >= position,
                Durable::Failed => true,
            })
            .await;
        match reached.as_deref() {
            Ok(Durable::UpTo(_)) => Ok(()),
            Ok(Durable::Failed) | Err(_) => Err(StoreError::Broken),
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_one();
        if let Some(writer) = self.writer.take() {
            // The writer has no panic of its own to report; a failed write was logged by it.
            let _ = writer.join();
        }
    }
}

fn write_until_closed(mut file: File, path: &Path, shared: &Shared, progress: &watch::Sender<Durable>) {
    let mut lines = Vec::new();
    let mut synced_at: Option<Instant> = None;
    loop {
        let position = {
            let mut waiting = shared.lock();
            while waiting.lines.is_empty() && !waiting.closed {
                waiting = shared.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
            if waiting.lines.is_empty() {
                return;
            }
            if let Some(left) = synced_at.and_then(|at| SYNC_EVERY.checked_sub(at.elapsed())) {
                drop(waiting);
                std::thread::sleep(left);
                waiting = shared.lock();
            }
            std::mem::swap(&mut lines, &mut waiting.lines);
            waiting.position
        };
        synced_at = Some(Instant::now());
        if let Err(error) = file.write_all(&lines).and_then(|()| file.sync_data()) {
            tracing::error!(path = %path.display(), %error, "journal write failed");
            shared.lock().failed = true;
            progress.send_replace(Durable::Failed);
            return;
        }
        progress.send_replace(Durable::UpTo(position));
        lines.clear();
        lines.shrink_to(BUFFER_BYTES_KEPT);
    }
}

/// Applies all whole lines and returns where the last of them ends.
fn replay(
    file: &File,
    path: &Path,
    mut apply: impl FnMut(&[u8]) -> Result<(), serde_json::Error>,
) -> Result<u64, StoreError> {
    let mut reader = BufReader::with_capacity(1024 * 1024, file);
    let (mut line, mut end, mut number) = (Vec::new(), 0_u64, 0_u64);
    loop {
        line.clear();
        let read = reader
            .by_ref()
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut line)
            .map_err(|source| StoreError::Io { path: path.to_owned(), source })?;
        number += 1;
        let damaged = |reason| StoreError::Damaged { path: path.to_owned(), line: number, reason };
        match line.strip_suffix(b"\n") {
            Some(whole) => apply(whole).map_err(|error| damaged(error.to_string()))?,
            None if read as u64 == LINE_BYTES_MAX => return Err(damaged("line too long".to_owned())),
            None => return Ok(end),
        }
        end += read as u64;
    }
}
