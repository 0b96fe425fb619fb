//! Webhooks: the tenant's endpoints and deliveries, and what providers send us.

use serde::{Deserialize, Serialize};
use settla_domain::event::EVENT_TYPES;
use settla_domain::id::{DeliveryId, EndpointId, EventId, RedeliveryId};
use settla_vault::Secret;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// Most numbers that a range of events may have which is to be delivered again.
pub const REDELIVERY_NUMBERS_MAX: i64 = 1_000;
/// How long the secret before a new one signs too, at most and if not said otherwise, in seconds.
pub const SECRET_OVERLAP_S_MAX: u32 = 7 * 86_400;
/// See [`SECRET_OVERLAP_S_MAX`].
pub const SECRET_OVERLAP_S_DEFAULT: u32 = 86_400;

/// An event type in the documentation: every one that a subscription may name, spelt out.
pub struct EventType;

impl PartialSchema for EventType {
    fn schema() -> RefOr<Schema> {
        let types = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(EVENT_TYPES));
        types.description(Some("What a webhook may tell of.")).into()
    }
}

impl ToSchema for EventType {}

/// `POST /v1/webhook-endpoints`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateEndpoint {
    /// Where to deliver: `https://…`; plain http and private addresses only in development.
    #[schema(example = "https://api.example.com/hooks/settla")]
    pub url: String,
    /// Event types to deliver; all if absent.
    #[schema(value_type = Option<Vec<EventType>>, example = json!(["transfer.completed"]))]
    pub events: Option<Vec<String>>,
}

/// `PATCH /v1/webhook-endpoints/{id}`: at least one field; what is absent stays.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateEndpoint {
    /// Where to deliver from now on, what is pending too.
    #[schema(example = "https://api.example.com/hooks/settla")]
    pub url: Option<String>,
    /// Event types to deliver, of events from now on.
    #[schema(value_type = Option<Vec<EventType>>, example = json!(["transfer.completed"]))]
    pub events: Option<Vec<String>>,
    /// `disabled`: deliveries that are pending fail and none are made. `enabled`: they are made again, after 410 Gone too.
    pub status: Option<EndpointStatus>,
}

/// Whether deliveries are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndpointStatus {
    /// They are.
    Enabled,
    /// They are not.
    Disabled,
}

impl EndpointStatus {
    /// As in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
        }
    }
}

/// `POST /v1/webhook-endpoints/{id}/secret`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateSecret {
    /// How long, in seconds, the present secret signs besides the new one; 0 ends it at once.
    #[schema(minimum = 0, maximum = 604_800, default = 86_400, example = 86_400)]
    pub overlap_s: Option<u32>,
}

/// A new secret. It is shown once; a replay of the request does not show it.
#[derive(Debug)]
pub struct SecretRotated {
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// `whsec_…`; absent in a replay.
    pub secret: Option<Secret<String>>,
    /// RFC 3339: until when the secret before it signs too, if it does.
    pub old_secret_until: Option<String>,
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
    #[schema(value_type = Vec<EventType>)]
    pub events: Vec<String>,
    /// `enabled` or `disabled`: by you, or because it answered 410 Gone.
    #[schema(example = "enabled")]
    pub status: String,
    /// RFC 3339: until when the secret before the present one signs too, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_secret_until: Option<String>,
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
    /// The event's type; `webhook.test` of a test.
    pub event_type: String,
    /// The event's number; absent of a test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<i64>,
    /// How many times before the event was to be delivered to the endpoint.
    pub redelivery: i32,
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
    /// From 1.
    pub number: i32,
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

/// Which deliveries are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeliveryFilter {
    /// Those to this endpoint.
    pub endpoint: Option<EndpointId>,
    /// Those in this state.
    pub status: Option<DeliveryStatus>,
}

/// How a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// There will be another attempt.
    Pending,
    /// The endpoint has taken it.
    Delivered,
    /// There are no more attempts.
    Failed,
}

impl DeliveryStatus {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Failed];

    /// As in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }

    /// From its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// `POST /v1/webhook-endpoints/{id}/redeliveries`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRedelivery {
    /// The `sequence` of the first event.
    #[schema(minimum = 1, example = 1000)]
    pub from_sequence: i64,
    /// That of the last one, at most 999 further.
    #[schema(minimum = 1, example = 1042)]
    pub to_sequence: i64,
    /// Which of them.
    pub which: RedeliveryScope,
}

/// Which events of a range are delivered again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RedeliveryScope {
    /// All that the endpoint wants.
    All,
    /// Those of them that it has not taken.
    Undelivered,
}

/// A range of events that is delivered again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RedeliveryView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: RedeliveryId,
    /// The endpoint.
    #[schema(value_type = String)]
    pub endpoint_id: EndpointId,
    /// From this number on.
    pub from_sequence: i64,
    /// Up to this one.
    pub to_sequence: i64,
    /// How many deliveries were made; events that are pending for the endpoint are not made again.
    pub deliveries: i64,
    /// RFC 3339.
    pub created_at: String,
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
