//! A gateway on a free port, a double of the port behind it, and a client that sends exactly what it is told.

pub mod client;
pub mod fake;
pub mod views;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use settla_gateway::{Drained, Gateway, Limits, RouteInfo, router, serve};
use settla_port::Platform;
use settla_vault::Environment;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use client::Ask;
use fake::Fake;

/// A running gateway with the sandbox world behind it.
pub struct Running {
    pub at: SocketAddr,
    pub fake: Arc<Fake>,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<Drained>,
}

pub async fn start() -> Running {
    start_with(Limits::default()).await
}

pub async fn start_with(limits: Limits) -> Running {
    let fake = Arc::new(Fake::new(Environment::Test));
    let providers =
        BTreeMap::from([("harbour".to_owned(), Environment::Test), ("meridian".to_owned(), Environment::Live)]);
    let gateway = Gateway {
        live: None,
        test: Some(fake.clone() as Arc<dyn Platform>),
        providers,
        trusted_proxies: Vec::new(),
        limits,
    };
    start_gateway(gateway, fake).await
}

pub async fn start_gateway(gateway: Gateway, fake: Arc<Fake>) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let limits = gateway.limits.clone();
    let app = router(gateway);
    let served = tokio::spawn(async move { serve(listener, app, &limits, async move { drop(stopped.await) }).await });
    Running { at, fake, stop: Some(stop), served }
}

impl Running {
    /// A request with a key that may do everything.
    pub fn get(&self, path: &str) -> Ask {
        Ask::new(self.at, "GET", path).key(self.fake.key())
    }

    /// A mutation with such a key, an idempotency key and a JSON body.
    pub fn post(&self, path: &str, body: &str) -> Ask {
        Ask::new(self.at, "POST", path).key(self.fake.key()).header("idempotency-key", "k-1").json(body)
    }

    pub fn patch(&self, path: &str, body: &str) -> Ask {
        Ask::new(self.at, "PATCH", path).key(self.fake.key()).header("idempotency-key", "k-1").json(body)
    }

    pub fn delete(&self, path: &str) -> Ask {
        Ask::new(self.at, "DELETE", path).key(self.fake.key()).header("idempotency-key", "k-1")
    }

    /// A request to a row of the table with a path filled in, and nothing else.
    pub fn bare(&self, route: &RouteInfo) -> Ask {
        Ask::new(self.at, route.method.as_str(), &filled(route.path))
    }

    /// Tells the server to stop, without waiting for it.
    pub fn stop(&mut self) {
        drop(self.stop.take());
    }

    pub async fn stopped(self) -> Drained {
        drop(self.stop);
        self.served.await.unwrap()
    }
}

/// A path template with ids of the right form in it.
pub fn filled(path: &str) -> String {
    let id = if path.contains("transfers") {
        views::transfer_id().to_string()
    } else if path.contains("api-keys") {
        views::api_key().id.to_string()
    } else if path.contains("quotes") {
        views::quote_id().to_string()
    } else if path.contains("settlement-batches") {
        views::settlement_batch().id.to_string()
    } else if path.contains("webhook-endpoints") {
        views::endpoint_id().to_string()
    } else if path.contains("webhook-deliveries") {
        views::delivery().id.to_string()
    } else {
        "GBP-00000007000100000000000000000000".to_owned()
    };
    path.replace("{id}", &id).replace("{currency}", "GBP").replace("{provider}", "harbour")
}
