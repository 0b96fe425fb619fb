//! The outermost layer: request id, span, problem documents, the headers of every answer, and the measurements.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;

use crate::problem;
use crate::request_id::{RequestId, X_REQUEST_ID};
use crate::telemetry::Measurement;

pub(crate) async fn observe(mut request: Request, next: Next) -> Response {
    let request_id = RequestId::of(request.headers());
    let method = known_method(request.method());
    // The template, never the path: a path holds ids, and a metric's label must not grow with them.
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    // At the highest level: a filter that lets only errors through must leave the request id on them.
    let span = tracing::error_span!(
        "request",
        request_id = request_id.as_str(),
        method,
        route,
        tenant = tracing::field::Empty,
        environment = tracing::field::Empty,
    );
    request.extensions_mut().insert(request_id.clone());

    let measurement = Measurement::start(route, method);
    let started = Instant::now();
    let response = next.run(request).instrument(span.clone()).await;
    let mut response = problem::render(response, &request_id);

    let headers = response.headers_mut();
    headers.insert(X_REQUEST_ID, request_id.header());
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers
        .entry(CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));

    measurement.answered(response.status());
    let latency_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    span.in_scope(|| tracing::info!(status = response.status().as_u16(), latency_ms, "answered"));
    response
}

/// A client may send any word as a method; labels are for the ones that mean something.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}
