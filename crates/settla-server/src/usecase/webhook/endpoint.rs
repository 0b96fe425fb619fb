//! The tenant's webhook endpoints.

use super::super::{Server, WebhookRules, from_store, page};
use super::{ENDPOINT, first_use, made, secret_label};
use crate::clock::now;
use crate::cursor::Binding;
use settla_domain::event::EVENT_TYPES;
use settla_domain::id::EndpointId;
use settla_domain::refusal::Refusal;
use settla_domain::time::Timestamp;
use settla_port::caller::{Caller, Mutation, Reply};
use settla_port::error::PortError;
use settla_port::page::{Page, PageRequest};
use settla_port::webhook::{
    CreateEndpoint, EndpointCreated, EndpointStatus, EndpointView, RotateSecret, SECRET_OVERLAP_S_DEFAULT,
    SECRET_OVERLAP_S_MAX, SecretRotated, UpdateEndpoint,
};
use settla_store::read::{self, Asked, EndpointChange, EndpointMade, EndpointRow, NewEndpoint};
use settla_vault::WebhookSecret;
use uuid::Uuid;

/// Most endpoints of a tenant.
const ENDPOINTS_MAX: i64 = 16;

fn view(row: &EndpointRow) -> EndpointView {
    EndpointView {
        id: EndpointId(row.id),
        url: row.url.clone(),
        events: row.events.clone(),
        status: row.status.clone(),
        old_secret_until: row.old_secret_until.filter(|until| *until > now()).map(Timestamp::to_rfc3339),
        created_at: row.created_at.to_rfc3339(),
    }
}

pub(in crate::usecase) async fn create(
    server: &Server,
    caller: &Caller,
    call: &Mutation,
    ask: CreateEndpoint,
) -> Result<Reply<EndpointCreated>, PortError> {
    check_url(&ask.url, server.config.webhook_rules)?;
    let events = events(ask.events)?;
    let row = EndpointRow {
        id: Uuid::now_v7(),
        url: ask.url,
        events,
        status: EndpointStatus::Enabled.name().to_owned(),
        old_secret_until: None,
        created_at: now(),
    };
    let secret = WebhookSecret::generate();
    let sealed = server.keyring.master().seal(&secret_label(caller.tenant(), row.id), secret.bytes());
    let first = first_use(server, caller, call, row.id);
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
            let found = read::endpoint(&server.store.app, caller.tenant(), id)
                .await
                .map_err(from_store)?
                .ok_or(PortError::Internal)?;
            // All that may have been changed since is as this request, the same as the first, asks for it.
            let first = EndpointRow { id, created_at: found.created_at, ..row };
            Ok(Reply { value: EndpointCreated { endpoint: view(&first), secret: None }, replayed: true })
        }
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

pub(in crate::usecase) async fn list(
    server: &Server,
    caller: &Caller,
    ask: &PageRequest,
) -> Result<Page<EndpointView>, PortError> {
    let binding = Binding { tenant: caller.tenant(), list: "webhook-endpoints", filter: "" };
    let before = server.cursors.read::<16>(&binding, ask.cursor.as_deref())?.map(Uuid::from_bytes);
    let rows = read::endpoints(&server.store.app, caller.tenant(), before, i64::from(ask.limit) + 1)
        .await
        .map_err(from_store)?;
    Ok(page(rows, ask.limit, |e| server.cursors.make(&binding, e.id.as_bytes()), |e| view(&e)))
}

pub(in crate::usecase) async fn get(
    server: &Server,
    caller: &Caller,
    id: EndpointId,
) -> Result<EndpointView, PortError> {
    let row = read::endpoint(&server.store.app, caller.tenant(), id.0).await.map_err(from_store)?;
    row.filter(|row| row.status != "deleted").as_ref().map(view).ok_or(PortError::NotFound(ENDPOINT))
}

pub(in crate::usecase) async fn update(
    server: &Server,
    caller: &Caller,
    call: &Mutation,
    id: EndpointId,
    ask: UpdateEndpoint,
) -> Result<(), PortError> {
    if ask == (UpdateEndpoint { url: None, events: None, status: None }) {
        let message = "at least one of url, events and status".to_owned();
        return Err(PortError::Invalid { field: "status", code: "nothing_to_change", message });
    }
    if let Some(url) = &ask.url {
        check_url(url, server.config.webhook_rules)?;
    }
    let wanted = if ask.events.is_some() { Some(events(ask.events)?) } else { None };
    let change = EndpointChange {
        url: ask.url.as_deref(),
        events: wanted.as_deref(),
        status: ask.status.map(EndpointStatus::name),
    };
    let first = first_use(server, caller, call, id.0);
    let actor = caller.key().to_string();
    let asked = Asked { first: &first, actor: &actor, request_id: &call.request_id };
    let changed = read::change_endpoint(&server.store.app, &asked, id.0, change).await.map_err(from_store)?;
    made(changed, &first, ENDPOINT).map(drop)
}

pub(in crate::usecase) async fn rotate_secret(
    server: &Server,
    caller: &Caller,
    call: &Mutation,
    id: EndpointId,
    ask: RotateSecret,
) -> Result<Reply<SecretRotated>, PortError> {
    let overlap_s = ask.overlap_s.unwrap_or(SECRET_OVERLAP_S_DEFAULT);
    if overlap_s > SECRET_OVERLAP_S_MAX {
        let message = format!("at most {SECRET_OVERLAP_S_MAX} seconds");
        return Err(PortError::Invalid { field: "overlap_s", code: "overlap_too_long", message });
    }
    let secret = WebhookSecret::generate();
    let sealed = server.keyring.master().seal(&secret_label(caller.tenant(), id.0), secret.bytes());
    let first = first_use(server, caller, call, id.0);
    let actor = caller.key().to_string();
    let asked = Asked { first: &first, actor: &actor, request_id: &call.request_id };
    let changed = read::rotate_secret(&server.store.app, &asked, id.0, &sealed, i64::from(overlap_s)).await;
    let (since, secret, replayed) = match made(changed.map_err(from_store)?, &first, ENDPOINT)? {
        Ok(since) => (since, Some(secret.expose()), false),
        Err(used) => (used.at, None, true),
    };
    let until = (overlap_s > 0).then(|| since.plus_ms(i64::from(overlap_s) * 1_000).to_rfc3339());
    Ok(Reply { value: SecretRotated { endpoint_id: id, secret, old_secret_until: until }, replayed })
}

pub(in crate::usecase) async fn delete(
    server: &Server,
    caller: &Caller,
    call: &Mutation,
    id: EndpointId,
) -> Result<(), PortError> {
    let first = first_use(server, caller, call, id.0);
    let actor = caller.key().to_string();
    let asked = Asked { first: &first, actor: &actor, request_id: &call.request_id };
    let changed = read::delete_endpoint(&server.store.app, &asked, id.0).await.map_err(from_store)?;
    made(changed, &first, ENDPOINT).map(drop)
}
