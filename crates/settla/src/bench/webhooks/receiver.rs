//! The receivers: those that are well note when what came, the one set apart answers or is silent as told.

use crate::failure::Failure;
use crate::local::verified;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde::Deserialize;
use settla_domain::time::Timestamp;
use settla_server::clock::now;
use settla_vault::WebhookSecret;
use settla_vault::webhook::HEADER_ID;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// What came in a run.
#[derive(Debug, Default)]
pub(super) struct Came {
    ids: HashSet<String>,
    /// From when a delivery was made to when it was here.
    pub latencies: Vec<Duration>,
    pub last: Option<Instant>,
    pub refused: u64,
}

#[derive(Default)]
struct Shared {
    secrets: Mutex<Vec<WebhookSecret>>,
    came: Mutex<Came>,
    count: watch::Sender<usize>,
    silent: watch::Sender<bool>,
    /// Requests to the one set apart that have no answer yet.
    held: watch::Sender<usize>,
    held_peak: watch::Sender<usize>,
}

/// The running receivers.
pub(super) struct Receivers {
    base: String,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl Receivers {
    /// Starts them on a free port.
    pub async fn start() -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let base = format!("http://{}", listener.local_addr()?);
        let shared = Arc::new(Shared::default());
        let app = Router::new().route("/well/{number}", post(take)).route("/apart", post(hold));
        let app = app.with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                eprintln!("the webhook receivers have ended: {error}");
            }
        });
        Ok(Self { base, shared, task })
    }

    pub fn well(&self, number: usize) -> String {
        format!("{}/well/{number}", self.base)
    }

    pub fn apart(&self) -> String {
        format!("{}/apart", self.base)
    }

    /// Takes the secret of the next endpoint that is well.
    pub fn trust(&self, secret: &str) -> Result<(), Failure> {
        lock(&self.shared.secrets).push(WebhookSecret::parse(secret)?);
        Ok(())
    }

    /// Begins a run.
    pub fn clear(&self) {
        *lock(&self.shared.came) = Came::default();
        self.shared.count.send_replace(0);
        self.shared.held_peak.send_replace(0);
    }

    /// From now on the one set apart is silent.
    pub fn fall_silent(&self) {
        self.shared.silent.send_replace(true);
    }

    /// It answers again, those too that have waited; returns when all have been answered.
    pub async fn speak(&self, longest: Duration) -> bool {
        self.shared.silent.send_replace(false);
        let mut held = self.shared.held.subscribe();
        matches!(tokio::time::timeout(longest, held.wait_for(|held| *held == 0)).await, Ok(Ok(_)))
    }

    /// Waits until so many requests to the one set apart have no answer.
    pub async fn holds(&self, count: usize, longest: Duration) -> bool {
        let mut held = self.shared.held.subscribe();
        matches!(tokio::time::timeout(longest, held.wait_for(|held| *held >= count)).await, Ok(Ok(_)))
    }

    pub fn held_peak(&self) -> usize {
        *self.shared.held_peak.borrow()
    }

    /// Waits until so many have come, at most so long, and ends the run.
    pub async fn came(&self, count: usize, longest: Duration) -> Came {
        let mut counter = self.shared.count.subscribe();
        let _ = tokio::time::timeout(longest, counter.wait_for(|n| *n >= count)).await;
        std::mem::take(&mut *lock(&self.shared.came))
    }
}

impl Drop for Receivers {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is read of a test event: when it was made.
#[derive(Deserialize)]
struct Hook<'a> {
    timestamp: &'a str,
}

async fn take(
    State(shared): State<Arc<Shared>>,
    Path(number): Path<usize>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let (at, here) = (Instant::now(), now());
    let secret = lock(&shared.secrets).get(number).cloned();
    let genuine = secret.is_some_and(|secret| verified(std::slice::from_ref(&secret), &headers, &body));
    let id = headers.get(HEADER_ID).and_then(|id| id.to_str().ok());
    let made = serde_json::from_slice::<Hook>(&body).ok().and_then(|hook| Timestamp::from_rfc3339(hook.timestamp));
    let mut came = lock(&shared.came);
    let (true, Some(id), Some(made)) = (genuine, id, made) else {
        came.refused += 1;
        return StatusCode::BAD_REQUEST;
    };
    // At least once is what is promised: the first one counts.
    if came.ids.insert(id.to_owned()) {
        // The clock of the database and this one are the same machine's.
        came.latencies.push(Duration::from_micros(u64::try_from(here.0 - made.0).unwrap_or_default()));
        came.last = Some(at);
        shared.count.send_replace(came.ids.len());
    }
    StatusCode::NO_CONTENT
}

/// Takes one off what is held, whatever ends the request.
struct Held(Arc<Shared>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.held.send_modify(|held| *held -= 1);
    }
}

async fn hold(State(shared): State<Arc<Shared>>) -> StatusCode {
    let mut silent = shared.silent.subscribe();
    if *silent.borrow() {
        shared.held.send_modify(|held| *held += 1);
        let held = *shared.held.borrow();
        shared.held_peak.send_modify(|peak| *peak = held.max(*peak));
        let _held = Held(Arc::clone(&shared));
        // An error means that the receivers are gone.
        let _ = silent.wait_for(|silent| !silent).await;
    }
    StatusCode::NO_CONTENT
}
