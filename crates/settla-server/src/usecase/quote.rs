//! Quotes.

use super::{Server, account, from_store, route};
use crate::clock::now;
use crate::view;
use settla_domain::decide::{Answer, Command};
use settla_domain::id::QuoteId;
use settla_domain::money::{Currency, Money, MoneyError};
use settla_domain::quote::Quote;
use settla_domain::refusal::Refusal;
use settla_port::caller::{Caller, Mutation, Reply};
use settla_port::error::PortError;
use settla_port::quote::{CreateQuote, QuoteView};
use settla_store::read;
use uuid::Uuid;

pub(super) async fn create(
    server: &Server,
    caller: &Caller,
    call: &Mutation,
    ask: CreateQuote,
) -> Result<Reply<QuoteView>, PortError> {
    let quote = match priced(server, caller, &ask).await {
        Ok(quote) => quote,
        // Without a rate nothing new can be priced, but an earlier answer can be given again.
        Err(error) => return first_answer(server, caller, call).await?.ok_or(error),
    };
    let decided = server.decide(caller, call, Command::CreateQuote(quote), None).await?;
    match decided.answer {
        Answer::Quote(quote) => Ok(Reply { value: view::quote(&quote), replayed: decided.replayed }),
        _ => Err(PortError::Internal),
    }
}

/// A new quote, not yet kept.
async fn priced(server: &Server, caller: &Caller, ask: &CreateQuote) -> Result<Quote, PortError> {
    let profile = account::profile(server, caller).await?;
    let terms = route::best(server, &profile.terms, ask).await?;
    let now = now();
    Ok(Quote {
        id: QuoteId(Uuid::now_v7()),
        tenant: caller.tenant(),
        terms,
        created_at: now,
        expires_at: now.plus_ms(server.config.quote_lifetime_ms),
        used: false,
    })
}

/// The answer to an earlier request with this key, if there was one.
async fn first_answer(
    server: &Server,
    caller: &Caller,
    call: &Mutation,
) -> Result<Option<Reply<QuoteView>>, PortError> {
    let recorded =
        read::first_answer(&server.store.app, caller.tenant(), &call.idempotency_key).await.map_err(from_store)?;
    match recorded {
        None => Ok(None),
        Some(recorded) if recorded.fingerprint != server.keyed(&call.fingerprint) => {
            Err(Refusal::IdempotencyConflict.into())
        }
        Some(recorded) => match (recorded.refusal, recorded.subject) {
            (Some(refusal), _) => Err(refusal.into()),
            (None, Some(id)) => Ok(Some(Reply { value: get(server, caller, QuoteId(id)).await?, replayed: true })),
            (None, None) => Err(PortError::Internal),
        },
    }
}

/// An amount of a request.
pub(super) fn amount(currency: Currency, text: &str, field: &'static str) -> Result<Money, PortError> {
    Money::parse(currency, text).map_err(|error| {
        let code = match error {
            MoneyError::UnknownCurrency => "unknown_currency",
            MoneyError::NotADecimal => "not_a_decimal",
            MoneyError::TooManyDecimals => "too_many_decimals",
            MoneyError::TooLarge => "too_large",
            MoneyError::NotPositive => "not_positive",
        };
        PortError::Invalid { field, code, message: error.to_string() }
    })
}

pub(super) async fn get(server: &Server, caller: &Caller, id: QuoteId) -> Result<QuoteView, PortError> {
    let quote = read::quote(&server.store.app, caller.tenant(), id).await.map_err(from_store)?;
    quote.as_ref().map(view::quote).ok_or(PortError::NotFound("quote"))
}
