//! `/v1/treasury`

use settla_domain::money::Currency;
use settla_port::treasury::{CreateTopup, CreateWithdrawal};

use super::{Answer, path::InPath};
use crate::admission::{Query, Session};
use crate::answer;
use crate::body::Call;

pub(crate) async fn positions(session: Session) -> Answer {
    Ok(answer::list(session.platform.positions(&session.caller).await?))
}

pub(crate) async fn position(session: Session, InPath(currency): InPath<Currency>) -> Answer {
    Ok(answer::ok(session.platform.position(&session.caller, currency).await?))
}

pub(crate) async fn create_topup(session: Session, call: Call<CreateTopup>) -> Answer {
    Ok(answer::created(session.platform.create_topup(&session.caller, &call.mutation, call.body).await?))
}

pub(crate) async fn topups(session: Session, query: Query) -> Answer {
    let page = query.page()?;
    Ok(answer::ok(session.platform.topups(&session.caller, &page).await?))
}

pub(crate) async fn create_withdrawal(session: Session, call: Call<CreateWithdrawal>) -> Answer {
    Ok(answer::created(session.platform.create_withdrawal(&session.caller, &call.mutation, call.body).await?))
}

pub(crate) async fn withdrawals(session: Session, query: Query) -> Answer {
    let page = query.page()?;
    Ok(answer::ok(session.platform.withdrawals(&session.caller, &page).await?))
}
