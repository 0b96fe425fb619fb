//! Webhooks out, signed as Standard Webhooks say: a few attempts with back-off, many at once, over kept connections.
//!
//! They live in memory only: those not yet delivered at a `kill -9` are lost, as with any provider. Who was told
//! nothing can ask.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use reqwest::{StatusCode, header::CONTENT_TYPE, redirect::Policy};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use settla_vault::{MasterKey, WebhookSecret, webhook};
use tokio::sync::{Semaphore, oneshot};
use uuid::Uuid;

use crate::{
    clock::{now_ms, rfc3339},
    http::Problem,
    magic::Behaviour,
    stop::Stop,
};

/// Sends in flight at once.
const SENDS_MAX: usize = 128;
/// Announcements in memory, waiting ones included. More are dropped: a webhook may get lost.
const ANNOUNCEMENTS_MAX: usize = 50_000;
/// Waits before the second and later attempts.
const BACK_OFF: [Duration; 4] =
    [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(15)];
/// Pieces of an answer's body that are read and thrown away.
const ANSWER_CHUNKS_MAX: usize = 4;
/// One attempt, from connecting to the last byte of the answer.
const ATTEMPT_MAX: Duration = Duration::from_secs(10);

/// `PUT /v1/webhook-endpoint`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Registration {
    url: String,
    secret: String,
}

/// A registered endpoint as the book keeps it: the secret is sealed.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct StoredEndpoint {
    pub(crate) url: String,
    sealed_secret: String,
}

/// Something that happened to an order, payout, payment or account.
pub(crate) struct Announcement {
    /// What it is about.
    pub(crate) subject: Uuid,
    /// Event type.
    pub(crate) kind: &'static str,
    /// The event's `data`.
    pub(crate) data: Value,
    /// May lose or repeat it.
    pub(crate) behaviour: Behaviour,
}

struct Endpoint {
    url: reqwest::Url,
    secret: WebhookSecret,
}

/// Sends one server's webhooks.
pub(crate) struct Announcer {
    client: reqwest::Client,
    master: Arc<MasterKey>,
    label: Arc<str>,
    endpoint: Mutex<Option<Arc<Endpoint>>>,
    sends: Semaphore,
    room: Arc<Semaphore>,
    waiters: Mutex<HashMap<Uuid, Vec<oneshot::Sender<()>>>>,
    stop: Stop,
}

/// The client that all announcers share.
pub(crate) fn client() -> Result<reqwest::Client, reqwest::Error> {
    // Fails only when a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(Policy::none())
        .connect_timeout(Duration::from_secs(2))
        .timeout(ATTEMPT_MAX)
        .pool_max_idle_per_host(SENDS_MAX)
        .no_proxy()
        .build()
}

impl Announcer {
    pub(crate) fn new(client: reqwest::Client, master: Arc<MasterKey>, label: Arc<str>, stop: Stop) -> Arc<Self> {
        Arc::new(Self {
            client,
            master,
            label,
            endpoint: Mutex::default(),
            sends: Semaphore::new(SENDS_MAX),
            room: Arc::new(Semaphore::new(ANNOUNCEMENTS_MAX)),
            waiters: Mutex::default(),
            stop,
        })
    }

    /// Checks a registration and seals its secret for the book. Call [`Self::use_endpoint`] once that has it.
    pub(crate) fn seal(&self, registration: &Registration) -> Result<StoredEndpoint, Problem> {
        let refused = |detail: String| Problem::unprocessable("invalid_webhook_endpoint", detail);
        let secret = WebhookSecret::parse(&registration.secret).map_err(|error| refused(error.to_string()))?;
        let url = parse_url(&registration.url).ok_or_else(|| refused("The URL must be http or https.".to_owned()))?;
        Ok(StoredEndpoint {
            url: url.into(),
            sealed_secret: hex::encode(self.master.seal(&self.label, secret.bytes())),
        })
    }

    /// Sends to this endpoint from now on. An endpoint that cannot be opened (another master key) is logged and unused.
    pub(crate) fn use_endpoint(&self, stored: Option<&StoredEndpoint>) {
        let Some(stored) = stored else { return };
        let secret = hex::decode(&stored.sealed_secret)
            .ok()
            .and_then(|sealed| self.master.open(&self.label, &sealed).ok())
            .and_then(|secret| WebhookSecret::from_bytes(secret.expose()).ok());
        match (parse_url(&stored.url), secret) {
            (Some(url), Some(secret)) => *lock(&self.endpoint) = Some(Arc::new(Endpoint { url, secret })),
            _ => tracing::error!(server = %self.label, "the stored webhook endpoint cannot be read; register it again"),
        }
    }

    /// Is told when the next announcement about the subject was sent, given up, or not sent on purpose.
    pub(crate) fn sent(&self, subject: Uuid) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        lock(&self.waiters).entry(subject).or_default().push(sender);
        receiver
    }

    /// Sends in the background, as the behaviour says.
    pub(crate) fn announce(self: &Arc<Self>, announcements: impl IntoIterator<Item = Announcement>) {
        for announcement in announcements {
            let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else {
                tracing::warn!(server = %self.label, "too many webhooks are waiting; one is dropped");
                continue;
            };
            let this = Arc::clone(self);
            tokio::spawn(async move {
                let _room = room;
                this.stop.or(this.send_all(&announcement)).await;
                for waiter in lock(&this.waiters).remove(&announcement.subject).unwrap_or_default() {
                    // Who waited may have hung up.
                    let _ = waiter.send(());
                }
            });
        }
    }

    async fn send_all(&self, announcement: &Announcement) {
        let Some(endpoint) = lock(&self.endpoint).clone() else { return };
        let first = event_id();
        let ids = match announcement.behaviour {
            Behaviour::NeverAnswer | Behaviour::WebhookLost => vec![],
            Behaviour::AnswerTwice => vec![first.clone(), event_id(), first],
            _ => vec![first],
        };
        let body =
            json!({ "type": announcement.kind, "timestamp": rfc3339(now_ms()), "data": announcement.data }).to_string();
        for id in ids {
            self.send(&endpoint, &id, &body).await;
        }
    }

    async fn send(&self, endpoint: &Endpoint, id: &str, body: &str) {
        for wait in BACK_OFF.into_iter().map(Some).chain([None]) {
            match self.attempt(endpoint, id, body).await {
                Ok(status) if status.is_success() => return,
                Ok(StatusCode::GONE) => return,
                Ok(status) => tracing::debug!(server = %self.label, %status, "webhook refused"),
                Err(error) => tracing::debug!(server = %self.label, error = %error.without_url(), "webhook not sent"),
            }
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => tracing::warn!(server = %self.label, "webhook given up"),
            }
        }
    }

    async fn attempt(&self, endpoint: &Endpoint, id: &str, body: &str) -> Result<StatusCode, reqwest::Error> {
        // A slot is held for one attempt, not for the waits: a dead receiver does not starve the rest.
        let _slot = self.sends.acquire().await;
        let at_s = i64::try_from(now_ms() / 1_000).unwrap_or(i64::MAX);
        let mut response = self
            .client
            .post(endpoint.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(webhook::HEADER_ID, id)
            .header(webhook::HEADER_TIMESTAMP, at_s)
            .header(webhook::HEADER_SIGNATURE, webhook::sign(&endpoint.secret, id, at_s, body.as_bytes()))
            .body(body.to_owned())
            .send()
            .await?;
        // A short body is read to its end, which keeps the connection usable; a long one is not worth having.
        for _ in 0..ANSWER_CHUNKS_MAX {
            if response.chunk().await?.is_none() {
                break;
            }
        }
        Ok(response.status())
    }
}

fn event_id() -> String {
    format!("evt_{}", Uuid::now_v7().simple())
}

fn parse_url(text: &str) -> Option<reqwest::Url> {
    reqwest::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && text.len() <= 2_048)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Each holder makes one assignment or one map operation; there is nothing half done to fear.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
