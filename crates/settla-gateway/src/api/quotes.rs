//! `/v1/quotes`

use settla_domain::id::QuoteId;
use settla_port::quote::CreateQuote;

use super::{Answer, path::InPath};
use crate::admission::Session;
use crate::answer;
use crate::body::{Asked, Call};
use crate::problem::of_path;

pub(crate) async fn create(session: Session, call: Call<CreateQuote>) -> Answer {
    let reply = session.platform.create_quote(&session.caller, &call.mutation, call.body).await?;
    Ok(answer::created_at(format!("/v1/quotes/{}", reply.value.id), reply))
}

pub(crate) async fn routes(session: Session, Asked(ask): Asked<CreateQuote>) -> Answer {
    Ok(answer::list(session.platform.routes(&session.caller, ask).await?))
}

pub(crate) async fn show(session: Session, InPath(id): InPath<QuoteId>) -> Answer {
    session.platform.quote(&session.caller, id).await.map(answer::ok).map_err(of_path)
}
