//! `/v1/api-keys`

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use settla_domain::id::KeyId;
use settla_port::api_key::{ApiKeyCreated, ApiKeyView, CreateApiKey, RotateApiKey};
use settla_port::caller::Reply;
use utoipa::ToSchema;

use super::{Answer, path::InPath};
use crate::admission::{Query, Session};
use crate::answer;
use crate::body::{BareCall, Call};
use crate::openapi::Content;
use crate::problem::of_path;
use crate::sample;

/// A new key. The key itself is shown once; a replay of the request does not show it.
#[derive(Serialize, ToSchema)]
pub(crate) struct ApiKeyCreatedView<'a> {
    /// What is shown of it later too.
    #[serde(flatten)]
    view: &'a ApiKeyView,
    /// The key, for `Authorization: Bearer`. Absent in a replay.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "sk_test_2f8b…3f9a")]
    key: Option<&'a str>,
    /// RFC 3339: until when the key that it replaces works, if it replaces one.
    #[serde(skip_serializing_if = "Option::is_none")]
    old_key_until: Option<&'a str>,
}

const KEY_SAMPLE: &str = "sk_test_2f8b1c9d4e6a7f30415263748596a7b8c9dae0f1021324354657687980a13f9a";

/// What the documentation says about the answer to a create.
pub(crate) fn created_content() -> Content {
    Content::one(&ApiKeyCreatedView { view: &sample::new_api_key(), key: Some(KEY_SAMPLE), old_key_until: None })
}

/// What the documentation says about the answer to a rotation.
pub(crate) fn rotated_content() -> Content {
    let view = ApiKeyView { replaces: Some(sample::api_key().id), ..sample::new_api_key() };
    let old_key_until = Some("2026-11-22T12:00:00Z");
    Content::one(&ApiKeyCreatedView { view: &view, key: Some(KEY_SAMPLE), old_key_until })
}

fn created(reply: Reply<ApiKeyCreated>) -> Response {
    let ApiKeyCreated { view, key, old_key_until } = &reply.value;
    let location = format!("/v1/api-keys/{}", view.id);
    let key = key.as_ref().map(|key| key.expose());
    let value = ApiKeyCreatedView { view, key, old_key_until: old_key_until.as_deref() };
    answer::created_at(location, Reply { value, replayed: reply.replayed })
}

pub(crate) async fn create(session: Session, call: Call<CreateApiKey>) -> Answer {
    Ok(created(session.platform.create_api_key(&session.caller, &call.mutation, call.body).await?))
}

pub(crate) async fn list(session: Session, query: Query) -> Answer {
    let page = query.page()?;
    Ok(answer::ok(session.platform.api_keys(&session.caller, &page).await?))
}

pub(crate) async fn show(session: Session, InPath(id): InPath<KeyId>) -> Answer {
    session.platform.api_key(&session.caller, id).await.map(answer::ok).map_err(of_path)
}

pub(crate) async fn rotate(session: Session, InPath(id): InPath<KeyId>, call: Call<RotateApiKey>) -> Answer {
    let reply = session.platform.rotate_api_key(&session.caller, &call.mutation, id, call.body).await;
    reply.map(created).map_err(of_path)
}

pub(crate) async fn revoke(session: Session, InPath(id): InPath<KeyId>, call: BareCall) -> Answer {
    session.platform.revoke_api_key(&session.caller, &call.mutation, id).await.map_err(of_path)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
