//! Webhooks: the tenant's endpoints and deliveries, and what providers send us.

use serde::{Deserialize, Serialize};
use settla_domain::id::{DeliveryId, EndpointId, EventId};
use settla_vault::Secret;
use utoipa::ToSchema;

/// `POST /v1/webhook-endpoints`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateEndpoint {
    /// Where to deliver: `https://…`; plain http and private addresses only in development.
    #[schema(example = "https://api.example.com/hooks/settla")]
    pub url: String,
    /// Event types to deliver; all if absent.
    #[schema(example = json!(["transfer.completed"]))]
    pub events: Option<Vec<String>>,
}

/// An endpoint as it is shown: without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct EndpointView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: EndpointId,
    /// Where deliveries go.
    pub url: String,
    /// Event types.
    pub events: Vec<String>,
    /// `enabled` or `disabled`.
    #[schema(example = "enabled")]
    pub status: String,
    /// RFC 3339.
    pub created_at: String,
}

/// A new endpoint. The secret is shown once; a replay of the request does not show it.
#[derive(Debug)]
pub struct EndpointCreated {
    /// The endpoint.
    pub endpoint: EndpointView,
    /// `whsec_…`; absent in a replay.
    pub secret: Option<Secret<String>>,
}

/// A delivery of an event to an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeliveryView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: DeliveryId,
    /// The endpoint.
    #[schema(value_type = String)]
    pub endpoint_id: EndpointId,
    /// The event, also the `webhook-id` header.
    #[schema(value_type = String)]
    pub event_id: EventId,
    /// The event's type.
    pub event_type: String,
    /// `pending`, `delivered` or `failed`.
    #[schema(example = "delivered")]
    pub status: String,
    /// What was tried, oldest first.
    pub attempts: Vec<AttemptView>,
    /// RFC 3339; of the next attempt, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<String>,
    /// RFC 3339.
    pub created_at: String,
}

/// One attempt of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AttemptView {
    /// RFC 3339.
    pub at: String,
    /// The HTTP status, if there was an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why there was none, such as `timeout` or `address_not_allowed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How long it took.
    pub latency_ms: i64,
}

/// A provider's webhook as it came in. Its content is not trusted before the signature is verified.
#[derive(Debug, Clone)]
pub struct ProviderEvent {
    /// The provider's name in the path.
    pub provider: String,
    /// `webhook-id`.
    pub id: String,
    /// `webhook-timestamp`.
    pub timestamp: String,
    /// `webhook-signature`.
    pub signature: String,
    /// The raw body.
    pub body: Vec<u8>,
}
