//! Who runs Postgres, and which folders that user can reach. Postgres refuses to run as root.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::DevkitError;

/// The user that Postgres runs as when the parent is root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    uid: u32,
    gid: u32,
}

impl Owner {
    /// `None` when the parent is not root: Postgres then runs as the parent's own user.
    pub(super) fn for_postgres() -> Result<Option<Self>, DevkitError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let users = Path::new("/etc/passwd");
        let table = std::fs::read_to_string(users).map_err(DevkitError::io("read", users))?;
        ["postgres", "nobody"].iter().find_map(|user| Self::in_table(&table, user)).map(Some).ok_or(
            DevkitError::Missing {
                what: "a user to run Postgres as",
                fix: "make a user named postgres, or do not run as root",
            },
        )
    }

    fn in_table(table: &str, user: &str) -> Option<Self> {
        table.lines().find_map(|line| {
            let mut fields = line.split(':');
            if fields.next()? != user {
                return None;
            }
            let uid = fields.nth(1)?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            Some(Self { uid, gid })
        })
    }

    /// The command runs as this user, with no other groups.
    pub(super) fn apply(&self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    /// Gives a file or folder to this user.
    pub(super) fn take(&self, path: &Path) -> Result<(), DevkitError> {
        chown(path, Some(self.uid), Some(self.gid)).map_err(DevkitError::io("chown", path))
    }

    /// Whether this user may pass through the folder and all above it.
    pub(super) fn reaches(&self, folder: &Path) -> bool {
        folder.ancestors().all(|folder| {
            std::fs::metadata(folder).is_ok_and(|found| {
                let enter = if found.uid() == self.uid {
                    0o100
                } else if found.gid() == self.gid {
                    0o010
                } else {
                    0o001
                };
                found.permissions().mode() & enter != 0
            })
        })
    }
}

/// Where the data of the cluster of this folder is kept: in the folder unless `owner` cannot reach
/// it, else in a folder under `/var/tmp` named after it.
pub(super) fn home(folder: &Path, owner: Option<&Owner>) -> Result<PathBuf, DevkitError> {
    let folder = folder.canonicalize().map_err(DevkitError::io("find", folder))?;
    if owner.is_none_or(|owner| owner.reaches(&folder)) {
        return Ok(folder);
    }
    let mut hasher = DefaultHasher::new();
    folder.hash(&mut hasher);
    let home = PathBuf::from(format!("/var/tmp/settla-postgres-{:016x}", hasher.finish()));
    // Recorded in the folder: once the folder was removed, what is left in the home is not its own.
    let marker = folder.join("postgres.home");
    if !marker.exists() {
        remove_home(&home)?;
        std::fs::create_dir(&home).map_err(DevkitError::io("make", &home))?;
        let line = format!("{}\n", home.display());
        std::fs::write(&marker, line).map_err(DevkitError::io("write", &marker))?;
    }
    // Anybody may make a folder in /var/tmp: only one of our own will do.
    let found = std::fs::symlink_metadata(&home).map_err(DevkitError::io("find", &home))?;
    if !found.is_dir() || found.uid() != rustix::process::geteuid().as_raw() {
        return Err(DevkitError::Folder { path: home, problem: "belongs to another user".to_owned() });
    }
    let mode = std::fs::Permissions::from_mode(0o711);
    std::fs::set_permissions(&home, mode).map_err(DevkitError::io("open up", &home))?;
    Ok(home)
}

fn remove_home(home: &Path) -> Result<(), DevkitError> {
    match std::fs::remove_dir_all(home) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(DevkitError::io("remove", home)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_user() {
        let table = "root:x:0:0:root:/root:/bin/sh\npostgres:x:101:104:,,,:/:/bin/sh\n";
        let owner = Owner::in_table(table, "postgres");
        assert_eq!(owner, Some(Owner { uid: 101, gid: 104 }));
        assert_eq!(Owner::in_table(table, "post"), None);
    }
}
