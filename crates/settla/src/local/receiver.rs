//! A tenant's webhook server: verifies, keeps what came, answers 204.

use crate::failure::Failure;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use settla_vault::webhook::{HEADER_ID, HEADER_SIGNATURE, HEADER_TIMESTAMP, TOLERANCE_S, verify};
use settla_vault::{WebhookHeaders, WebhookSecret};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// A webhook as it came, its signature verified.
#[derive(Debug, Clone)]
pub struct Received {
    /// `webhook-id`.
    pub id: String,
    /// `webhook-timestamp`.
    pub timestamp: String,
    /// `webhook-signature`.
    pub signature: String,
    /// The body.
    pub body: serde_json::Value,
    /// When.
    pub at: Instant,
}

impl Received {
    /// The headers of Standard Webhooks, as they came.
    pub fn headers(&self) -> [(&'static str, &str); 3] {
        [(HEADER_ID, &self.id), (HEADER_TIMESTAMP, &self.timestamp), (HEADER_SIGNATURE, &self.signature)]
    }
}

#[derive(Default)]
struct Shared {
    secrets: Mutex<Vec<WebhookSecret>>,
    received: Mutex<Vec<Received>>,
    refused: Mutex<u64>,
    bell: Notify,
}

/// A running receiver.
pub struct Receiver {
    /// Where to deliver.
    pub url: String,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl Receiver {
    /// Starts one on a free port of this machine.
    pub async fn start() -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/hooks", listener.local_addr()?);
        let shared = Arc::new(Shared::default());
        let app = Router::new().route("/hooks", post(take)).with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                tracing::error!(%error, "the webhook receiver has ended");
            }
        });
        Ok(Self { url, shared, task })
    }

    /// Adds an endpoint's secret.
    pub fn trust(&self, secret: &str) -> Result<(), Failure> {
        let secret = WebhookSecret::parse(secret)?;
        self.shared.secrets.lock().unwrap_or_else(PoisonError::into_inner).push(secret);
        Ok(())
    }

    /// Everything that came with a good signature.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many came with a bad one.
    pub fn refused(&self) -> u64 {
        *self.shared.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a webhook that fits.
    pub async fn wait_for(&self, fits: impl Fn(&Received) -> bool, longest: Duration) -> Option<Received> {
        let search = async {
            loop {
                let rung = self.shared.bell.notified();
                if let Some(found) = self.received().into_iter().find(|r| fits(r)) {
                    return found;
                }
                rung.await;
            }
        };
        tokio::time::timeout(longest, search).await.ok()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Whether a webhook carries a good and recent signature by one of these secrets.
pub(crate) fn verified(secrets: &[WebhookSecret], headers: &HeaderMap, body: &[u8]) -> bool {
    let signed = WebhookHeaders {
        id: header(headers, HEADER_ID),
        timestamp: header(headers, HEADER_TIMESTAMP),
        signature: header(headers, HEADER_SIGNATURE),
    };
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64);
    verify(secrets, &signed, body, now_s, TOLERANCE_S).is_ok()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|v| v.to_str().ok())
}

async fn take(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let verified = verified(&shared.secrets.lock().unwrap_or_else(PoisonError::into_inner), &headers, &body);
    let parsed = serde_json::from_slice(&body);
    let (true, Ok(body)) = (verified, parsed) else {
        *shared.refused.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        return StatusCode::BAD_REQUEST;
    };
    let text = |name: &str| header(&headers, name).unwrap_or_default().to_owned();
    let received = Received {
        id: text(HEADER_ID),
        timestamp: text(HEADER_TIMESTAMP),
        signature: text(HEADER_SIGNATURE),
        body,
        at: Instant::now(),
    };
    shared.received.lock().unwrap_or_else(PoisonError::into_inner).push(received);
    shared.bell.notify_waiters();
    StatusCode::NO_CONTENT
}
