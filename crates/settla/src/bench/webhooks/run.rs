//! One run: the same events to the same endpoints, and when they came.

use super::super::spread::{Spread, spread};
use super::Args;
use super::receiver::Receivers;
use crate::failure::Failure;
use crate::local::{ApiClient, System};
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use uuid::Uuid;

/// Endpoints that are well: half of them of the tenant that also has the one set apart.
pub(super) const WELL: usize = 8;
/// Requests to the API at the same time.
const IN_FLIGHT_MAX: usize = 256;
/// Deliveries to one endpoint at the same time, as the platform has it: so many fill the dead one's places.
const PLACES: usize = 32;
/// How long after the last one all may take to come.
const DRAIN: Duration = Duration::from_secs(60);

/// How the endpoint that is set apart behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Apart {
    /// Like the others.
    Answers,
    /// It accepts and never answers.
    Silent,
}

/// What came of a run, at the endpoints that are well.
#[derive(Debug, Serialize)]
pub(super) struct Run {
    /// From when a delivery was made to when it was there.
    pub latency: Spread,
    /// From the first send to the last arrival.
    pub per_s: f64,
    pub missing: usize,
    pub refused: u64,
    /// The most requests that the one set apart held without an answer.
    pub held_peak: usize,
}

/// An endpoint with its owner.
#[derive(Clone)]
struct Target {
    client: Arc<ApiClient>,
    path: String,
    id: String,
}

impl Target {
    async fn make(client: &Arc<ApiClient>, url: String) -> Result<(Self, String), Failure> {
        // Of a type that no payment here makes: there are tests alone.
        let ask = json!({ "url": url, "events": ["withdrawal.refused"] });
        let made = client.post("/v1/webhook-endpoints", &Uuid::now_v7().to_string(), &ask).await?.success()?;
        let text = |field: &str| made[field].as_str().unwrap_or_default().to_owned();
        let path = format!("/v1/webhook-endpoints/{}", text("id"));
        Ok((Self { client: Arc::clone(client), path, id: text("id") }, text("secret")))
    }

    async fn test(&self) -> Result<(), Failure> {
        let path = format!("{}/test", self.path);
        self.client.post(&path, &Uuid::now_v7().to_string(), &Value::Null).await?.success().map(drop)
    }

    async fn change(&self, status: &str) -> Result<(), Failure> {
        let ask = json!({ "status": status });
        self.client.patch(&self.path, &Uuid::now_v7().to_string(), &ask).await?.success().map(drop)
    }
}

/// Endpoints and receivers, for all runs.
pub(super) struct Ground {
    receivers: Receivers,
    well: Vec<Target>,
    apart: Target,
}

impl Ground {
    pub async fn new(system: &System) -> Result<Self, Failure> {
        let receivers = Receivers::start().await?;
        let clients = [Arc::new(system.client(0)?), Arc::new(system.client(1)?)];
        let mut well = Vec::with_capacity(WELL);
        for number in 0..WELL {
            let (target, secret) = Target::make(&clients[number % 2], receivers.well(number)).await?;
            receivers.trust(&secret)?;
            well.push(target);
        }
        let (apart, _) = Target::make(&clients[0], receivers.apart()).await?;
        Ok(Self { receivers, well, apart })
    }

    pub async fn run(&self, args: &Args, apart: Apart) -> Result<Run, Failure> {
        self.receivers.clear();
        if apart == Apart::Silent {
            self.receivers.fall_silent();
        }
        // Before anything is measured the dead one has all the places that it will get.
        for _ in 0..PLACES {
            self.apart.test().await?;
        }
        if apart == Apart::Silent && !self.receivers.holds(PLACES, DRAIN).await {
            return Err(Failure::new("the dead endpoint was not called as often as expected"));
        }
        let (begun, sent) = self.send(args).await?;
        let came = self.receivers.came(sent, DRAIN).await;
        let held_peak = self.receivers.held_peak();
        self.settle().await?;
        let took = came.last.map_or(Duration::ZERO, |last| last.saturating_duration_since(begun));
        let arrived = came.latencies.len();
        Ok(Run {
            latency: spread(came.latencies),
            per_s: if took.is_zero() { 0.0 } else { (arrived as f64 / took.as_secs_f64() * 10.0).round() / 10.0 },
            missing: sent.saturating_sub(arrived),
            refused: came.refused,
            held_peak,
        })
    }

    /// Sends at the times that are meant, whatever the system does; to the one set apart as often as to all the others.
    async fn send(&self, args: &Args) -> Result<(Instant, usize), Failure> {
        let places = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
        let failed = Arc::new(std::sync::Mutex::new(None));
        let total = args.rate as usize * args.seconds as usize;
        let begun = Instant::now();
        for n in 0..total {
            let intended = begun + Duration::from_secs_f64(n as f64 / f64::from(args.rate));
            tokio::time::sleep_until(intended.into()).await;
            for target in [&self.well[n % WELL], &self.apart] {
                let place = Arc::clone(&places).acquire_owned().await?;
                let (target, failed) = (target.clone(), Arc::clone(&failed));
                tokio::spawn(async move {
                    if let Err(failure) = target.test().await {
                        *failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(failure);
                    }
                    drop(place);
                });
            }
        }
        // Every request has a time limit, so every place comes back.
        let _all = places.acquire_many(IN_FLIGHT_MAX as u32).await?;
        match failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take() {
            Some(failure) => Err(failure),
            None => Ok((begun, total)),
        }
    }

    /// Leaves nothing of this run to the next one.
    async fn settle(&self) -> Result<(), Failure> {
        // What waits for it fails; what is under way ends with the answer.
        self.apart.change("disabled").await?;
        let spoken = self.receivers.speak(DRAIN).await;
        self.apart.change("enabled").await?;
        let pending = format!("/v1/webhook-deliveries?status=pending&limit=1&endpoint_id={}", self.apart.id);
        let left = self.apart.client.get(&pending).await?.success()?;
        if spoken && left["data"].as_array().is_some_and(Vec::is_empty) {
            Ok(())
        } else {
            Err(Failure::new("the dead endpoint's deliveries do not end"))
        }
    }
}
