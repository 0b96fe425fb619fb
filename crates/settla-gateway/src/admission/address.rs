//! Where a request comes from: the peer of the connection, or what a proxy that is trusted says of it.
//!
//! `X-Forwarded-For` grows to the right, so only its right end was written by somebody we know: each entry is believed as
//! long as the next hop is one of our proxies. Whatever a client writes there itself stands to the left of that.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Most hops that are followed.
const HOPS_MAX: usize = 16;

/// The other end of the connection that a request came on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// The address of the client, as far as it can be known: behind an entry that cannot be read it is the last proxy's.
pub(crate) fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_ours = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut address = peer.to_canonical();
    let entries =
        headers.get_all(FORWARDED_FOR).iter().rev().flat_map(|value| value.to_str().unwrap_or("?").rsplit(','));
    for entry in entries.take(HOPS_MAX) {
        if !is_ours(&address) {
            break;
        }
        match read(entry.trim()) {
            Some(before) => address = before,
            None => break,
        }
    }
    address
}

/// An address, with a port as some proxies write it or without.
fn read(entry: &str) -> Option<IpAddr> {
    let address = entry.parse().or_else(|_| entry.parse::<SocketAddr>().map(|at| at.ip())).ok();
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(peer: &str, forwarded: &[&str]) -> String {
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "fd00::/8"].iter().map(|network| network.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, value.parse().unwrap());
        }
        client_address(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn only_our_own_proxies_are_believed() {
        for (peer, forwarded, client) in [
            ("203.0.113.7", &[][..], "203.0.113.7"),
            ("203.0.113.7", &["198.51.100.1"], "203.0.113.7"),
            ("203.0.113.7", &["10.0.0.1"], "203.0.113.7"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("fd00::1", &["2001:db8::7"], "2001:db8::7"),
            // What the client wrote itself stands to the left.
            ("10.0.0.1", &["192.0.2.66, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["10.0.0.9, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["192.0.2.66", "198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["192.0.2.66, 198.51.100.1", "10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", &["198.51.100.1, 10.0.0.3,10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("10.0.0.1", &["[2001:db8::7]:443"], "2001:db8::7"),
            // An entry that cannot be read ends it: nobody knows who wrote what stands before.
            ("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1, unknown, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &[""], "10.0.0.1"),
        ] {
            assert_eq!(address(peer, forwarded), client, "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn a_chain_has_a_bound() {
        let chain = vec!["10.0.0.1"; 10_000].join(",");
        assert_eq!(address("10.0.0.1", &[&format!("198.51.100.1,{chain}")]), "10.0.0.1");
    }
}
