//! Quotes.

use super::{Server, from_store};
use crate::clock::now;
use crate::view;
use settla_domain::decide::{Answer, Command};
use settla_domain::id::QuoteId;
use settla_domain::money::{Currency, Money, MoneyError};
use settla_domain::quote::{AmountSide, PriceRequest, Quote, Route, SourcedRate, price};
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
    let request = request(server, ask).await?;
    let profile = read::profile(&server.store.app, caller.tenant())
        .await
        .map_err(from_store)?
        .ok_or(PortError::Unauthenticated)?;
    let now = now();
    Ok(Quote {
        id: QuoteId(Uuid::now_v7()),
        tenant: caller.tenant(),
        terms: price(&request, &profile.terms, now)?,
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

/// Reads the request and finds its rates.
async fn request(server: &Server, ask: &CreateQuote) -> Result<PriceRequest, PortError> {
    let corridors = &server.config.corridors;
    let source = offered(&ask.source_currency, &corridors.sources, "source_currency")?;
    let destination = offered(&ask.destination_currency, &corridors.destinations, "destination_currency")?;
    let stablecoin = offered(ask.stablecoin.as_deref().unwrap_or("USDC"), &corridors.stablecoins, "stablecoin")?;
    if source == destination {
        return Err(Refusal::CorridorNotOffered.into());
    }
    let (side, amount) = match (&ask.source_amount, &ask.destination_amount) {
        (Some(text), None) => (AmountSide::Source, amount(source, text, "source_amount")?),
        (None, Some(text)) => (AmountSide::Destination, amount(destination, text, "destination_amount")?),
        _ => {
            let message = "give exactly one of source_amount and destination_amount".to_owned();
            return Err(PortError::Invalid { field: "source_amount", code: "one_amount", message });
        }
    };
    Ok(PriceRequest {
        side,
        amount,
        source,
        destination,
        route: Route {
            on_ramp: corridors.on_ramp.clone(),
            stablecoin,
            chain: corridors.chain.clone(),
            off_ramp: corridors.off_ramp.clone(),
        },
        rate_on: rate(server, source, stablecoin).await?,
        rate_off: rate(server, stablecoin, destination).await?,
        rate_age_ms_max: server.config.rate_age_ms_max,
    })
}

async fn rate(server: &Server, base: Currency, quote: Currency) -> Result<SourcedRate, PortError> {
    match server.fx.rate(base, quote).await {
        Ok(Some(rate)) => Ok(rate),
        Ok(None) => Err(Refusal::CorridorNotOffered.into()),
        Err(error) => {
            tracing::warn!(%error, "no rates");
            Err(Refusal::RateStale.into())
        }
    }
}

fn offered(code: &str, offered: &[Currency], field: &'static str) -> Result<Currency, PortError> {
    let currency: Currency = code.parse().map_err(|_| PortError::Invalid {
        field,
        code: "unknown_currency",
        message: "not a currency code that we know".to_owned(),
    })?;
    if offered.contains(&currency) { Ok(currency) } else { Err(Refusal::CorridorNotOffered.into()) }
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
