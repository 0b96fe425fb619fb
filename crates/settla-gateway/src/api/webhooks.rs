//! `/v1/webhook-endpoints` and `/v1/webhook-deliveries`

use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Serialize;
use settla_domain::id::EndpointId;
use settla_port::caller::Reply;
use settla_port::webhook::{CreateEndpoint, EndpointView};
use utoipa::ToSchema;

use super::{Answer, path::InPath};
use crate::admission::{Query, Session};
use crate::answer;
use crate::body::{BareCall, Call};
use crate::openapi::Content;
use crate::problem::of_path;
use crate::sample;

/// A new endpoint. The secret is shown once; a replay of the request does not show it.
#[derive(Serialize, ToSchema)]
pub(crate) struct EndpointCreatedView<'a> {
    /// The endpoint.
    #[serde(flatten)]
    endpoint: &'a EndpointView,
    /// The key that deliveries are signed with (Standard Webhooks). Absent in a replay.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")]
    secret: Option<&'a str>,
}

/// What the documentation says about the answer to a create.
pub(crate) fn created_content() -> Content {
    let secret = Some("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
    Content::one(&EndpointCreatedView { endpoint: &sample::endpoint(), secret })
}

pub(crate) async fn create(session: Session, call: Call<CreateEndpoint>) -> Answer {
    let reply = session.platform.create_endpoint(&session.caller, &call.mutation, call.body).await?;
    let location = format!("/v1/webhook-endpoints/{}", reply.value.endpoint.id);
    let secret = reply.value.secret.as_ref().map(|secret| secret.expose().as_str());
    let value = EndpointCreatedView { endpoint: &reply.value.endpoint, secret };
    Ok(answer::created_at(location, Reply { value, replayed: reply.replayed }))
}

pub(crate) async fn list(session: Session, query: Query) -> Answer {
    let page = query.page()?;
    Ok(answer::ok(session.platform.endpoints(&session.caller, &page).await?))
}

pub(crate) async fn delete(session: Session, InPath(id): InPath<EndpointId>, call: BareCall) -> Answer {
    session.platform.delete_endpoint(&session.caller, &call.mutation, id).await.map_err(of_path)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(crate) async fn deliveries(session: Session, query: Query) -> Answer {
    let page = query.page()?;
    Ok(answer::ok(session.platform.deliveries(&session.caller, &page).await?))
}
