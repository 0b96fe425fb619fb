//! Free ports of 127.0.0.1, and who listens on one.
//!
//! Between the choice of a port and the start of whoever listens on it lie seconds, in which others choose too. So a
//! port that was handed out is claimed for the life of the process that asked: by a Unix socket with a name in the
//! abstract namespace, which the kernel gives to one process and takes back when that ends, however it ends.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::{LazyLock, Mutex, PoisonError};

/// Below the range the kernel takes outgoing connections' ports from (32768 and up), so that a
/// part which is down for a moment does not lose its port to some client's connection.
const RANGE: RangeInclusive<u16> = 15_000..=31_999;

/// Random picks before giving up: with so many misses the machine has a problem of its own.
const PICKS: usize = 200;

/// The claims of this process.
static CLAIMS: LazyLock<Mutex<HashMap<u16, UnixListener>>> = LazyLock::new(Mutex::default);

/// A port that nothing listens on and nobody else has claimed, claimed for this process.
pub fn free_port() -> io::Result<u16> {
    let span = RANGE.end() - RANGE.start() + 1;
    for _ in 0..PICKS {
        let mut random = [0; 2];
        getrandom::fill(&mut random)?;
        let port = RANGE.start() + u16::from_le_bytes(random) % span;
        if is_free(port) && !is_own(port) && claim(port) {
            return Ok(port);
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, format!("no free port of 127.0.0.1 in {RANGE:?}")))
}

/// So many different free ports.
pub fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    (0..count).map(|_| free_port()).collect()
}

/// Claims a port for the life of this process. `false` if another process has claimed it.
pub fn claim(port: u16) -> bool {
    let mut claims = CLAIMS.lock().unwrap_or_else(PoisonError::into_inner);
    if claims.contains_key(&port) {
        return true;
    }
    let name = format!("settla-devkit-port-{port}");
    match SocketAddr::from_abstract_name(name).and_then(|address| UnixListener::bind_addr(&address)) {
        Ok(listener) => {
            claims.insert(port, listener);
            true
        }
        Err(_) => false,
    }
}

fn is_own(port: u16) -> bool {
    CLAIMS.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&port)
}

/// Whether a listener could have this port of 127.0.0.1 now.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Whether this very process listens on the port. An answer on a port alone does not tell whose it
/// is: another program may have taken it in the meantime.
pub fn listens(pid: u32, port: u16) -> bool {
    let Ok(table) = std::fs::read_to_string("/proc/net/tcp") else {
        return false;
    };
    let sockets: Vec<String> =
        table.lines().filter_map(|line| listener(line, port)).map(|inode| format!("socket:[{inode}]")).collect();
    let Ok(descriptors) = std::fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    descriptors
        .flatten()
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .any(|target| sockets.iter().any(|socket| target.as_os_str() == socket.as_str()))
}

/// The inode of a line of `/proc/net/tcp` that is a listener on the port.
fn listener(line: &str, port: u16) -> Option<&str> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_whitespace();
    let (_, local_port) = fields.nth(1)?.rsplit_once(':')?;
    if u16::from_str_radix(local_port, 16).ok()? != port || fields.nth(1)? != LISTEN {
        return None;
    }
    fields.nth(5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_until_bound_and_known_by_its_listener() {
        let port = free_port().expect("a free port");
        assert!(!listens(std::process::id(), port));
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("bind");
        assert!(!is_free(port));
        assert!(listens(std::process::id(), port));
        assert!(!listens(1, port));
        drop(bound);
        assert!(is_free(port));
    }

    #[test]
    fn a_port_is_claimed_by_one_process() {
        let port = free_port().expect("a free port");
        assert!(claim(port), "its own claim");
        let name = |port: u16| SocketAddr::from_abstract_name(format!("settla-devkit-port-{port}")).expect("a name");
        assert!(UnixListener::bind_addr(&name(port)).is_err(), "nobody else can claim it");
        // Below the range, so that no other test gets it.
        let others = 14_999;
        let _other = UnixListener::bind_addr(&name(others)).expect("another process's claim");
        assert!(!claim(others));
    }

    #[test]
    fn ports_differ() {
        let mut ports = free_ports(20).expect("ports");
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 20);
    }
}
