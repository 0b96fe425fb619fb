//! Providers' webhooks: verified, kept, acknowledged. Many that arrive together are kept by one statement.

use super::{Server, from_together};
use crate::clock::now;
use settla_port::error::PortError;
use settla_port::webhook::ProviderEvent;
use settla_store::Store;
use settla_store::inbox::{self, InboxEvent};
use settla_store::together::Together;
use settla_vault::WebhookHeaders;
use settla_vault::webhook::{TOLERANCE_S, verify};
use std::sync::{Mutex, PoisonError};
use tokio::sync::mpsc;

/// Most events that are handed to this process's own worker and not begun yet.
const HANDED_OVER_MAX: usize = 2_048;

/// Keeps events, and hands them to the worker of this process if it has room: the row is then leased to it from the start,
/// which saves looking for it. What is not handed over, or not dealt with before the lease ends, is found in the table.
pub(super) struct Inbound {
    events: Together<InboxEvent, ()>,
    arrivals: Mutex<Option<mpsc::Receiver<InboxEvent>>>,
}

impl Inbound {
    pub(super) fn start(store: Store) -> Self {
        let (hand_over, arrivals) = mpsc::channel(HANDED_OVER_MAX);
        let events = Together::start(move |events: Vec<InboxEvent>| {
            let (store, hand_over) = (store.clone(), hand_over.clone());
            async move {
                let places: Vec<_> = events.iter().map(|_| hand_over.clone().try_reserve_owned().ok()).collect();
                let kept: Vec<(&InboxEvent, bool)> =
                    events.iter().zip(&places).map(|(event, place)| (event, place.is_some())).collect();
                let mut new = inbox::keep(&store.worker, &kept).await?;
                let answers = vec![(); events.len()];
                for (event, place) in events.into_iter().zip(places) {
                    let is_new = new.remove(&event.name());
                    if let Some(place) = place.filter(|_| is_new) {
                        place.send(InboxEvent { attempts: 1, ..event });
                    }
                }
                // A provider that has hung up sends the event again; it is kept once.
                Ok(answers)
            }
        });
        Self { events, arrivals: Mutex::new(Some(arrivals)) }
    }

    /// The worker's end, for the first who asks. When it is dropped, nothing is handed over any more.
    pub(super) fn arrivals(&self) -> Option<mpsc::Receiver<InboxEvent>> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).take()
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
    let body = settla_rails::event::kept(body);
    server
        .inbound
        .events
        .ask(InboxEvent { provider: event.provider, event_id: event.id, body, attempts: 0 })
        .await
        .map_err(from_together)
        .inspect_err(|error| {
            // The cause was logged by the task that many requests share; this line is in the request's own span.
            tracing::warn!(%error, "a provider's event was not kept");
        })
}
