//! Positions, top-ups and withdrawals.

use super::quote::amount;
use super::{Server, beneficiary, from_store, page, transfer};
use crate::clock::now;
use crate::cursor::Binding;
use crate::parties::seal_parties;
use crate::view;
use settla_domain::decide::{Answer, Command};
use settla_domain::id::{TopupId, WithdrawalId};
use settla_domain::money::Currency;
use settla_domain::position::Position;
use settla_domain::refusal::Refusal;
use settla_domain::topup::{Topup, reference_for};
use settla_domain::withdrawal::{Withdrawal, WithdrawalState};
use settla_port::caller::{Caller, Mutation, Reply};
use settla_port::error::PortError;
use settla_port::page::{Page, PageRequest};
use settla_port::treasury::{CreateTopup, CreateWithdrawal, PositionView, TopupView, WithdrawalView};
use settla_store::read;
use uuid::Uuid;

pub(super) async fn positions(server: &Server, caller: &Caller) -> Result<Vec<PositionView>, PortError> {
    let rows = read::positions(&server.store.app, caller.tenant()).await.map_err(from_store)?;
    Ok(rows.iter().map(|(currency, position)| view::position(*currency, position)).collect())
}

pub(super) async fn position(server: &Server, caller: &Caller, currency: Currency) -> Result<PositionView, PortError> {
    let rows = read::positions(&server.store.app, caller.tenant()).await.map_err(from_store)?;
    let position = rows.iter().find(|(c, _)| *c == currency).map_or_else(Position::default, |(_, p)| *p);
    Ok(view::position(currency, &position))
}

fn fiat(server: &Server, code: &str) -> Result<Currency, PortError> {
    let unknown = || PortError::Invalid {
        field: "currency",
        code: "unknown_currency",
        message: "not a currency code that we know".to_owned(),
    };
    let currency: Currency = code.parse().map_err(|_| unknown())?;
    if server.config.corridors.sources.contains(&currency) {
        Ok(currency)
    } else {
        Err(Refusal::CorridorNotOffered.into())
    }
}

pub(super) async fn create_topup(
    server: &Server,
    caller: &Caller,
    call: &Mutation,
    ask: CreateTopup,
) -> Result<Reply<TopupView>, PortError> {
    let currency = fiat(server, &ask.currency)?;
    let id = TopupId(Uuid::now_v7());
    let topup = Topup {
        id,
        tenant: caller.tenant(),
        expected: amount(currency, &ask.amount, "amount")?,
        credited: 0,
        reference: reference_for(id),
        created_at: now(),
    };
    let decided = server.decide(caller, call, Command::CreateTopup(topup), None).await?;
    match decided.answer {
        Answer::Topup(topup) => {
            Ok(Reply { value: view::topup(&topup, &server.config.pay_to), replayed: decided.replayed })
        }
        _ => Err(PortError::Internal),
    }
}

pub(super) async fn topups(server: &Server, caller: &Caller, ask: &PageRequest) -> Result<Page<TopupView>, PortError> {
    let binding = Binding { tenant: caller.tenant(), list: "topups", filter: "" };
    let before = server.cursors.read::<16>(&binding, ask.cursor.as_deref())?.map(Uuid::from_bytes);
    let rows =
        read::topups(&server.store.app, caller.tenant(), before, i64::from(ask.limit) + 1).await.map_err(from_store)?;
    Ok(page(
        rows,
        ask.limit,
        |t| server.cursors.make(&binding, t.id.0.as_bytes()),
        |t| view::topup(&t, &server.config.pay_to),
    ))
}

pub(super) async fn create_withdrawal(
    server: &Server,
    caller: &Caller,
    call: &Mutation,
    ask: CreateWithdrawal,
) -> Result<Reply<WithdrawalView>, PortError> {
    let currency = fiat(server, &ask.currency)?;
    let (parties, account_masked) = beneficiary::check_payout(currency, &ask.account)?;
    let at = now();
    let withdrawal = Withdrawal {
        id: WithdrawalId(Uuid::now_v7()),
        tenant: caller.tenant(),
        amount: amount(currency, &ask.amount, "amount")?,
        reference: transfer::reference(&ask.reference)?,
        account_masked,
        state: WithdrawalState::Pending,
        failure: None,
        created_at: at,
        updated_at: at,
    };
    let row = withdrawal.id.0;
    let sealed = seal_parties(&server.keyring, caller.tenant(), row, &parties).await.map_err(|error| {
        tracing::error!(%error, "sealing failed");
        PortError::Unavailable
    })?;
    let decided = server.decide(caller, call, Command::CreateWithdrawal(withdrawal), Some((row, sealed))).await?;
    match decided.answer {
        Answer::Withdrawal(withdrawal) => {
            Ok(Reply { value: view::withdrawal(&withdrawal), replayed: decided.replayed })
        }
        _ => Err(PortError::Internal),
    }
}

pub(super) async fn withdrawals(
    server: &Server,
    caller: &Caller,
    ask: &PageRequest,
) -> Result<Page<WithdrawalView>, PortError> {
    let binding = Binding { tenant: caller.tenant(), list: "withdrawals", filter: "" };
    let before = server.cursors.read::<16>(&binding, ask.cursor.as_deref())?.map(Uuid::from_bytes);
    let rows = read::withdrawals(&server.store.app, caller.tenant(), before, i64::from(ask.limit) + 1)
        .await
        .map_err(from_store)?;
    Ok(page(rows, ask.limit, |w| server.cursors.make(&binding, w.id.0.as_bytes()), |w| view::withdrawal(&w)))
}
