//! `/v1/transfers`

use settla_domain::id::TransferId;
use settla_domain::transfer::TransferState;
use settla_port::transfer::{CreateTransfer, TransferFilter};

use super::{Answer, path::InPath};
use crate::admission::{Query, Session, invalid};
use crate::answer;
use crate::body::{BareCall, Call};
use crate::problem::{Problem, of_path};

const REFERENCE_LENGTH_MAX: usize = 64;

pub(crate) async fn create(session: Session, call: Call<CreateTransfer>) -> Answer {
    let reply = session.platform.create_transfer(&session.caller, &call.mutation, call.body).await?;
    Ok(answer::created_at(format!("/v1/transfers/{}", reply.value.id), reply))
}

pub(crate) async fn list(session: Session, query: Query) -> Answer {
    let filter = filter(&query)?;
    let page = query.page()?;
    Ok(answer::ok(session.platform.transfers(&session.caller, &filter, &page).await?))
}

pub(crate) async fn show(session: Session, InPath(id): InPath<TransferId>) -> Answer {
    session.platform.transfer(&session.caller, id).await.map(answer::ok).map_err(of_path)
}

pub(crate) async fn events(session: Session, InPath(id): InPath<TransferId>, query: Query) -> Answer {
    let page = query.page()?;
    session.platform.transfer_events(&session.caller, id, &page).await.map(answer::ok).map_err(of_path)
}

pub(crate) async fn cancel(session: Session, InPath(id): InPath<TransferId>, call: BareCall) -> Answer {
    session.platform.cancel_transfer(&session.caller, &call.mutation, id).await.map(answer::changed).map_err(of_path)
}

fn filter(query: &Query) -> Result<TransferFilter, Problem> {
    let state = match query.get("state") {
        None => None,
        Some(name) => {
            Some(TransferState::from_name(name).ok_or_else(|| invalid("state", "a state, such as `COMPLETED`"))?)
        }
    };
    let reference = query.get("reference");
    // The same form as in a create: no other reference can be found.
    let usable =
        |text: &str| (1..=REFERENCE_LENGTH_MAX).contains(&text.len()) && text.bytes().all(|b| matches!(b, b' '..=b'~'));
    if reference.is_some_and(|text| !usable(text)) {
        return Err(invalid("reference", "1 to 64 printable ASCII characters"));
    }
    Ok(TransferFilter { state, reference: reference.map(str::to_owned) })
}
