//! From a problem to the bytes of its document.

use axum::body::Body;
use axum::http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde_json::{Map, Value};

use super::{Problem, TYPE_BASE};
use crate::request_id::RequestId;

/// Gives an error response its problem document; leaves any other alone.
pub(crate) fn render(mut response: Response, request_id: &RequestId) -> Response {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let problem = response.extensions_mut().remove::<Problem>().unwrap_or_else(|| unworded(status));
    let headers = response.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if let Some(more) = &problem.more {
        if let Some(seconds) = more.retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(challenge) = more.challenge.as_deref().and_then(|text| HeaderValue::from_str(text).ok()) {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
    }
    // The rest of these bodies has not been read; the connection cannot be used again.
    if matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::PAYLOAD_TOO_LARGE) {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    *response.body_mut() = Body::from(document(problem, request_id).to_string());
    response
}

fn document(problem: Problem, request_id: &RequestId) -> Value {
    let more = problem.more.map(|more| *more).unwrap_or_default();
    let mut members = Map::new();
    let kind = more.kind.map_or_else(|| format!("{TYPE_BASE}{}", problem.code), str::to_owned);
    members.insert("type".into(), kind.into());
    members.insert("title".into(), title(&problem.code).into());
    members.insert("status".into(), problem.status.as_u16().into());
    members.insert("code".into(), problem.code.into());
    members.insert("detail".into(), problem.detail.into());
    members.insert("request_id".into(), request_id.as_str().into());
    if let Some(field) = more.field {
        members.insert("field".into(), field.into());
    }
    if let Some((name, value)) = more.extension {
        members.insert(name.into(), value);
    }
    Value::Object(members)
}

/// One title a code, as the RFC wants it: `quote_expired` is "Quote expired".
pub(crate) fn title(code: &str) -> String {
    let mut text = code.replace('_', " ");
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

/// Error responses that the router makes by itself.
fn unworded(status: StatusCode) -> Problem {
    let (code, detail) = match status {
        StatusCode::NOT_FOUND => ("route_not_found", "There is nothing at this path."),
        StatusCode::METHOD_NOT_ALLOWED => ("method_not_allowed", "This path does not take that method; see Allow."),
        _ if status.is_server_error() => return Problem { status, ..Problem::internal() },
        _ => ("bad_request", "The request cannot be understood."),
    };
    Problem::new(status, code, detail)
}
