//! What a handler takes from the body of a mutation: read within bounds, strictly, and only after admission.

mod decode;
mod scan;

use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use settla_port::caller::Mutation;
use tokio::time::timeout;

use crate::admission::{IdempotencyKey, fingerprint};
use crate::gateway::Shared;
use crate::problem::Problem;
use crate::request_id::RequestId;

/// A JSON body that a mutation takes.
pub(crate) trait JsonBody: DeserializeOwned {
    /// JSON pointers, without the leading slash, of the fields that are arrays. Anywhere else an array is refused:
    /// derived types would take one as an object, its fields by position.
    const ARRAYS: &'static [&'static str] = &[];
}

impl JsonBody for settla_port::api_key::CreateApiKey {
    const ARRAYS: &'static [&'static str] = &["scopes", "allowed_ips"];
}
impl JsonBody for settla_port::api_key::RotateApiKey {}
impl JsonBody for settla_port::quote::CreateQuote {}
impl JsonBody for settla_port::transfer::CreateTransfer {}
impl JsonBody for settla_port::treasury::CreateTopup {}
impl JsonBody for settla_port::treasury::CreateWithdrawal {}
impl JsonBody for settla_port::webhook::CreateEndpoint {
    const ARRAYS: &'static [&'static str] = &["events"];
}
impl JsonBody for settla_port::webhook::UpdateEndpoint {
    const ARRAYS: &'static [&'static str] = &["events"];
}
impl JsonBody for settla_port::webhook::RotateSecret {}
impl JsonBody for settla_port::webhook::CreateRedelivery {}

/// A mutation with a body.
pub(crate) struct Call<T> {
    pub(crate) mutation: Mutation,
    pub(crate) body: T,
}

impl<T: JsonBody> FromRequest<Arc<Shared>> for Call<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, Problem> {
        require_json(request.headers())?;
        let (mutation, bytes) = read_mutation(request, shared).await?;
        Ok(Self { mutation, body: decode::json(&bytes)? })
    }
}

/// A question with a body. It changes nothing, so it needs no key.
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: JsonBody> FromRequest<Arc<Shared>> for Asked<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, Problem> {
        require_json(request.headers())?;
        let bytes = read(request, shared).await?;
        Ok(Self(decode::json(&bytes)?))
    }
}

/// A mutation without a body. An empty JSON object is let pass: some clients cannot send nothing.
pub(crate) struct BareCall {
    pub(crate) mutation: Mutation,
}

impl FromRequest<Arc<Shared>> for BareCall {
    type Rejection = Problem;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, Problem> {
        let (mutation, bytes) = read_mutation(request, shared).await?;
        if bytes.is_empty() || bytes == "{}" {
            Ok(Self { mutation })
        } else {
            Err(Problem::bad_request("body_not_expected", "This request takes no body."))
        }
    }
}

/// A body as it came, for what is verified before it is parsed.
pub(crate) struct RawBody(pub(crate) Bytes);

impl FromRequest<Arc<Shared>> for RawBody {
    type Rejection = Problem;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, Problem> {
        read(request, shared).await.map(Self)
    }
}

fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let essence =
        headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).and_then(|text| text.split(';').next());
    if essence.is_some_and(|text| text.trim().eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    let detail = "Send the body as `Content-Type: application/json`.";
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail).at("content-type"))
}

async fn read_mutation(request: Request, shared: &Shared) -> Result<(Mutation, Bytes), Problem> {
    let (parts, body) = request.into_parts();
    let head = parts.clone();
    let bytes = read(Request::from_parts(parts, body), shared).await?;
    Ok((mutation(&head, &bytes)?, bytes))
}

fn mutation(head: &Parts, body: &[u8]) -> Result<Mutation, Problem> {
    let (Some(key), Some(request_id)) = (head.extensions.get::<IdempotencyKey>(), head.extensions.get::<RequestId>())
    else {
        tracing::error!("a handler asks for a mutation on a route that does not admit one");
        return Err(Problem::internal());
    };
    Ok(Mutation {
        idempotency_key: key.0.clone(),
        fingerprint: fingerprint(&head.method, &head.uri, body),
        request_id: request_id.as_str().to_owned(),
    })
}

/// The whole body. Its size is bounded by the router's `DefaultBodyLimit`, which `Bytes` obeys.
async fn read(request: Request, shared: &Shared) -> Result<Bytes, Problem> {
    let limits = &shared.gateway.limits;
    let read = timeout(limits.body_time_max, Bytes::from_request(request, &())).await;
    let slow = |_| Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", "The body took too long to arrive.");
    read.map_err(slow)?.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            let detail = format!("The body is larger than {} bytes.", limits.body_bytes_max);
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
        } else {
            Problem::bad_request("body_incomplete", "The body was cut off.")
        }
    })
}
