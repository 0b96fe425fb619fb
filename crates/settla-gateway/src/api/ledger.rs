//! `/v1/ledger`

use settla_domain::id::TransferId;
use settla_domain::time::Timestamp;
use settla_port::ledger::PostingFilter;

use super::Answer;
use super::path::{InPath, LedgerAccountId};
use crate::admission::{Query, Session, invalid};
use crate::answer;

/// What `at` must be.
const INSTANT: &str = "a date and time with its offset, such as `2026-11-21T12:00:00Z`";

pub(crate) async fn accounts(session: Session) -> Answer {
    Ok(answer::list(session.platform.ledger_accounts(&session.caller).await?))
}

pub(crate) async fn account(session: Session, InPath(id): InPath<LedgerAccountId>, query: Query) -> Answer {
    let at = match query.get("at") {
        Some(text) => Some(Timestamp::from_rfc3339(text).ok_or_else(|| invalid("at", INSTANT))?),
        None => None,
    };
    Ok(answer::ok(session.platform.ledger_account(&session.caller, &id.0, at).await?))
}

pub(crate) async fn postings(session: Session, query: Query) -> Answer {
    let transfer = query.parse::<TransferId>("transfer_id", "a transfer id, such as `tr_…`")?;
    let account = query.parse::<LedgerAccountId>("account", "a ledger account id, such as `GBP-…`")?;
    if account.as_ref().is_some_and(|id| id.0.is_empty()) {
        return Err(invalid("account", "a ledger account id, such as `GBP-…`"));
    }
    let filter = PostingFilter { subject: transfer.map(|id| id.0), account: account.map(|id| id.0) };
    let page = query.page()?;
    Ok(answer::ok(session.platform.postings(&session.caller, &filter, &page).await?))
}
