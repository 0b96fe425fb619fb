//! A private Postgres cluster in a folder of its own.

mod binaries;
mod cluster;
mod owner;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};

use crate::DevkitError;
use crate::child::{Child, ChildSpec};
use crate::probe::postgres_accepts;
use crate::process::StopSignal;
use crate::slot::Slot;
pub use binaries::{Binaries, postgres_binaries};
use cluster::{Cluster, SUPERUSER};
use owner::Owner;

/// Recovery after a crash is part of a start, and may take its time on a slow disk.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// How a cluster runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostgresSettings {
    /// `fsync`, `synchronous_commit` and `full_page_writes` on. Off is for tests that may lose all.
    pub durable: bool,
    /// Connections at the same time.
    pub max_connections: u16,
    /// Size of `shared_buffers`.
    pub shared_buffers_mib: u16,
}

impl PostgresSettings {
    /// What is committed survives a crash. The default of a local system. Memory for buffers is taken as they are used;
    /// with little of it whoever writes has to make room first.
    pub const DURABLE: Self = Self { durable: true, max_connections: 200, shared_buffers_mib: 1_024 };

    /// Fast and forgetful, for test databases that are thrown away.
    pub const DISPOSABLE: Self = Self { durable: false, max_connections: 200, shared_buffers_mib: 128 };

    fn options(&self) -> Vec<String> {
        let durable = if self.durable { "on" } else { "off" };
        vec![
            format!("max_connections={}", self.max_connections),
            format!("shared_buffers={}MB", self.shared_buffers_mib),
            format!("fsync={durable}"),
            format!("synchronous_commit={durable}"),
            format!("full_page_writes={durable}"),
            "listen_addresses=127.0.0.1".to_owned(),
            // Short statements only: compiling them costs more than it saves.
            "jit=off".to_owned(),
            // A checkpoint now and then, by time. By volume there would be one every two minutes under a heavy load, and after
            // each of them every page that is written goes into the log as a whole.
            "checkpoint_timeout=15min".to_owned(),
            "max_wal_size=16GB".to_owned(),
            "timezone=UTC".to_owned(),
            "log_timezone=UTC".to_owned(),
        ]
    }
}

/// Longest name of a socket's folder: a socket's whole name has at most 107 bytes.
const SOCKET_FOLDER_BYTES_MAX: usize = 85;

/// Where a cluster has its socket: in its data folder, which is closed to other users. None if the name is too long for one,
/// or has characters that mean something in a list of folders.
fn socket(data: &Path) -> Option<&Path> {
    let name = data.to_str()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    (name.len() <= SOCKET_FOLDER_BYTES_MAX && name.starts_with('/') && name.chars().all(plain)).then_some(data)
}

/// A running private cluster. Dropping this leaves it running, as a database server would.
///
/// It listens on 127.0.0.1 and on a socket in its folder, and asks for a password (SCRAM): every user of the machine can
/// reach that address, and a superuser of Postgres can run programs. The password is random, made
/// with the cluster, and kept beside it in a file that only its owner can read.
#[derive(Clone)]
pub struct Postgres {
    child: Child,
    password: String,
    data: PathBuf,
}

impl Postgres {
    /// Takes over the cluster that runs in the folder, or starts it, or makes it first.
    ///
    /// Run as root it starts Postgres as the user `postgres` (or `nobody`), because Postgres
    /// refuses root; should that user not be able to reach the folder (a parent is closed, such as
    /// `/root`), the data is kept in `/var/tmp`, and record and log in the folder all the same.
    pub async fn start(folder: &Path, settings: PostgresSettings) -> Result<Self, DevkitError> {
        Self::start_in(folder, settings, false).await
    }

    /// Like [`Postgres::start`], but a cluster that does not run is made anew, without its data.
    pub(crate) async fn start_disposable(folder: &Path, settings: PostgresSettings) -> Result<Self, DevkitError> {
        Self::start_in(folder, settings, true).await
    }

    async fn start_in(folder: &Path, settings: PostgresSettings, disposable: bool) -> Result<Self, DevkitError> {
        let spec = ChildSpec {
            name: "postgres",
            folder,
            ports: 1,
            stop_signal: StopSignal::Interrupt,
            ready_within: READY_WITHIN,
        };
        let slot = Slot::lock(&spec).await?;
        let owner = Owner::for_postgres()?;
        let cluster = Cluster::in_folder(folder, owner.as_ref())?;
        let version = cluster.version()?;
        let mut binaries = Binaries::for_version(version.as_deref(), owner.as_ref());
        if disposable {
            // Data of a version that is no longer installed does not matter: it is made anew.
            binaries = binaries.or_else(|_| Binaries::for_version(None, owner.as_ref()));
        }
        let binaries = binaries?;
        let server = binaries.program("postgres");
        let command = |ports: &[u16]| {
            let mut command = Command::new(&server);
            if let Some(owner) = &owner {
                owner.apply(&mut command);
            }
            // A folder that every user can be in.
            command.current_dir("/").arg("-D").arg(cluster.data());
            for port in ports {
                command.arg("-p").arg(port.to_string());
            }
            for option in settings.options() {
                command.arg("-c").arg(option);
            }
            let socket = socket(cluster.data()).map_or("", |folder| folder.to_str().unwrap_or_default());
            command.arg("-c").arg(format!("unix_socket_directories={socket}"));
            command
        };
        let healthy = |ports: Vec<u16>| async move {
            match ports.first() {
                Some(port) => postgres_accepts(*port).await,
                None => false,
            }
        };
        let child = match slot.attach(&command, &healthy).await? {
            Some(child) => child,
            None => {
                if disposable {
                    cluster.remove()?;
                }
                cluster.prepare(&binaries, settings.durable).await?;
                slot.start(&command, &healthy).await?
            }
        };
        Ok(Self { child, password: cluster.password()?, data: cluster.data().to_owned() })
    }

    /// The port of 127.0.0.1 it listens on, the same over restarts while it is free.
    pub fn port(&self) -> u16 {
        self.child.ports().first().copied().unwrap_or_default()
    }

    /// The server process: id, log, liveness and its end.
    pub fn child(&self) -> &Child {
        &self.child
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The superuser's connection URL for a database. It holds the password.
    pub fn url(&self, database: &str) -> String {
        self.options(database).to_url_lossy().into()
    }

    /// As [`Self::url`], over the cluster's socket if it has one: that costs about half of a connection over 127.0.0.1. The
    /// URL has address and port as well, for programs that cannot use a socket.
    pub fn near_url(&self, database: &str) -> String {
        let options = self.options(database);
        let options = match socket(&self.data) {
            Some(folder) => options.socket(folder),
            None => options,
        };
        options.to_url_lossy().into()
    }

    /// The superuser's connection URL for the database `postgres`. It holds the password.
    pub fn superuser_url(&self) -> String {
        self.url("postgres")
    }

    /// Makes an empty database unless there is one of this name; tells whether it made it.
    pub async fn create_database(&self, name: &str) -> Result<bool, DevkitError> {
        let name = plain(name)?;
        let mut connection = self.connect().await?;
        // From template0: nobody is ever connected to it, so that creations do not disturb each other.
        let made = sqlx::query(&format!("CREATE DATABASE {name} TEMPLATE template0")).execute(&mut connection).await;
        connection.close().await?;
        match made {
            Ok(_) => Ok(true),
            Err(error) if is_duplicate(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Drops a database, with whoever is connected to it. Nothing to do if there is none.
    pub async fn drop_database(&self, name: &str) -> Result<(), DevkitError> {
        let name = plain(name)?;
        let mut connection = self.connect().await?;
        sqlx::query(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).execute(&mut connection).await?;
        Ok(connection.close().await?)
    }

    /// Ends it in good order without waiting for clients ("fast").
    pub async fn stop(&self) -> Result<(), DevkitError> {
        self.child.stop().await
    }

    /// Ends the server process by SIGKILL, as a crash would. The next start recovers.
    pub async fn kill(&self) -> Result<(), DevkitError> {
        self.child.kill().await
    }

    async fn connect(&self) -> Result<PgConnection, DevkitError> {
        Ok(self.options("postgres").connect().await?)
    }

    fn options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port())
            .username(SUPERUSER)
            .password(&self.password)
            .database(database)
            .ssl_mode(sqlx::postgres::PgSslMode::Disable)
    }
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Postgres")
            .field("port", &self.port())
            .field("pid", &self.child.pid())
            .field("data", &self.data)
            .finish_non_exhaustive()
    }
}

/// Only names that need no quoting.
fn plain(name: &str) -> Result<&str, DevkitError> {
    let mut bytes = name.bytes();
    let head = bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
    let rest = bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if head && rest && name.len() <= 63 { Ok(name) } else { Err(DevkitError::BadName(name.to_owned())) }
}

fn is_duplicate(error: &sqlx::Error) -> bool {
    const DUPLICATE_DATABASE: &str = "42P04";
    // Two creations at the same time: the second one meets the unique index.
    const UNIQUE_VIOLATION: &str = "23505";
    error
        .as_database_error()
        .and_then(|error| error.code())
        .is_some_and(|code| code == DUPLICATE_DATABASE || code == UNIQUE_VIOLATION)
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn only_plain_names() {
        assert!(plain("test_0a").is_ok());
        for bad in ["", "0a", "A", "a-b", "a\"b", "a b", &"a".repeat(64)] {
            assert!(plain(bad).is_err(), "{bad:?}");
        }
    }
}
