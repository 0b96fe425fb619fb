//! The tenant's accounts and postings.

use super::{Server, from_store, page};
use crate::clock::now;
use crate::cursor::Binding;
use crate::view::{self, TENANT_KINDS};
use settla_domain::account::AccountId;
use settla_domain::id::TransferId;
use settla_domain::money::{Currency, Money};
use settla_domain::posting::PostingCode;
use settla_domain::time::Timestamp;
use settla_port::caller::Caller;
use settla_port::error::PortError;
use settla_port::ledger::{LedgerAccount, PostingFilter, PostingView};
use settla_port::page::{Page, PageRequest};
use settla_store::read;

pub(super) async fn accounts(server: &Server, caller: &Caller) -> Result<Vec<LedgerAccount>, PortError> {
    let rows = read::positions(&server.store.app, caller.tenant()).await.map_err(from_store)?;
    Ok(rows.iter().flat_map(|(currency, position)| view::accounts(caller.tenant(), *currency, position)).collect())
}

pub(super) async fn account(
    server: &Server,
    caller: &Caller,
    id: &str,
    at: Option<Timestamp>,
) -> Result<LedgerAccount, PortError> {
    const NOT_FOUND: PortError = PortError::NotFound("ledger account");
    // Compared with the caller's own accounts, so an id of another tenant is simply not there.
    let found = accounts(server, caller).await?.into_iter().find(|a| a.id == id).ok_or(NOT_FOUND)?;
    let Some(at) = at else { return Ok(found) };
    if at > now() {
        let message = "The query parameter `at` must not be in the future.".to_owned();
        return Err(PortError::Invalid { field: "at", code: "invalid_parameter", message });
    }
    let (account, currency) = own_account(caller, id).ok_or(NOT_FOUND)?;
    let balance = read::balance_at(&server.store.app, caller.tenant(), account, currency, at).await;
    match balance.map_err(from_store)? {
        Some(minor) => {
            let balance = Money::new(currency, minor).decimal();
            Ok(LedgerAccount { balance, at: Some(at.to_rfc3339()), ..found })
        }
        None => Err(PortError::Unavailable),
    }
}

/// An account id of the caller's, taken apart.
fn own_account(caller: &Caller, id: &str) -> Option<(AccountId, Currency)> {
    let (code, _) = id.split_once('-')?;
    let currency: Currency = code.parse().ok()?;
    let own = TENANT_KINDS.into_iter().map(|kind| AccountId::tenant(caller.tenant(), kind));
    own.into_iter().find(|account| format!("{currency}-{account}") == id).map(|account| (account, currency))
}

pub(super) async fn postings(
    server: &Server,
    caller: &Caller,
    filter: &PostingFilter,
    ask: &PageRequest,
) -> Result<Page<PostingView>, PortError> {
    let account = match &filter.account {
        Some(id) => Some(own_account(caller, id).ok_or(PortError::NotFound("ledger account"))?),
        None => None,
    };
    let bound = format!("{:?}/{:?}", filter.subject, filter.account);
    let binding = Binding { tenant: caller.tenant(), list: "postings", filter: &bound };
    let before = server.cursors.read::<8>(&binding, ask.cursor.as_deref())?.map(i64::from_be_bytes);
    let by_account = account.map(|(id, currency)| (id, currency.code()));
    let rows = read::postings(
        &server.store.app,
        caller.tenant(),
        filter.subject,
        by_account,
        before,
        i64::from(ask.limit) + 1,
    )
    .await
    .map_err(from_store)?;
    let view = |row: read::PostingRow| {
        let of_transfer = PostingCode::from_number(row.code).is_some_and(PostingCode::is_of_transfer);
        view::posting(&row, of_transfer.then(|| TransferId(row.subject).to_string()))
    };
    Ok(page(rows, ask.limit, |r| server.cursors.make(&binding, &r.sequence.to_be_bytes()), view))
}
