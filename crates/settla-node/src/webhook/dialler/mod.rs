//! Calls to addresses that tenants chose. Names are resolved by our own resolver, which gives out allowed addresses
//! alone, so the address that is checked is the address that is dialled, whatever the name stands for a moment later.
//! No redirects; the answer's body is not read, and all up to its head has 20 seconds.

mod address;
#[cfg(test)]
mod tests;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Url, redirect};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// What may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Public addresses by https.
    PublicHttps,
    /// Any address: for development, where receivers are on this machine.
    Anywhere,
}

/// Posts to tenants' endpoints.
pub(crate) struct Dialler {
    client: Client,
    allows: Allows,
}

type Allows = fn(IpAddr) -> bool;
type Found = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// The addresses of a name.
type Lookup = Arc<dyn Fn(String) -> Found + Send + Sync>;

/// How calls are made.
struct Manner {
    https_only: bool,
    allows: Allows,
    lookup: Lookup,
    connect_within: Duration,
    /// From the beginning to the end of the answer's head.
    answer_within: Duration,
}

impl Manner {
    fn of(reach: Reach) -> Self {
        let (https_only, allows): (bool, Allows) = match reach {
            Reach::PublicHttps => (true, address::is_public),
            Reach::Anywhere => (false, |_| true),
        };
        Self {
            https_only,
            allows,
            lookup: Arc::new(|name| Box::pin(ask_the_system(name))),
            connect_within: Duration::from_secs(5),
            answer_within: Duration::from_secs(20),
        }
    }
}

async fn ask_the_system(name: String) -> io::Result<Vec<IpAddr>> {
    Ok(tokio::net::lookup_host((name.as_str(), 0)).await?.map(|at| at.ip()).collect())
}

impl Dialler {
    pub fn new(reach: Reach) -> Result<Self, reqwest::Error> {
        Self::with(Manner::of(reach))
    }

    fn with(manner: Manner) -> Result<Self, reqwest::Error> {
        settla_rails::http::install_tls_provider();
        let allows = manner.allows;
        let client = Client::builder()
            .timeout(manner.answer_within)
            .connect_timeout(manner.connect_within)
            .redirect(redirect::Policy::none())
            .no_proxy()
            // Endpoints of many tenants may be on one host.
            .pool_max_idle_per_host(128)
            .https_only(manner.https_only)
            .dns_resolver(Arc::new(Checked { allows, lookup: manner.lookup }))
            .build()?;
        Ok(Self { client, allows })
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
        if literal(&url).is_some_and(|ip| !(self.allows)(ip)) {
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
struct NoAllowedAddress;

fn is_refused_address(error: &reqwest::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.is::<NoAllowedAddress>() {
            return true;
        }
        source = cause.source();
    }
    false
}

/// The only resolver of the client: what it does not give out is not dialled.
struct Checked {
    allows: Allows,
    lookup: Lookup,
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let (allows, found) = (self.allows, (self.lookup)(name.as_str().to_owned()));
        Box::pin(async move {
            let allowed: Vec<IpAddr> = found.await?.into_iter().filter(|ip| allows(*ip)).collect();
            if allowed.is_empty() {
                return Err(NoAllowedAddress.into());
            }
            // The client puts the URL's port in.
            Ok(Box::new(allowed.into_iter().map(|ip| SocketAddr::new(ip, 0))) as Addrs)
        })
    }
}
