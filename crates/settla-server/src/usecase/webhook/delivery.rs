//! Deliveries: what came of them, and those that the tenant asks for.

use super::super::{Server, from_store, page};
use super::{DELIVERY, ENDPOINT, first_use, made};
use crate::cursor::Binding;
use settla_domain::id::{DeliveryId, EndpointId, EventId, RedeliveryId};
use settla_domain::time::Timestamp;
use settla_port::caller::{Caller, Mutation, Reply};
use settla_port::error::PortError;
use settla_port::page::{Page, PageRequest};
use settla_port::webhook::{
    AttemptView, CreateRedelivery, DeliveryFilter, DeliveryStatus, DeliveryView, REDELIVERY_NUMBERS_MAX,
    RedeliveryScope, RedeliveryView,
};
use settla_store::batch::Idempotency;
use settla_store::read::{self, Asked, AttemptRow, Changed, DeliveryRow, NewRedelivery, RedeliveryRow, Which};
use uuid::Uuid;

fn view(row: DeliveryRow) -> DeliveryView {
    let attempt = |a: AttemptRow| AttemptView {
        number: a.number,
        at: Timestamp(a.at_us).to_rfc3339(),
        status: a.status,
        error: a.error,
        latency_ms: a.latency_ms,
    };
    let pending = row.status == DeliveryStatus::Pending.name();
    DeliveryView {
        id: DeliveryId(row.id),
        endpoint_id: EndpointId(row.endpoint),
        event_id: EventId(row.event_id),
        event_type: row.kind,
        sequence: row.sequence,
        redelivery: row.round,
        next_attempt_at: pending.then(|| row.next_at.to_rfc3339()),
        status: row.status,
        attempts: row.attempts.into_iter().map(attempt).collect(),
        created_at: row.created_at.to_rfc3339(),
    }
}

/// A delivery as it was when it had just been made.
fn new_view(row: DeliveryRow) -> DeliveryView {
    let status = DeliveryStatus::Pending.name().to_owned();
    view(DeliveryRow { status, next_at: row.created_at, attempts: Vec::new(), ..row })
}

pub(in crate::usecase) async fn deliveries(
    server: &Server,
    caller: &Caller,
    filter: &DeliveryFilter,
    ask: &PageRequest,
) -> Result<Page<DeliveryView>, PortError> {
    let status = filter.status.map(DeliveryStatus::name);
    let bound = format!("{:?}/{status:?}", filter.endpoint);
    let binding = Binding { tenant: caller.tenant(), list: "webhook-deliveries", filter: &bound };
    let before = server.cursors.read::<16>(&binding, ask.cursor.as_deref())?.map(Uuid::from_bytes);
    let filter = read::DeliveryFilter { endpoint: filter.endpoint.map(|id| id.0), status };
    let rows = read::deliveries(&server.store.app, caller.tenant(), filter, before, i64::from(ask.limit) + 1)
        .await
        .map_err(from_store)?;
    Ok(page(rows, ask.limit, |d| server.cursors.make(&binding, d.id.as_bytes()), view))
}

async fn row(server: &Server, caller: &Caller, id: Uuid) -> Result<Option<DeliveryRow>, PortError> {
    read::delivery(&server.store.app, caller.tenant(), id).await.map_err(from_store)
}

pub(in crate::usecase) async fn delivery(
    server: &Server,
    caller: &Caller,
    id: DeliveryId,
) -> Result<DeliveryView, PortError> {
    row(server, caller, id.0).await?.map(view).ok_or(PortError::NotFound(DELIVERY))
}

pub(in crate::usecase) async fn redeliver(
    server: &Server,
    caller: &Caller,
    call: &Mutation,
    id: DeliveryId,
) -> Result<Reply<DeliveryView>, PortError> {
    let first = first_use(server, caller, call, Uuid::now_v7());
    let actor = caller.key().to_string();
    let asked = Asked { first: &first, actor: &actor, request_id: &call.request_id };
    let changed = read::redeliver(&server.store.app, &asked, id.0).await.map_err(from_store)?;
    reply(server, caller, &first, changed, DELIVERY).await
}

pub(in crate::usecase) async fn send_test(
    server: &Server,
    caller: &Caller,
    call: &Mutation,
    id: EndpointId,
) -> Result<Reply<DeliveryView>, PortError> {
    let first = first_use(server, caller, call, Uuid::now_v7());
    let actor = caller.key().to_string();
    let asked = Asked { first: &first, actor: &actor, request_id: &call.request_id };
    let changed = read::send_test(&server.store.app, &asked, id.0).await.map_err(from_store)?;
    reply(server, caller, &first, changed, ENDPOINT).await
}

/// The delivery that was made, now or before, as it was then.
async fn reply(
    server: &Server,
    caller: &Caller,
    first: &Idempotency,
    changed: Changed<()>,
    what: &'static str,
) -> Result<Reply<DeliveryView>, PortError> {
    let (subject, replayed) = match made(changed, first, what)? {
        Ok(()) => (first.subject, false),
        Err(used) => (used.recorded.subject, true),
    };
    let row = row(server, caller, subject.ok_or(PortError::Internal)?).await?.ok_or(PortError::Internal)?;
    Ok(Reply { value: new_view(row), replayed })
}

pub(in crate::usecase) async fn redeliver_range(
    server: &Server,
    caller: &Caller,
    call: &Mutation,
    id: EndpointId,
    ask: CreateRedelivery,
) -> Result<Reply<RedeliveryView>, PortError> {
    let count = numbers(&ask)?;
    let which = match ask.which {
        RedeliveryScope::All => Which::All,
        RedeliveryScope::Undelivered => Which::Undelivered,
    };
    let new = NewRedelivery {
        endpoint: id.0,
        from_sequence: ask.from_sequence,
        to_sequence: ask.to_sequence,
        which,
        ids: (0..count).map(|_| Uuid::now_v7()).collect(),
    };
    let first = first_use(server, caller, call, Uuid::now_v7());
    let actor = caller.key().to_string();
    let asked = Asked { first: &first, actor: &actor, request_id: &call.request_id };
    let changed = read::redeliver_range(&server.store.app, &asked, &new).await.map_err(from_store)?;
    let (row, replayed) = match made(changed, &first, ENDPOINT)? {
        Ok(row) => (row, false),
        Err(used) => {
            let id = used.recorded.subject.ok_or(PortError::Internal)?;
            let row = read::redelivery(&server.store.app, caller.tenant(), id).await.map_err(from_store)?;
            (row.ok_or(PortError::Internal)?, true)
        }
    };
    Ok(Reply { value: range_view(&row), replayed })
}

/// How many numbers the range has.
fn numbers(ask: &CreateRedelivery) -> Result<i64, PortError> {
    let invalid = |field, code, message: String| Err(PortError::Invalid { field, code, message });
    if ask.from_sequence < 1 {
        return invalid("from_sequence", "sequence_not_valid", "events are numbered from 1".to_owned());
    }
    if ask.to_sequence < ask.from_sequence {
        return invalid("to_sequence", "sequence_not_valid", "not below from_sequence".to_owned());
    }
    match ask.to_sequence - ask.from_sequence {
        more if more < REDELIVERY_NUMBERS_MAX => Ok(more + 1),
        _ => invalid("to_sequence", "range_too_large", format!("at most {REDELIVERY_NUMBERS_MAX} numbers at once")),
    }
}

fn range_view(row: &RedeliveryRow) -> RedeliveryView {
    RedeliveryView {
        id: RedeliveryId(row.id),
        endpoint_id: EndpointId(row.endpoint),
        from_sequence: row.from_sequence,
        to_sequence: row.to_sequence,
        deliveries: row.deliveries,
        created_at: row.created_at.to_rfc3339(),
    }
}
