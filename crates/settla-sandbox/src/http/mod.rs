//! What all servers share: problem details, the bearer key, strict bodies, and holding or dropping an answer.

mod answer;
mod connection;
mod extract;
mod problem;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{StatusCode, header::AUTHORIZATION},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use sha2::{Digest, Sha256};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};

pub(crate) use answer::{ACCEPTANCE_DELAY_MS, Answer, IDEMPOTENCY_LIFETIME_S, LostOnce, QUERY_MAX};
pub(crate) use connection::Connection;
pub(crate) use extract::{Body, IdempotencyKey, Page, optional_idempotency_key, path_id};
pub(crate) use problem::Problem;

use crate::{error::SandboxError, stop::Stop};

/// Largest body of an ordinary request.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Largest body of a settlement: a manifest of 2,000 members with room to spare.
pub(crate) const MANIFEST_BYTES_MAX: usize = 512 * 1024;
/// Requests in work at one server, held ones included. The next is refused.
const REQUESTS_MAX: usize = 8_192;

struct Gate {
    key: [u8; 32],
    slots: Arc<Semaphore>,
}

/// A port that is taken and not yet served.
pub(crate) struct Port {
    listener: TcpListener,
    pub(crate) url: String,
}

impl Port {
    pub(crate) async fn bind(ip: IpAddr, port: u16) -> Result<Self, SandboxError> {
        let address = SocketAddr::new(ip, port);
        let listen = |source| SandboxError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let url = format!("http://{}", listener.local_addr().map_err(listen)?);
        Ok(Self { listener, url })
    }

    /// Serves the routes, all of them but `/health` behind the key, until it is time to stop.
    pub(crate) fn serve(self, routes: Router, key: &str, stop: Stop, tasks: &mut JoinSet<()>) {
        let gate = Gate { key: Sha256::digest(key).into(), slots: Arc::new(Semaphore::new(REQUESTS_MAX)) };
        let app = routes
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .fallback(|| async {
                Problem::new(StatusCode::NOT_FOUND, "no_such_endpoint", "There is no such endpoint.")
            })
            .method_not_allowed_fallback(|| async {
                Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This endpoint has no such method.")
            })
            .layer(middleware::from_fn_with_state(Arc::new(gate), enter))
            .route("/health", get(|| async { axum::Json(serde_json::json!({ "status": "ok" })) }));
        let service = app.into_make_service_with_connect_info::<Connection>();
        let listener = connection::PromptListener(self.listener);
        tasks.spawn(async move {
            let until = stop.clone();
            let served = axum::serve(listener, service).with_graceful_shutdown(async move { until.stopped().await });
            if let Err(error) = served.await {
                tracing::error!(%error, "server ended");
            }
        });
    }
}

async fn enter(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let given = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    // Digests are compared, so the time says nothing about the key.
    let known = given.is_some_and(|key| <[u8; 32]>::from(Sha256::digest(key)) == gate.key);
    if !known {
        return Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "Send the server's key as a bearer token.")
            .into_response();
    }
    let Ok(_slot) = gate.slots.try_acquire() else {
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "Too many requests at once.")
            .into_response();
    };
    next.run(request).await
}
