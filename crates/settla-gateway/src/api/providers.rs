//! `/webhooks/providers`: what providers send us. The port verifies the signature over the bytes as they came; nothing
//! here looks into them.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use settla_port::webhook::ProviderEvent;

use super::Answer;
use crate::body::RawBody;
use crate::gateway::Shared;
use crate::problem::Problem;

/// Longest id or timestamp, and longest list of signatures.
const HEADER_LENGTH_MAX: usize = 1_024;

pub(crate) async fn receive(
    State(shared): State<Arc<Shared>>,
    Path(provider): Path<String>,
    headers: HeaderMap,
    RawBody(body): RawBody,
) -> Answer {
    let gateway = &shared.gateway;
    let known = gateway.providers.get_key_value(&provider);
    let (provider, environment) = known.ok_or_else(|| Problem::not_found("provider"))?;
    let platform = gateway.world(*environment).ok_or_else(|| Problem::not_found("provider"))?;
    let event = ProviderEvent {
        provider: provider.clone(),
        id: one(&headers, "webhook-id")?,
        timestamp: one(&headers, "webhook-timestamp")?,
        signature: one(&headers, "webhook-signature")?,
        body: body.into(),
    };
    platform.provider_event(event).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn one(headers: &HeaderMap, name: &'static str) -> Result<String, Problem> {
    let mut values = headers.get_all(name).iter();
    let text = values.next().and_then(|value| value.to_str().ok());
    let usable = text.filter(|text| (1..=HEADER_LENGTH_MAX).contains(&text.len()) && values.next().is_none());
    usable.map(str::to_owned).ok_or_else(|| {
        Problem::bad_request("webhook_header_invalid", "Send the three headers of Standard Webhooks, each once.")
            .at(name)
    })
}
