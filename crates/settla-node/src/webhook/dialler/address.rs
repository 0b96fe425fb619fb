//! Which addresses are of the public Internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is one of the public Internet: none of the special-purpose ranges of RFC 6890 and its
/// updates.
pub(super) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = [
        ip.is_private()
            || ip.is_loopback()
            || ip.is_link_local()
            || ip.is_multicast()
            || ip.is_broadcast()
            || ip.is_documentation(),
        a == 0 || a >= 240,
        a == 100 && (64..128).contains(&b), // shared address space
        a == 192 && b == 0 && c == 0,       // IETF protocol assignments
        a == 192 && b == 88 && c == 99,     // former 6to4 relays
        a == 198 && (b == 18 || b == 19),   // benchmarks
    ];
    !special.contains(&true)
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    // Only global unicast, and of that nothing that carries an IPv4 address or is set aside.
    let s = ip.segments();
    let global = s[0] & 0xe000 == 0x2000;
    let special = [
        s[0] == 0x2001 && s[1] < 0x0200, // protocol assignments, Teredo among them
        s[0] == 0x2001 && s[1] == 0x0db8,
        s[0] == 0x2002, // 6to4
        s[0] == 0x3fff && s[1] < 0x1000,
    ];
    global && !special.contains(&true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_pass() {
        for bad in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "192.0.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
            "::7f00:1",
        ] {
            assert!(!is_public(bad.parse().unwrap()), "{bad}");
        }
        for good in ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"] {
            assert!(is_public(good.parse().unwrap()), "{good}");
        }
    }
}
