//! Metrics of the REST interface, and the router that shows all metrics on a listener of its own.

use std::time::Instant;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;

/// Counter of requests by `route` (template), `method` and `status` (class such as `2xx`, or `aborted`).
pub const REQUESTS_METRIC: &str = "settla_http_requests_total";
/// Histogram of seconds from a request's arrival to its answer, with the same labels.
pub const LATENCY_METRIC: &str = "settla_http_request_seconds";
/// Buckets for [`LATENCY_METRIC`]; to be set where the recorder is built.
pub const LATENCY_BUCKETS_S: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0];

/// `GET /metrics` in Prometheus' text format. It has no authentication: its listener must not be reachable from outside.
/// Whoever installed the recorder also runs its upkeep.
pub fn metrics_router(handle: PrometheusHandle) -> Router {
    let render = move || std::future::ready(([(CONTENT_TYPE, "text/plain; version=0.0.4")], handle.render()));
    Router::new().route("/metrics", get(render))
}

/// One request being measured. If it is dropped before there is an answer, the client has gone; that is counted too.
pub(crate) struct Measurement {
    route: String,
    method: &'static str,
    started: Instant,
    status: &'static str,
}

impl Measurement {
    pub(crate) fn start(route: String, method: &'static str) -> Self {
        Self { route, method, started: Instant::now(), status: "aborted" }
    }

    pub(crate) fn answered(mut self, status: StatusCode) {
        self.status = match status.as_u16() {
            100..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            _ => "5xx",
        };
    }
}

impl Drop for Measurement {
    fn drop(&mut self) {
        let labels = [
            ("route", std::mem::take(&mut self.route)),
            ("method", self.method.to_owned()),
            ("status", self.status.to_owned()),
        ];
        metrics::counter!(REQUESTS_METRIC, &labels).increment(1);
        metrics::histogram!(LATENCY_METRIC, &labels).record(self.started.elapsed().as_secs_f64());
    }
}
