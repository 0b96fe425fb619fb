//! Processor time by process, as the kernel counts it.

use crate::failure::Failure;
use crate::local::Pids;
use serde::Serialize;
use std::fs;

/// Clock ticks a second in `/proc`: 100 on every architecture that Linux runs servers on.
const TICKS_PER_S: f64 = 100.0;

/// Seconds of processor time since each process began.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Cpu {
    pub platform: f64,
    pub postgres: f64,
    pub sandbox: f64,
    pub anvil: f64,
    /// This process: generator and webhook receiver.
    pub generator: f64,
    /// Everything else on the machine, with the kernel's own work.
    pub others: f64,
}

impl Cpu {
    /// As it stands now.
    pub fn read(pids: &Pids) -> Result<Self, Failure> {
        let (platform, sandbox, anvil) = (own(pids.platform)?, own(pids.sandbox)?, own(pids.anvil)?);
        let postgres = pids.postgres.map_or(Ok(0.0), with_children)?;
        let generator = own(std::process::id())?;
        let others = busy(&fs::read_to_string("/proc/stat")?) - platform - sandbox - anvil - postgres - generator;
        Ok(Self { platform, postgres, sandbox, anvil, generator, others })
    }

    /// By name, in the order of a payment's way.
    pub fn parts(&self) -> [(&'static str, f64); 6] {
        [
            ("platform", self.platform),
            ("postgres", self.postgres),
            ("sandbox", self.sandbox),
            ("anvil", self.anvil),
            ("generator and receiver", self.generator),
            ("others", self.others),
        ]
    }

    /// What was used since an earlier look.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            platform: self.platform - before.platform,
            postgres: self.postgres - before.postgres,
            sandbox: self.sandbox - before.sandbox,
            anvil: self.anvil - before.anvil,
            generator: self.generator - before.generator,
            others: self.others - before.others,
        }
    }
}

/// One line of `/proc/<pid>/stat`.
struct Stat {
    parent: u32,
    own_s: f64,
    /// Of children that have ended.
    ended_children_s: f64,
}

fn stat(line: &str) -> Option<Stat> {
    // The name, field 2, is in parentheses and may itself hold spaces and parentheses.
    let (_, fields) = line.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        own_s: (ticks(14)? + ticks(15)?) / TICKS_PER_S,
        ended_children_s: (ticks(16)? + ticks(17)?) / TICKS_PER_S,
    })
}

fn read(pid: u32) -> Option<Stat> {
    stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn found(pid: u32) -> Result<Stat, Failure> {
    read(pid).ok_or_else(|| Failure::new(format!("process {pid} of the system is gone")))
}

fn own(pid: u32) -> Result<f64, Failure> {
    Ok(found(pid)?.own_s)
}

/// A server that forks: itself, its children that run, and those that have ended.
fn with_children(pid: u32) -> Result<f64, Failure> {
    let server = found(pid)?;
    let running: f64 = fs::read_dir("/proc")?
        .flatten()
        .filter_map(|entry| read(entry.file_name().to_str()?.parse().ok()?))
        .filter(|stat| stat.parent == pid)
        .map(|stat| stat.own_s)
        .sum();
    Ok(server.own_s + server.ended_children_s + running)
}

/// Busy seconds of all processors: user, nice, system, interrupts; not idle, waiting for disks or stolen.
fn busy(stat: &str) -> f64 {
    let line = stat.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = line.split_whitespace().skip(1).filter_map(|t| t.parse().ok()).collect();
    [0, 1, 2, 5, 6].iter().filter_map(|i| ticks.get(*i)).sum::<f64>() / TICKS_PER_S
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernels_lines() {
        let line = "7 (a) b) S 41 7 7 0 -1 4194560 1 0 0 0 150 50 300 100 20 0 1 0 12345 1 1";
        let stat = stat(line).unwrap();
        assert_eq!((stat.parent, stat.own_s, stat.ended_children_s), (41, 2.0, 4.0));
        assert_eq!(busy("cpu  100 200 300 9999 9999 10 20 5 0 0\ncpu0 1 1"), 6.3);
    }

    #[test]
    fn a_busy_process_is_seen_to_be_busy() {
        let pids = Pids {
            platform: std::process::id(),
            postgres: None,
            anvil: std::process::id(),
            sandbox: std::process::id(),
        };
        let before = Cpu::read(&pids).unwrap();
        let begun = std::time::Instant::now();
        while begun.elapsed().as_millis() < 300 {
            std::hint::spin_loop();
        }
        assert!(Cpu::read(&pids).unwrap().since(&before).platform > 0.0);
    }
}
