//! Answers that are not errors.

use axum::Json;
use axum::http::header::LOCATION;
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use settla_port::caller::Reply;
use settla_port::page::Page;

/// Says that an earlier request with this key had been carried out.
pub(crate) const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// 200 with a body.
pub(crate) fn ok<T: Serialize>(value: T) -> Response {
    Json(value).into_response()
}

/// 200 with a list that is short by nature and so has no pages.
pub(crate) fn list<T: Serialize>(data: Vec<T>) -> Response {
    ok(Page { data, next_cursor: None })
}

/// 200 for a mutation that changes something there is.
pub(crate) fn changed<T: Serialize>(reply: Reply<T>) -> Response {
    marked((StatusCode::OK, Json(reply.value)), reply.replayed)
}

/// 201 for something that has no address of its own.
pub(crate) fn created<T: Serialize>(reply: Reply<T>) -> Response {
    marked((StatusCode::CREATED, Json(reply.value)), reply.replayed)
}

/// 201 with the address of what was made.
pub(crate) fn created_at<T: Serialize>(location: String, reply: Reply<T>) -> Response {
    marked((StatusCode::CREATED, [(LOCATION, location)], Json(reply.value)), reply.replayed)
}

fn marked(answer: impl IntoResponse, replayed: bool) -> Response {
    if replayed { ([(IDEMPOTENT_REPLAYED, "true")], answer).into_response() } else { answer.into_response() }
}
