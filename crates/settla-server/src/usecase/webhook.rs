//! The tenant's webhook endpoints.

use super::{Server, WebhookRules, from_store, page};
use crate::clock::now;
use crate::cursor::Binding;
use settla_domain::event::EVENT_TYPES;
use settla_domain::id::{DeliveryId, EndpointId, EventId};
use settla_domain::refusal::Refusal;
use settla_domain::time::Timestamp;
use settla_port::caller::{Caller, Mutation, Reply};
use settla_port::error::PortError;
use settla_port::page::{Page, PageRequest};
use settla_port::webhook::{AttemptView, CreateEndpoint, DeliveryView, EndpointCreated, EndpointView};
use settla_store::batch::Idempotency;
use settla_store::read::{self, EndpointMade, EndpointRow, NewEndpoint};
use settla_vault::WebhookSecret;
use uuid::Uuid;

/// Most endpoints of a tenant.
const ENDPOINTS_MAX: i64 = 16;

/// What a webhook secret is sealed under: it opens for its own endpoint alone.
pub fn secret_label(tenant: settla_domain::tenant::TenantNo, endpoint: Uuid) -> String {
    format!("webhook-secret/{}/{endpoint}", tenant.0)
}

fn view(row: &EndpointRow) -> EndpointView {
    EndpointView {
        id: EndpointId(row.id),
        url: row.url.clone(),
        events: row.events.clone(),
        status: row.status.clone(),
        created_at: row.created_at.to_rfc3339(),
    }
}

pub(super) async fn create(
    server: &Server,
    caller: &Caller,
    call: &Mutation,
    ask: CreateEndpoint,
) -> Result<Reply<EndpointCreated>, PortError> {
    check_url(&ask.url, server.config.webhook_rules)?;
    let events = events(ask.events)?;
    let row = EndpointRow { id: Uuid::now_v7(), url: ask.url, events, status: "enabled".to_owned(), created_at: now() };
    let secret = WebhookSecret::generate();
    let sealed = server.keyring.master().seal(&secret_label(caller.tenant(), row.id), secret.bytes());
    let first = first_use(server, caller, call, Some(row.id));
    let new = NewEndpoint {
        row: &row,
        secret_sealed: &sealed,
        endpoints_max: ENDPOINTS_MAX,
        actor: &caller.key().to_string(),
        request_id: &call.request_id,
    };
    match read::create_endpoint(&server.store.app, &first, &new).await.map_err(from_store)? {
        EndpointMade::Made => Ok(Reply {
            value: EndpointCreated { endpoint: view(&row), secret: Some(secret.expose()) },
            replayed: false,
        }),
        EndpointMade::TooMany => {
            let message = format!("at most {ENDPOINTS_MAX} endpoints; delete one first");
            Err(PortError::Invalid { field: "url", code: "too_many_endpoints", message })
        }
        EndpointMade::Recorded(recorded) if recorded.fingerprint != first.fingerprint => {
            Err(Refusal::IdempotencyConflict.into())
        }
        EndpointMade::Recorded(recorded) => {
            let id = recorded.subject.ok_or(PortError::Internal)?;
            let row = read::endpoint(&server.store.app, caller.tenant(), id)
                .await
                .map_err(from_store)?
                .ok_or(PortError::Internal)?;
            let first = EndpointRow { status: "enabled".to_owned(), ..row };
            Ok(Reply { value: EndpointCreated { endpoint: view(&first), secret: None }, replayed: true })
        }
    }
}

fn first_use(server: &Server, caller: &Caller, call: &Mutation, subject: Option<Uuid>) -> Idempotency {
    Idempotency {
        tenant: caller.tenant(),
        key: call.idempotency_key.clone(),
        fingerprint: server.keyed(&call.fingerprint),
        refusal: None,
        subject,
    }
}

/// The form of the address. Where it leads is checked again at every delivery, when the name is resolved.
fn check_url(url: &str, rules: WebhookRules) -> Result<(), PortError> {
    let bad =
        |message: &str| Err(PortError::Invalid { field: "url", code: "url_not_valid", message: message.to_owned() });
    if url.len() > 2_000 || !url.bytes().all(|b| (0x21..0x7f).contains(&b)) {
        return bad("an absolute URL of at most 2000 ASCII characters");
    }
    let rest = match (url.strip_prefix("https://"), url.strip_prefix("http://"), rules) {
        (Some(rest), _, _) => rest,
        (None, Some(rest), WebhookRules::AnyAddress) => rest,
        _ => return bad("the URL must begin with https://"),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() || authority.contains('@') || url.contains('#') {
        return bad("the URL must name a host, without user name and fragment");
    }
    Ok(())
}

fn events(asked: Option<Vec<String>>) -> Result<Vec<String>, PortError> {
    let Some(mut asked) = asked else { return Ok(EVENT_TYPES.iter().map(|e| (*e).to_owned()).collect()) };
    asked.sort();
    asked.dedup();
    if asked.is_empty() || asked.iter().any(|e| !EVENT_TYPES.contains(&e.as_str())) {
        let message = format!("event types are {}", EVENT_TYPES.join(", "));
        return Err(PortError::Invalid { field: "events", code: "unknown_event_type", message });
    }
    Ok(asked)
}

pub(super) async fn list(server: &Server, caller: &Caller, ask: &PageRequest) -> Result<Page<EndpointView>, PortError> {
    let binding = Binding { tenant: caller.tenant(), list: "webhook-endpoints", filter: "" };
    let before = server.cursors.read::<16>(&binding, ask.cursor.as_deref())?.map(Uuid::from_bytes);
    let rows = read::endpoints(&server.store.app, caller.tenant(), before, i64::from(ask.limit) + 1)
        .await
        .map_err(from_store)?;
    Ok(page(rows, ask.limit, |e| server.cursors.make(&binding, e.id.as_bytes()), |e| view(&e)))
}

pub(super) async fn delete(server: &Server, caller: &Caller, call: &Mutation, id: EndpointId) -> Result<(), PortError> {
    let first = first_use(server, caller, call, Some(id.0));
    let actor = caller.key().to_string();
    match read::delete_endpoint(&server.store.app, &first, id.0, &actor, &call.request_id).await.map_err(from_store)? {
        Ok(true) => Ok(()),
        Ok(false) => Err(PortError::NotFound("webhook endpoint")),
        Err(recorded) if recorded.fingerprint == first.fingerprint => Ok(()),
        Err(_) => Err(Refusal::IdempotencyConflict.into()),
    }
}

pub(super) async fn deliveries(
    server: &Server,
    caller: &Caller,
    ask: &PageRequest,
) -> Result<Page<DeliveryView>, PortError> {
    let binding = Binding { tenant: caller.tenant(), list: "webhook-deliveries", filter: "" };
    let before = server.cursors.read::<16>(&binding, ask.cursor.as_deref())?.map(Uuid::from_bytes);
    let rows = read::deliveries(&server.store.app, caller.tenant(), before, i64::from(ask.limit) + 1)
        .await
        .map_err(from_store)?;
    let view = |d: read::DeliveryRow| DeliveryView {
        id: DeliveryId(d.id),
        endpoint_id: EndpointId(d.endpoint),
        event_id: EventId(d.event_id),
        event_type: d.kind,
        next_attempt_at: (d.status == "pending").then(|| d.next_at.to_rfc3339()),
        status: d.status,
        attempts: d
            .attempts
            .into_iter()
            .map(|a| AttemptView {
                at: Timestamp(a.at_us).to_rfc3339(),
                status: a.status,
                error: a.error,
                latency_ms: a.latency_ms,
            })
            .collect(),
        created_at: d.created_at.to_rfc3339(),
    };
    Ok(page(rows, ask.limit, |d| server.cursors.make(&binding, d.id.as_bytes()), view))
}
