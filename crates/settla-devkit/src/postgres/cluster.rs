//! The files of a cluster: data folder and superuser's password.

use std::fs::{File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::timeout;

use super::binaries::Binaries;
use super::owner::{Owner, home};
use crate::{DevkitError, random_bytes};

pub(super) const SUPERUSER: &str = "postgres";
/// How the folder of a cluster that is being made begins.
const UNFINISHED: &str = "data.unfinished-";
const INITDB_PATIENCE: Duration = Duration::from_secs(120);

pub(super) struct Cluster<'a> {
    owner: Option<&'a Owner>,
    data: PathBuf,
    password_file: PathBuf,
}

impl<'a> Cluster<'a> {
    pub(super) fn in_folder(folder: &Path, owner: Option<&'a Owner>) -> Result<Self, DevkitError> {
        let home = home(folder, owner)?;
        Ok(Self { owner, data: home.join("data"), password_file: home.join("superuser-password") })
    }

    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    /// The major version that made the data, `None` when there is none yet.
    pub(super) fn version(&self) -> Result<Option<String>, DevkitError> {
        let path = self.data.join("PG_VERSION");
        match std::fs::read_to_string(&path) {
            Ok(version) => Ok(Some(version.trim().to_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(DevkitError::io("read", &path)(error)),
        }
    }

    pub(super) fn password(&self) -> Result<String, DevkitError> {
        let password =
            std::fs::read_to_string(&self.password_file).map_err(DevkitError::io("read", &self.password_file))?;
        Ok(password.trim().to_owned())
    }

    /// Makes the cluster ready for a start. Call it only while no process of it runs.
    pub(super) async fn prepare(&self, binaries: &Binaries, durable: bool) -> Result<(), DevkitError> {
        if self.version()?.is_none() {
            return self.create(binaries, durable).await;
        }
        // Left by a kill. Postgres goes by the pid in them, which by now may be another process's;
        // that none of its own is left is known from the lock they all hold.
        let entries = std::fs::read_dir(&self.data).map_err(DevkitError::io("read", &self.data))?;
        for entry in entries {
            let entry = entry.map_err(DevkitError::io("read", &self.data))?;
            if entry.file_name().to_string_lossy().starts_with(".s.PGSQL.") {
                remove_file(&entry.path())?;
            }
        }
        remove_file(&self.data.join("postmaster.pid"))
    }

    /// Removes the data, in one step as far as the next parent can see.
    pub(super) fn remove(&self) -> Result<(), DevkitError> {
        match std::fs::rename(&self.data, self.unfinished()?) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(DevkitError::io("remove", &self.data)(error)),
            _ => Ok(()),
        }
    }

    /// A new name for a folder that is not, or no longer, a cluster.
    fn unfinished(&self) -> Result<PathBuf, DevkitError> {
        let suffix = hex::encode(random_bytes::<8>()?);
        Ok(self.data.with_file_name(format!("{UNFINISHED}{suffix}")))
    }

    async fn create(&self, binaries: &Binaries, durable: bool) -> Result<(), DevkitError> {
        self.make_password()?;
        // Under another name until it is complete: a creation that was interrupted starts over. A name of
        // its own each time: an initdb whose parent was killed may still be at work in the old one.
        self.remove_unfinished();
        let unfinished = self.unfinished()?;
        std::fs::create_dir(&unfinished).map_err(DevkitError::io("make", &unfinished))?;
        std::fs::set_permissions(&unfinished, Permissions::from_mode(0o700))
            .map_err(DevkitError::io("close", &unfinished))?;
        let program = binaries.program("initdb");
        let mut command = std::process::Command::new(&program);
        if let Some(owner) = self.owner {
            owner.take(&unfinished)?;
            owner.take(&self.password_file)?;
            owner.apply(&mut command);
        }
        command
            .current_dir("/")
            .args(["--username", SUPERUSER, "--auth", "scram-sha-256"])
            .args(["--encoding", "UTF8", "--no-locale", "--no-instructions"])
            .arg("--pwfile")
            .arg(&self.password_file)
            .arg("--pgdata")
            .arg(&unfinished);
        command.arg(if durable { "--data-checksums" } else { "--no-sync" });
        let output = tokio::process::Command::from(command).kill_on_drop(true).output();
        let failed = |output: String| DevkitError::Failed { program: program.display().to_string(), output };
        let output = timeout(INITDB_PATIENCE, output)
            .await
            .map_err(|_| failed(format!("no end after {INITDB_PATIENCE:?}")))?
            .map_err(DevkitError::io("start", &program))?;
        if !output.status.success() {
            return Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        std::fs::rename(&unfinished, &self.data).map_err(DevkitError::io("finish", &self.data))
    }

    /// Best effort: one that is still written to goes the next time.
    fn remove_unfinished(&self) {
        let entries = self.data.parent().and_then(|home| std::fs::read_dir(home).ok());
        for entry in entries.into_iter().flatten().flatten() {
            let is_unfinished = entry.file_name().to_str().is_some_and(|name| name.starts_with(UNFINISHED));
            if is_unfinished && let Err(error) = std::fs::remove_dir_all(entry.path()) {
                tracing::debug!(%error, path = %entry.path().display(), "left for the next time");
            }
        }
    }

    fn make_password(&self) -> Result<(), DevkitError> {
        let path = &self.password_file;
        let password = hex::encode(random_bytes::<24>()?);
        remove_file(path)?;
        let write = || -> std::io::Result<()> {
            let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
            writeln!(file, "{password}")?;
            file.sync_all()
        };
        write().map_err(DevkitError::io("write", path))
    }
}

fn remove_file(path: &Path) -> Result<(), DevkitError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(DevkitError::io("remove", path)(error)),
        _ => Ok(()),
    }
}
