//! Transfers.

use super::{Server, beneficiary, from_store, page};
use crate::cursor::Binding;
use crate::parties::seal_parties;
use crate::view;
use settla_domain::decide::{Answer, Command, CreateTransfer as Create};
use settla_domain::id::{EventId, QuoteId, TransferId};
use settla_domain::refusal::Refusal;
use settla_domain::transfer::TransferState;
use settla_port::caller::{Caller, Mutation, Reply};
use settla_port::error::PortError;
use settla_port::page::{Page, PageRequest};
use settla_port::transfer::{CreateTransfer, TransferEvent, TransferFilter, TransferView};
use settla_store::read;
use uuid::Uuid;

pub(super) async fn create(
    server: &Server,
    caller: &Caller,
    call: &Mutation,
    ask: CreateTransfer,
) -> Result<Reply<TransferView>, PortError> {
    let quote: QuoteId = ask.quote_id.parse().map_err(|_| Refusal::QuoteNotFound)?;
    let reference = reference(&ask.reference)?;
    let (parties, masked) = beneficiary::check(&ask.sender, &ask.beneficiary)?;
    let id = TransferId(Uuid::now_v7());
    let sealed = seal_parties(&server.keyring, caller.tenant(), id.0, &parties).await.map_err(|error| {
        tracing::error!(%error, "sealing failed");
        PortError::Unavailable
    })?;
    let command = Command::CreateTransfer(Create {
        tenant: caller.tenant(),
        id,
        quote,
        reference,
        beneficiary: masked,
        settlement: ask.settlement,
    });
    answer(server.decide(caller, call, command, Some((id.0, sealed))).await?)
}

/// A reference of a request: 1 to 64 printable ASCII characters.
pub(super) fn reference(text: &str) -> Result<String, PortError> {
    let fits = (1..=64).contains(&text.len()) && text.bytes().all(|b| (0x20..0x7f).contains(&b)) && text.trim() == text;
    if fits {
        Ok(text.to_owned())
    } else {
        let message = "1 to 64 printable ASCII characters without spaces at the ends".to_owned();
        Err(PortError::Invalid { field: "reference", code: "reference_not_valid", message })
    }
}

fn answer(decided: crate::runner::Decided) -> Result<Reply<TransferView>, PortError> {
    match decided.answer {
        Answer::Transfer(transfer) => Ok(Reply { value: view::transfer(&transfer), replayed: decided.replayed }),
        _ => Err(PortError::Internal),
    }
}

pub(super) async fn cancel(
    server: &Server,
    caller: &Caller,
    call: &Mutation,
    id: TransferId,
) -> Result<Reply<TransferView>, PortError> {
    answer(server.decide(caller, call, Command::CancelTransfer { tenant: caller.tenant(), transfer: id }, None).await?)
}

pub(super) async fn get(server: &Server, caller: &Caller, id: TransferId) -> Result<TransferView, PortError> {
    let transfer = read::transfer(&server.store.app, caller.tenant(), id).await.map_err(from_store)?;
    transfer.as_ref().map(view::transfer).ok_or(PortError::NotFound("transfer"))
}

pub(super) async fn list(
    server: &Server,
    caller: &Caller,
    filter: &TransferFilter,
    ask: &PageRequest,
) -> Result<Page<TransferView>, PortError> {
    let bound = format!("{:?}/{:?}", filter.state.map(TransferState::name), filter.reference);
    let binding = Binding { tenant: caller.tenant(), list: "transfers", filter: &bound };
    let before = server.cursors.read::<16>(&binding, ask.cursor.as_deref())?.map(Uuid::from_bytes);
    let limit = i64::from(ask.limit) + 1;
    let rows =
        read::transfers(&server.store.app, caller.tenant(), filter.state, filter.reference.as_deref(), before, limit)
            .await
            .map_err(from_store)?;
    Ok(page(rows, ask.limit, |t| server.cursors.make(&binding, t.id.0.as_bytes()), |t| view::transfer(&t)))
}

pub(super) async fn events(
    server: &Server,
    caller: &Caller,
    id: TransferId,
    ask: &PageRequest,
) -> Result<Page<TransferEvent>, PortError> {
    get(server, caller, id).await?;
    let bound = id.to_string();
    let binding = Binding { tenant: caller.tenant(), list: "events", filter: &bound };
    let after = server.cursors.read::<8>(&binding, ask.cursor.as_deref())?.map_or(0, i64::from_be_bytes);
    let rows = read::event_rows(&server.store.app, caller.tenant(), id.0, after, i64::from(ask.limit) + 1)
        .await
        .map_err(from_store)?;
    let view = |e: read::EventRow| TransferEvent {
        id: EventId(e.id),
        sequence: e.sequence,
        kind: e.kind,
        at: e.at.to_rfc3339(),
        data: e.data,
    };
    Ok(page(rows, ask.limit, |e| server.cursors.make(&binding, &e.sequence.to_be_bytes()), view))
}
