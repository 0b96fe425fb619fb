//! Providers' webhooks: verified, kept, acknowledged. Many that arrive together are kept by one statement.

use super::{Server, from_store};
use crate::clock::now;
use settla_port::error::PortError;
use settla_port::webhook::ProviderEvent;
use settla_store::Store;
use settla_store::inbox::{self, InboxEvent};
use settla_vault::WebhookHeaders;
use settla_vault::webhook::{TOLERANCE_S, verify};
use std::sync::Arc;
use tokio::sync::{Notify, mpsc, oneshot};

/// Most events kept by one statement.
const BATCH_MAX: usize = 500;
/// Most events that wait.
const QUEUE_MAX: usize = 4_096;

type Job = (InboxEvent, oneshot::Sender<Result<(), PortError>>);

/// Keeps events.
pub(super) struct Inbound {
    jobs: mpsc::Sender<Job>,
    bell: Arc<Notify>,
}

impl Inbound {
    pub(super) fn start(store: Store) -> Self {
        let (jobs, mut queue) = mpsc::channel::<Job>(QUEUE_MAX);
        let bell = Arc::new(Notify::new());
        let rung = Arc::clone(&bell);
        tokio::spawn(async move {
            let mut batch = Vec::with_capacity(BATCH_MAX);
            while queue.recv_many(&mut batch, BATCH_MAX).await > 0 {
                let (events, replies): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
                let outcome = inbox::keep(&store.worker, &events).await.map(|_| ()).map_err(from_store);
                rung.notify_one();
                for reply in replies {
                    // A provider that has hung up sends the event again; it is kept once.
                    let _ = reply.send(outcome.clone());
                }
            }
        });
        Self { jobs, bell }
    }

    pub(super) fn bell(&self) -> Arc<Notify> {
        Arc::clone(&self.bell)
    }

    async fn keep(&self, event: InboxEvent) -> Result<(), PortError> {
        let (reply, kept) = oneshot::channel();
        self.jobs.try_send((event, reply)).map_err(|_| PortError::Overloaded)?;
        kept.await.unwrap_or(Err(PortError::Unavailable))
    }
}

pub(super) async fn event(server: &Server, event: ProviderEvent) -> Result<(), PortError> {
    let secrets = server.config.provider_secrets.get(&event.provider).ok_or(PortError::NotFound("provider"))?;
    let headers =
        WebhookHeaders { id: Some(&event.id), timestamp: Some(&event.timestamp), signature: Some(&event.signature) };
    verify(secrets, &headers, &event.body, now().0 / 1_000_000, TOLERANCE_S).map_err(|error| {
        tracing::warn!(provider = event.provider, %error, "a provider's webhook was refused");
        PortError::BadSignature
    })?;
    let body: serde_json::Value = serde_json::from_slice(&event.body).map_err(|_| PortError::Invalid {
        field: "",
        code: "not_json",
        message: "the body is not JSON".to_owned(),
    })?;
    let body = settla_rails::event::kept(&body);
    server
        .inbound
        .keep(InboxEvent { provider: event.provider, event_id: event.id, body, attempts: 0 })
        .await
        .inspect_err(|error| {
            // The cause was logged by the task that many requests share; this line is in the request's own span.
            tracing::warn!(%error, "a provider's event was not kept");
        })
}
