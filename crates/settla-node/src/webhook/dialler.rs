//! Calls to addresses that tenants chose. Names are resolved by our own resolver, which gives out public
//! addresses alone, so the address that is checked is the address that is dialled. No redirects; the answer's
//! body is not read.

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Url, redirect};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(20);

/// Posts to tenants' endpoints.
pub(crate) struct Dialler {
    client: Client,
    any_address: bool,
}

impl Dialler {
    /// `any_address` is for development, where receivers are on this machine.
    pub fn new(any_address: bool) -> Result<Self, reqwest::Error> {
        settla_rails::http::install_tls_provider();
        let builder = Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(Duration::from_secs(5))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(32)
            .https_only(!any_address);
        let builder = if any_address { builder } else { builder.dns_resolver(Arc::new(PublicOnly)) };
        Ok(Self { client: builder.build()?, any_address })
    }

    /// Posts and returns the status, or why there is none.
    pub async fn post(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: Vec<u8>,
    ) -> Result<u16, &'static str> {
        let url = Url::parse(url).map_err(|_| "url_not_valid")?;
        // A literal address never comes to the resolver.
        if !self.any_address && literal(&url).is_some_and(|ip| !is_public(ip)) {
            return Err("address_not_allowed");
        }
        let mut request = self
            .client
            .post(url)
            .header("content-type", "application/json")
            .header("user-agent", "Settla-Webhooks/1")
            .body(body);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        match request.send().await {
            Ok(response) => Ok(response.status().as_u16()),
            Err(error) if error.is_timeout() => Err("timeout"),
            Err(error) if is_refused_address(&error) => Err("address_not_allowed"),
            Err(error) if error.is_connect() => Err("cannot_connect"),
            Err(_) => Err("no_answer"),
        }
    }
}

fn literal(url: &Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

#[derive(Debug, thiserror::Error)]
#[error("the name resolves to no address that may be called")]
struct NoPublicAddress;

fn is_refused_address(error: &reqwest::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.is::<NoPublicAddress>() {
            return true;
        }
        source = cause.source();
    }
    false
}

struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|a| is_public(a.ip())).collect();
            if public.is_empty() {
                return Err(NoPublicAddress.into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is one of the public Internet: none of the special-purpose ranges of RFC 6890 and its
/// updates.
pub(crate) fn is_public(ip: IpAddr) -> bool {
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

    #[tokio::test]
    async fn private_addresses_are_refused_by_literal_and_by_name() {
        let dialler = Dialler::new(false).unwrap();
        for url in [
            "https://127.0.0.1/x",
            "https://[::1]/x",
            "https://[::ffff:10.0.0.1]/x",
            "https://2130706433/x",
            "https://0x7f.1/x",
            "https://localhost/x",
        ] {
            assert_eq!(dialler.post(url, &[], Vec::new()).await, Err("address_not_allowed"), "{url}");
        }
        assert!(dialler.post("http://127.0.0.1/x", &[], Vec::new()).await.is_err(), "plain http");
    }
}
