//! A webhook receiver that checks every signature.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use serde_json::Value;
use settla_vault::{WebhookHeaders, WebhookSecret, webhook};
use tokio::sync::watch;

#[derive(Clone, Debug)]
pub struct Event {
    pub id: String,
    pub kind: String,
    pub data: Value,
}

pub struct Hook {
    pub url: String,
    pub secret: WebhookSecret,
    events: watch::Receiver<Vec<Event>>,
}

struct Receiver {
    secret: WebhookSecret,
    events: watch::Sender<Vec<Event>>,
}

impl Hook {
    pub async fn start() -> Self {
        let secret = WebhookSecret::generate();
        let (sender, events) = watch::channel(Vec::new());
        let receiver = Arc::new(Receiver { secret: secret.clone(), events: sender });
        let app = Router::new().route("/hook", post(receive)).with_state(receiver);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, secret, events }
    }

    pub fn events(&self) -> Vec<Event> {
        self.events.borrow().clone()
    }

    /// Events about one order, payout or payment.
    pub fn about(&self, id: &str) -> Vec<Event> {
        self.events().into_iter().filter(|event| event.data.to_string().contains(id)).collect()
    }

    /// Waits for an event.
    pub async fn wait(&self, about: impl Fn(&[Event]) -> bool) {
        let mut events = self.events.clone();
        let arrived = tokio::time::timeout(Duration::from_secs(30), events.wait_for(|events| about(events)));
        arrived.await.expect("no such webhook").unwrap();
    }
}

async fn receive(State(receiver): State<Arc<Receiver>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let given = WebhookHeaders {
        id: header(webhook::HEADER_ID),
        timestamp: header(webhook::HEADER_TIMESTAMP),
        signature: header(webhook::HEADER_SIGNATURE),
    };
    let now_s = time::OffsetDateTime::now_utc().unix_timestamp();
    let verified = webhook::verify(std::slice::from_ref(&receiver.secret), &given, &body, now_s, webhook::TOLERANCE_S);
    if let Err(error) = verified {
        eprintln!("webhook refused: {error}");
        return StatusCode::UNAUTHORIZED;
    }
    let mut event: Value = serde_json::from_slice(&body).unwrap();
    let event = Event {
        id: given.id.unwrap().to_owned(),
        kind: event["type"].as_str().unwrap().to_owned(),
        data: event["data"].take(),
    };
    receiver.events.send_modify(|events| events.push(event));
    StatusCode::NO_CONTENT
}
