//! What a gateway is made of, and the router over it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use ipnet::IpNet;
use settla_port::Platform;
use settla_vault::Environment;
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;

use crate::api::health::Readiness;
use crate::docs::DocsPage;
use crate::limits::Limits;
use crate::problem::Problem;
use crate::rate_limit::RateLimiter;
use crate::{observe, openapi, table};

/// The worlds that a gateway serves. They share nothing but this process.
#[derive(Clone)]
pub struct Gateway {
    /// Where keys with `sk_live_` lead. Without it they are not valid here.
    pub live: Option<Arc<dyn Platform>>,
    /// Where keys with `sk_test_` lead. Without it they are not valid here.
    pub test: Option<Arc<dyn Platform>>,
    /// The providers whose webhooks are taken in, and the world each of them belongs to.
    pub providers: BTreeMap<String, Environment>,
    /// Networks of our own proxies: what they say of a client's address (`X-Forwarded-For`) is believed, and nobody else.
    pub trusted_proxies: Vec<IpNet>,
    /// The bounds.
    pub limits: Limits,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("live", &self.live.is_some())
            .field("test", &self.test.is_some())
            .field("providers", &self.providers)
            .field("trusted_proxies", &self.trusted_proxies)
            .field("limits", &self.limits)
            .finish()
    }
}

impl Gateway {
    /// The platform of a world, if it is served here.
    pub(crate) fn world(&self, environment: Environment) -> Option<&Arc<dyn Platform>> {
        match environment {
            Environment::Live => self.live.as_ref(),
            Environment::Test => self.test.as_ref(),
        }
    }
}

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) gateway: Gateway,
    /// One permit a request in work.
    pub(crate) slots: Semaphore,
    pub(crate) rates: RateLimiter,
    pub(crate) readiness: Readiness,
    /// The OpenAPI document, rendered once.
    pub(crate) openapi: String,
    pub(crate) docs: DocsPage,
}

/// The whole REST interface as a service; [`serve`](crate::serve()) puts it on a listener.
pub fn router(gateway: Gateway) -> Router {
    let limits = gateway.limits.clone();
    let document = openapi::document(&table::endpoints());
    let shared = Arc::new(Shared {
        slots: Semaphore::new(limits.requests_max),
        rates: RateLimiter::new(),
        readiness: Readiness::default(),
        docs: DocsPage::render(&document),
        openapi: openapi::text(&document),
        gateway,
    });
    let mut routes = Router::new();
    for endpoint in table::endpoints() {
        routes = routes.route(endpoint.path, endpoint.admitted(&shared));
    }
    // The last layer is the outermost.
    routes
        .with_state(shared)
        .layer(DefaultBodyLimit::max(limits.body_bytes_max))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(observe::observe))
}

/// The panic's text has been printed by the hook; the caller learns nothing of it.
fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a request handler panicked");
    Problem::internal().into_response()
}
