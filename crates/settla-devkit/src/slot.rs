//! The place of one child in its folder, held by one parent at a time.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions, TryLockError};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::DevkitError;
use crate::child::{Child, ChildSpec};
use crate::ports::{claim, free_ports, is_free, listens};
use crate::process::ProcessId;
use crate::record::Record;

/// Between two looks at a lock or at a child that is starting.
const POLL: Duration = Duration::from_millis(20);
/// A single question to a child.
const ASK_PATIENCE: Duration = Duration::from_secs(2);
/// How long a child that nobody recorded may take to end in good order.
const ORPHAN_PATIENCE: Duration = Duration::from_secs(10);
/// A log that has grown beyond this is put aside (one old one is kept) when its child starts.
const MAX_LOG: u64 = 16 << 20;
/// Starts with new ports, should another program take one between the choice and the start.
const PORT_ATTEMPTS: usize = 3;

pub(crate) struct Slot<'a> {
    spec: &'a ChildSpec<'a>,
    /// Held while this lives; closed on exec, so never passed to a child.
    _start_lock: File,
}

enum Readiness {
    Ready,
    Ended,
    Late,
}

impl<'a> Slot<'a> {
    /// Waits for its turn if another parent is attaching or starting the same child.
    pub(crate) async fn lock(spec: &'a ChildSpec<'a>) -> Result<Self, DevkitError> {
        std::fs::create_dir_all(spec.folder).map_err(DevkitError::io("make the folder", spec.folder))?;
        let path = spec.folder.join(format!("{}.start.lock", spec.name));
        // The other parent may itself have to stop an old child first.
        let patience = spec.ready_within * 2 + ORPHAN_PATIENCE;
        let start_lock = lock_within(&path, patience).await?;
        Ok(Self { spec, _start_lock: start_lock })
    }

    /// The child that already runs here. After `None` none does: one that is out of date, does not
    /// answer or was never recorded has been stopped.
    pub(crate) async fn attach<C, H, F>(&self, command: &C, healthy: &H) -> Result<Option<Child>, DevkitError>
    where
        C: Fn(&[u16]) -> Command,
        H: Fn(Vec<u16>) -> F,
        F: Future<Output = bool>,
    {
        if let Some(record) = self.record().filter(|record| record.process.is_alive()) {
            let child = self.child(&record, true);
            if record.fingerprint == fingerprint(&command(&record.ports))
                && matches!(self.readiness(&child, healthy).await?, Readiness::Ready)
            {
                return Ok(Some(child));
            }
            tracing::info!(name = self.spec.name, pid = child.pid(), "stopping an outdated child");
            child.stop().await?;
        }
        let lock = self.lock_path();
        if let Err(DevkitError::Held { .. }) = lock_within(&lock, Duration::ZERO).await {
            self.stop_unrecorded(&lock).await?;
        }
        Ok(None)
    }

    /// Starts the child, after [`Slot::attach`] found none.
    pub(crate) async fn start<C, H, F>(&self, command: &C, healthy: &H) -> Result<Child, DevkitError>
    where
        C: Fn(&[u16]) -> Command,
        H: Fn(Vec<u16>) -> F,
        F: Future<Output = bool>,
    {
        let previous = self
            .record()
            .map(|record| record.ports)
            .filter(|ports| ports.len() == self.spec.ports && ports.iter().all(|port| is_free(*port) && claim(*port)));
        let mut chosen = match previous {
            Some(ports) => ports,
            None => self.new_ports()?,
        };
        let mut attempt = 1;
        loop {
            let child = self.spawn(command(&chosen), chosen)?;
            match self.readiness(&child, healthy).await? {
                Readiness::Ready => return Ok(child),
                Readiness::Late => {
                    child.kill().await?;
                    return Err(DevkitError::NotReady {
                        name: self.spec.name.to_owned(),
                        within: self.spec.ready_within,
                        tail: tail(&child.log),
                        log: child.log,
                    });
                }
                Readiness::Ended => {
                    let port_lost = !child.ports.iter().copied().all(is_free);
                    if !port_lost || attempt == PORT_ATTEMPTS {
                        return Err(DevkitError::Exited {
                            name: self.spec.name.to_owned(),
                            tail: tail(&child.log),
                            log: child.log,
                        });
                    }
                    attempt += 1;
                    chosen = self.new_ports()?;
                }
            }
        }
    }

    fn new_ports(&self) -> Result<Vec<u16>, DevkitError> {
        free_ports(self.spec.ports).map_err(DevkitError::io("find ports for", self.spec.folder))
    }

    fn spawn(&self, mut command: Command, ports: Vec<u16>) -> Result<Child, DevkitError> {
        let log_path = self.spec.folder.join(format!("{}.log", self.spec.name));
        let log = open_log(&log_path).map_err(DevkitError::io("open", &log_path))?;
        let errors = log.try_clone().map_err(DevkitError::io("open", &log_path))?;
        let lock_path = self.lock_path();
        let lock = open_lock(&lock_path)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => DevkitError::Held { path: lock_path },
            TryLockError::Error(source) => DevkitError::io("lock", &lock_path)(source),
        })?;
        let fingerprint = fingerprint(&command);
        let mut process = command
            .stdin(lock)
            .stdout(log)
            .stderr(errors)
            // Not in the terminal's foreground group: Ctrl-C is for the parent.
            .process_group(0)
            .spawn()
            .map_err(DevkitError::io("start", Path::new(command.get_program())))?;
        let pid = process.id();
        let identity = ProcessId::of(pid);
        // Reaped, so that it does not stay a zombie for the rest of the parent's life.
        std::thread::spawn(move || {
            if let Ok(status) = process.wait() {
                tracing::debug!(pid, %status, "child ended");
            }
        });
        let Some(process) = identity else {
            return Err(DevkitError::Exited { name: self.spec.name.to_owned(), tail: tail(&log_path), log: log_path });
        };
        let record = Record { process, ports, stop_signal: self.spec.stop_signal, fingerprint };
        record.write(&Record::path(self.spec.folder, self.spec.name))?;
        Ok(self.child(&record, false))
    }

    async fn readiness<H, F>(&self, child: &Child, healthy: &H) -> Result<Readiness, DevkitError>
    where
        H: Fn(Vec<u16>) -> F,
        F: Future<Output = bool>,
    {
        let ask = async {
            loop {
                let listening = child.ports.iter().all(|port| listens(child.pid(), *port));
                if listening {
                    let answer = timeout(ASK_PATIENCE, healthy(child.ports.clone())).await;
                    if answer == Ok(true) {
                        return;
                    }
                }
                sleep(POLL).await;
            }
        };
        tokio::select! {
            ended = child.ended() => {
                ended.map_err(DevkitError::io("wait for", Path::new(self.spec.name)))?;
                Ok(Readiness::Ended)
            }
            () = ask => Ok(Readiness::Ready),
            () = sleep(self.spec.ready_within) => Ok(Readiness::Late),
        }
    }

    /// Ends whatever holds the child's lock: its parent was killed before it wrote the record, or
    /// children of the child have not noticed yet that it is gone.
    async fn stop_unrecorded(&self, lock: &Path) -> Result<(), DevkitError> {
        for process in holders(lock)? {
            tracing::info!(name = self.spec.name, pid = process.pid(), "stopping an unrecorded child");
            process.stop(self.spec.stop_signal, ORPHAN_PATIENCE).await?;
        }
        lock_within(lock, ORPHAN_PATIENCE).await.map(drop)
    }

    fn child(&self, record: &Record, attached: bool) -> Child {
        Child {
            process: record.process.clone(),
            ports: record.ports.clone(),
            log: self.spec.folder.join(format!("{}.log", self.spec.name)),
            stop_signal: record.stop_signal,
            attached,
        }
    }

    fn record(&self) -> Option<Record> {
        Record::read(&Record::path(self.spec.folder, self.spec.name))
    }

    fn lock_path(&self) -> PathBuf {
        self.spec.folder.join(format!("{}.lock", self.spec.name))
    }
}

fn open_lock(path: &Path) -> Result<File, DevkitError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(DevkitError::io("open", path))
}

async fn lock_within(path: &Path, patience: Duration) -> Result<File, DevkitError> {
    let file = open_lock(path)?;
    let deadline = Instant::now() + patience;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(source)) => return Err(DevkitError::io("lock", path)(source)),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                return Err(DevkitError::Held { path: path.to_owned() });
            }
            // A blocking lock could not be given up when the time is over.
            Err(TryLockError::WouldBlock) => sleep(POLL).await,
        }
    }
}

/// The processes whose standard input is this file.
fn holders(lock: &Path) -> Result<Vec<ProcessId>, DevkitError> {
    let lock = lock.canonicalize().map_err(DevkitError::io("find", lock))?;
    let processes = std::fs::read_dir("/proc").map_err(DevkitError::io("read", Path::new("/proc")))?;
    Ok(processes
        .flatten()
        .filter(|entry| std::fs::read_link(entry.path().join("fd/0")).is_ok_and(|input| input == lock))
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(ProcessId::of)
        .collect())
}

/// Arguments, environment and the program file itself: a rebuilt program is a different one. Kept as
/// a hash because arguments and environment may hold keys.
fn fingerprint(command: &Command) -> u64 {
    let mut hasher = DefaultHasher::new();
    command.get_program().hash(&mut hasher);
    command.get_args().collect::<Vec<&OsStr>>().hash(&mut hasher);
    command.get_envs().collect::<Vec<_>>().hash(&mut hasher);
    command.get_current_dir().hash(&mut hasher);
    if let Ok(file) = std::fs::metadata(command.get_program()) {
        file.len().hash(&mut hasher);
        file.modified().ok().hash(&mut hasher);
    }
    hasher.finish()
}

fn open_log(path: &Path) -> std::io::Result<File> {
    if std::fs::metadata(path).is_ok_and(|file| file.len() > MAX_LOG) {
        std::fs::rename(path, path.with_extension("log.old"))?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}

/// The end of a log, for an error message.
fn tail(log: &Path) -> String {
    const LENGTH: u64 = 2_000;
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let start = file.metadata()?.len().saturating_sub(LENGTH);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(LENGTH).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => String::from_utf8_lossy(&bytes).trim().to_owned(),
        Err(error) => format!("(unreadable: {error})"),
    }
}
