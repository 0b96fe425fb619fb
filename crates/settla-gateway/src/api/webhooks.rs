//! `/v1/webhook-endpoints` and `/v1/webhook-deliveries`

use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Serialize;
use settla_domain::id::{DeliveryId, EndpointId};
use settla_port::caller::Reply;
use settla_port::webhook::{
    CreateEndpoint, CreateRedelivery, DeliveryFilter, DeliveryStatus, EndpointView, RotateSecret, UpdateEndpoint,
};
use utoipa::ToSchema;

use super::{Answer, path::InPath};
use crate::admission::{Query, Session, invalid};
use crate::answer;
use crate::body::{BareCall, Call};
use crate::openapi::Content;
use crate::problem::{Problem, of_path};
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

pub(crate) async fn show(session: Session, InPath(id): InPath<EndpointId>) -> Answer {
    session.platform.endpoint(&session.caller, id).await.map(answer::ok).map_err(of_path)
}

pub(crate) async fn update(session: Session, InPath(id): InPath<EndpointId>, call: Call<UpdateEndpoint>) -> Answer {
    session.platform.update_endpoint(&session.caller, &call.mutation, id, call.body).await.map_err(of_path)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(crate) async fn delete(session: Session, InPath(id): InPath<EndpointId>, call: BareCall) -> Answer {
    session.platform.delete_endpoint(&session.caller, &call.mutation, id).await.map_err(of_path)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A new secret. It is shown once; a replay of the request does not show it.
#[derive(Serialize, ToSchema)]
pub(crate) struct SecretRotatedView<'a> {
    /// The endpoint.
    #[schema(value_type = String)]
    endpoint_id: EndpointId,
    /// The key that deliveries are signed with from now on. Absent in a replay.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")]
    secret: Option<&'a str>,
    /// RFC 3339: until when the secret before it signs too. Absent if it ended at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    old_secret_until: Option<&'a str>,
}

/// What the documentation says about the answer to a rotation.
pub(crate) fn rotated_content() -> Content {
    let secret = Some("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
    let old_secret_until = Some("2026-11-22T12:00:00Z");
    Content::one(&SecretRotatedView { endpoint_id: sample::endpoint().id, secret, old_secret_until })
}

pub(crate) async fn rotate_secret(
    session: Session,
    InPath(id): InPath<EndpointId>,
    call: Call<RotateSecret>,
) -> Answer {
    let reply =
        session.platform.rotate_secret(&session.caller, &call.mutation, id, call.body).await.map_err(of_path)?;
    let value = SecretRotatedView {
        endpoint_id: reply.value.endpoint_id,
        secret: reply.value.secret.as_ref().map(|secret| secret.expose().as_str()),
        old_secret_until: reply.value.old_secret_until.as_deref(),
    };
    Ok(answer::created(Reply { value, replayed: reply.replayed }))
}

pub(crate) async fn send_test(session: Session, InPath(id): InPath<EndpointId>, call: BareCall) -> Answer {
    let reply = session.platform.test_endpoint(&session.caller, &call.mutation, id).await.map_err(of_path)?;
    Ok(answer::created_at(format!("/v1/webhook-deliveries/{}", reply.value.id), reply))
}

pub(crate) async fn redeliver_range(
    session: Session,
    InPath(id): InPath<EndpointId>,
    call: Call<CreateRedelivery>,
) -> Answer {
    let reply = session.platform.redeliver_range(&session.caller, &call.mutation, id, call.body).await;
    reply.map(answer::created).map_err(of_path)
}

pub(crate) async fn deliveries(session: Session, query: Query) -> Answer {
    let filter = filter(&query)?;
    let page = query.page()?;
    Ok(answer::ok(session.platform.deliveries(&session.caller, &filter, &page).await?))
}

pub(crate) async fn delivery(session: Session, InPath(id): InPath<DeliveryId>) -> Answer {
    session.platform.delivery(&session.caller, id).await.map(answer::ok).map_err(of_path)
}

pub(crate) async fn redeliver(session: Session, InPath(id): InPath<DeliveryId>, call: BareCall) -> Answer {
    let reply = session.platform.redeliver(&session.caller, &call.mutation, id).await.map_err(of_path)?;
    Ok(answer::created_at(format!("/v1/webhook-deliveries/{}", reply.value.id), reply))
}

fn filter(query: &Query) -> Result<DeliveryFilter, Problem> {
    let status = query.get("status").map(|name| {
        DeliveryStatus::from_name(name).ok_or_else(|| invalid("status", "`pending`, `delivered` or `failed`"))
    });
    Ok(DeliveryFilter {
        endpoint: query.parse("endpoint_id", "an endpoint's id, `whe_…`")?,
        status: status.transpose()?,
    })
}
