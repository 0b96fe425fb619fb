//! The documentation: `/v1/openapi.json` for programs, `/docs` for people.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use crate::gateway::Shared;

pub(crate) async fn openapi(State(shared): State<Arc<Shared>>) -> Response {
    ([(CONTENT_TYPE, "application/json")], shared.openapi.clone()).into_response()
}

pub(crate) async fn docs(State(shared): State<Arc<Shared>>) -> Response {
    shared.docs.answer()
}
