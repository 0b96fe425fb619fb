//! `/health`

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::json;
use settla_vault::Environment;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use utoipa::ToSchema;

use super::Answer;
use crate::answer;
use crate::gateway::{Gateway, Shared};
use crate::problem::Problem;

/// For so long an answer stands for the checks that come after it. The route is open to all, so it must not be a lever
/// on the database: whatever comes in, the dependencies are asked four times a second.
const FRESH: Duration = Duration::from_millis(250);

/// The process runs.
#[derive(Serialize, ToSchema)]
pub(crate) struct AliveView {
    /// `alive`
    #[schema(example = "alive")]
    status: &'static str,
}

impl AliveView {
    pub(crate) fn new() -> Self {
        Self { status: "alive" }
    }
}

/// Every dependency answers.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReadyView {
    /// `ready`
    #[schema(example = "ready")]
    status: &'static str,
    /// What was asked.
    dependencies: Vec<DependencyView>,
}

impl ReadyView {
    pub(crate) fn sample() -> Self {
        let dependency = DependencyView { environment: "test", name: "database", ready: true };
        Self { status: "ready", dependencies: vec![dependency] }
    }
}

/// One dependency of one world.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct DependencyView {
    /// `live` or `test`
    #[schema(example = "test")]
    environment: &'static str,
    /// Such as `database`.
    #[schema(example = "database")]
    name: &'static str,
    /// Whether it answered in time.
    ready: bool,
}

pub(crate) async fn live() -> Answer {
    Ok(answer::ok(AliveView::new()))
}

pub(crate) async fn ready(State(shared): State<Arc<Shared>>) -> Answer {
    let dependencies = shared.readiness.ask(&shared.gateway).await;
    // A gateway without a world is of no use to anybody.
    if !dependencies.is_empty() && dependencies.iter().all(|dependency| dependency.ready) {
        return Ok(answer::ok(ReadyView { status: "ready", dependencies }));
    }
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", "Not every dependency answers.");
    Err(problem.with("dependencies", json!(dependencies)))
}

/// Asks the dependencies, once for all that want to know at the same time.
#[derive(Default)]
pub(crate) struct Readiness {
    last: Mutex<Option<(Instant, Vec<DependencyView>)>>,
}

impl Readiness {
    async fn ask(&self, gateway: &Gateway) -> Vec<DependencyView> {
        let mut last = self.last.lock().await;
        if let Some((at, found)) = last.as_ref()
            && at.elapsed() < FRESH
        {
            return found.clone();
        }
        let (live, test) = tokio::join!(world(gateway, Environment::Live), world(gateway, Environment::Test));
        let found = [live, test].concat();
        *last = Some((Instant::now(), found.clone()));
        found
    }
}

async fn world(gateway: &Gateway, environment: Environment) -> Vec<DependencyView> {
    let view = |name, ready| DependencyView { environment: environment.as_str(), name, ready };
    let Some(platform) = gateway.world(environment) else { return Vec::new() };
    match timeout(gateway.limits.readiness_time_max, platform.readiness()).await {
        Ok(found) => found.into_iter().map(|dependency| view(dependency.name, dependency.ready)).collect(),
        Err(_) => vec![view("platform", false)],
    }
}
