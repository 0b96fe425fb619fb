//! What can be changed of a running provider: whether it takes anything new, and how long it takes.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{config::DELAY_MS_MAX, http::Problem, magic::Script};

/// As the book keeps it.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Control {
    closed: bool,
    latency_ms: Option<u64>,
}

/// `POST /_control/provider`: what is not named stays as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ControlRequest {
    closed: Option<bool>,
    latency_ms: Option<u64>,
}

impl ControlRequest {
    pub(crate) fn check(&self) -> Result<(), Problem> {
        if self.latency_ms.is_some_and(|latency_ms| latency_ms > DELAY_MS_MAX) {
            return Err(Problem::unprocessable("invalid_latency", "latency_ms is at most a day."));
        }
        Ok(())
    }
}

impl Control {
    pub(crate) fn changed(self, request: &ControlRequest) -> Self {
        Self { closed: request.closed.unwrap_or(self.closed), latency_ms: request.latency_ms.or(self.latency_ms) }
    }

    /// Refuses what is new while the provider is closed.
    pub(crate) fn admit(&self) -> Result<(), Problem> {
        if self.closed {
            return Err(Problem::unprocessable("provider_closed", "Nothing new is taken at the moment."));
        }
        Ok(())
    }

    /// How the provider plays its part now.
    pub(crate) fn script(&self, script: &Script) -> Script {
        Script { latency_ms: self.latency_ms.unwrap_or(script.latency_ms), ..script.clone() }
    }

    pub(crate) fn to_json(self, script: &Script) -> Value {
        json!({ "closed": self.closed, "latency_ms": self.script(script).latency_ms })
    }
}
