//! What the figures were measured on, and with.

use serde::Serialize;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The machine.
#[derive(Debug, Serialize)]
pub(super) struct Machine {
    pub cores: usize,
    pub memory_mib: u64,
    pub cpu: String,
    /// Of the folder that the database is in.
    pub filesystem: String,
}

impl Machine {
    /// This one.
    pub fn read(folder: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let unknown = || "unknown".to_owned();
        Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_mib: value(&read("/proc/meminfo"), "MemTotal")
                .and_then(|v| v.split(' ').next()?.parse().ok())
                .map_or(0, |kib: u64| kib / 1_024),
            cpu: value(&read("/proc/cpuinfo"), "model name").map_or_else(unknown, str::to_owned),
            filesystem: filesystem(&read("/proc/self/mounts"), folder).map_or_else(unknown, str::to_owned),
        }
    }
}

/// The first value of a name in a file of `name : value` lines.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim())
}

/// The type of the file system that a folder is on: that of the longest mount point above it.
fn filesystem<'a>(mounts: &'a str, folder: &Path) -> Option<&'a str> {
    let mount = |line: &'a str| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    };
    mounts
        .lines()
        .filter_map(mount)
        .filter(|(point, _)| folder.starts_with(point))
        .max_by_key(|(point, _)| point.len())
        .map(|(_, kind)| kind)
}

/// The commit of the source, with `+changes` if files differ from it.
pub(super) fn git_commit() -> Option<String> {
    let root = settla_devkit::workspace_root()?;
    let git = |args: &[&str]| {
        let output = Command::new("git").arg("-C").arg(&root).args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let clean = git(&["status", "--porcelain"])?.is_empty();
    Some(if clean { commit } else { format!("{commit}+changes") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_and_mounts() {
        assert_eq!(value("a : 1\nmodel name\t: Some CPU\n", "model name"), Some("Some CPU"));
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tmpx xfs rw 0 0";
        assert_eq!(filesystem(mounts, Path::new("/tmp/x")), Some("tmpfs"));
        assert_eq!(filesystem(mounts, Path::new("/var")), Some("ext4"));
    }
}
