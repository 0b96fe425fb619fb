//! Tells what a machine lacks for building, testing and running this workspace locally, and how to
//! mend it.

use std::path::Path;
use std::process::Command;

use crate::{anvil_binary, ports, postgres_binaries, workspace_root};

/// The state of one requirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckState {
    /// There and fit.
    Ok,
    /// Not there.
    Missing,
    /// There, but not fit.
    Wrong,
}

/// One requirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What is looked for.
    pub name: &'static str,
    /// How it stands.
    pub state: CheckState,
    /// What was found.
    pub found: String,
    /// What to do about it; empty when nothing.
    pub fix: &'static str,
}

/// The workspace's `rust-version`.
const RUST: (u32, u32) = (1, 95);
const NODE: (u32, u32) = (18, 0);
const POSTGRES_MAJOR: u32 = 15;
/// Ports of one local system, with room.
const PORTS: usize = 12;
/// A debug build with its tests, and the data of a local system.
const DISK_GIB: u64 = 10;

/// Looks at everything. Starts short-lived programs to ask for their versions, changes nothing.
pub fn checks() -> Vec<Check> {
    vec![
        program("cargo", RUST, "install Rust 1.95 or newer from https://rustup.rs"),
        postgres(),
        program("node", NODE, "install Node.js 18 or newer: apt-get install nodejs"),
        program("npm", (8, 0), "install npm: apt-get install npm"),
        anvil(),
        free_ports(),
        disk(),
    ]
}

/// Whether all of them are fine.
pub fn all_ok(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.state == CheckState::Ok)
}

impl Check {
    fn ok(name: &'static str, found: String) -> Self {
        Self { name, state: CheckState::Ok, found, fix: "" }
    }

    fn missing(name: &'static str, fix: &'static str) -> Self {
        let found = "not found".to_owned();
        Self { name, state: CheckState::Missing, found, fix }
    }

    fn wrong(name: &'static str, found: String, fix: &'static str) -> Self {
        Self { name, state: CheckState::Wrong, found, fix }
    }
}

fn program(name: &'static str, least: (u32, u32), fix: &'static str) -> Check {
    let Some(answer) = version_line(Command::new(name)) else {
        return Check::missing(name, fix);
    };
    match version(&answer) {
        Some(version) if version >= least => Check::ok(name, answer),
        _ => Check::wrong(name, answer, fix),
    }
}

fn postgres() -> Check {
    const FIX: &str = "run `make setup` (it installs Debian's package postgresql)";
    match postgres_binaries().first() {
        None => Check::missing("postgres", FIX),
        Some(newest) => {
            let found = format!("{} in {}", newest.major(), newest.folder().display());
            if newest.major() >= POSTGRES_MAJOR {
                Check::ok("postgres", found)
            } else {
                Check::wrong("postgres", found, "install PostgreSQL 15 or newer")
            }
        }
    }
}

fn anvil() -> Check {
    const FIX: &str = "run `make setup` (it runs `npm ci` in tools/)";
    let Some(binary) = anvil_binary() else {
        return Check::missing("anvil", FIX);
    };
    match version_line(Command::new(&binary)) {
        Some(answer) => Check::ok("anvil", answer),
        None => Check::wrong("anvil", format!("{} does not run", binary.display()), FIX),
    }
}

fn free_ports() -> Check {
    match ports::free_ports(PORTS) {
        Ok(_) => Check::ok("ports", format!("{PORTS} free ones of 127.0.0.1")),
        Err(error) => {
            Check::wrong("ports", error.to_string(), "stop what listens on the ports 15000 to 31999 of 127.0.0.1")
        }
    }
}

fn disk() -> Check {
    const FIX: &str = "make room, or remove target/ and .settla/ (`make clean-dev`)";
    let folder = workspace_root().unwrap_or_else(|| Path::new(".").to_owned());
    match rustix::fs::statvfs(&folder) {
        Ok(space) => {
            let gib = space.f_bavail.saturating_mul(space.f_frsize) >> 30;
            let found = format!("{gib} GiB free at {}", folder.display());
            if gib >= DISK_GIB { Check::ok("disk", found) } else { Check::wrong("disk", found, FIX) }
        }
        Err(error) => Check::wrong("disk", error.to_string(), FIX),
    }
}

/// The first line a program says to `--version`, `None` if it does not run.
fn version_line(mut program: Command) -> Option<String> {
    let output = program.arg("--version").output().ok()?;
    if !output.status.success() {
        return None;
    }
    let answer = String::from_utf8_lossy(&output.stdout);
    answer.lines().next().map(|line| line.trim().to_owned())
}

/// The first `major.minor` in a line.
fn version(line: &str) -> Option<(u32, u32)> {
    let start = line.find(|c: char| c.is_ascii_digit())?;
    let mut parts = line[start..].split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions() {
        assert_eq!(version("cargo 1.95.0 (abc 2026-04-14)"), Some((1, 95)));
        assert_eq!(version("v20.19.2"), Some((20, 19)));
        assert_eq!(version("none"), None);
    }

    #[test]
    fn a_program_that_is_not_there_is_missing_with_a_fix() {
        let check = program("no-such-program-of-settla", (1, 0), "install it");
        assert_eq!(check.state, CheckState::Missing);
        assert_eq!(check.fix, "install it");
        let check = program("cargo", (u32::MAX, 0), "update it");
        assert_eq!(check.state, CheckState::Wrong);
    }

    #[test]
    fn every_requirement_that_is_not_met_says_what_to_do() {
        let checks = checks();
        assert_eq!(checks.len(), 7);
        for check in &checks {
            assert_eq!(check.state == CheckState::Ok, check.fix.is_empty(), "{check:?}");
        }
    }
}
