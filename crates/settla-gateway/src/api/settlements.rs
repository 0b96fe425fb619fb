//! `/v1/settlement-batches`

use settla_domain::id::BatchId;

use super::{Answer, path::InPath};
use crate::admission::{Query, Session};
use crate::answer;

pub(crate) async fn list(session: Session, query: Query) -> Answer {
    let page = query.page()?;
    Ok(answer::ok(session.platform.settlement_batches(&session.caller, &page).await?))
}

pub(crate) async fn show(session: Session, InPath(id): InPath<BatchId>) -> Answer {
    Ok(answer::ok(session.platform.settlement_batch(&session.caller, id).await?))
}
