//! The ways that a transfer could take: found among the providers that are on, priced, ranked.
//!
//! **Costs**: what the providers offer is asked at most twice a second each, what they achieved and what is switched off
//! at most every few seconds; the rest is in memory.

use super::quote::amount;
use super::{Corridors, Server, account};
use crate::clock::now;
use crate::view;
use futures_util::future::join_all;
use settla_domain::effect::EffectKind;
use settla_domain::money::{Currency, Money};
use settla_domain::quote::{AmountSide, FALLBACKS_MAX, Fallbacks, PriceRequest, Route, SourcedRate, price};
use settla_domain::rate::{Rate, Rounding};
use settla_domain::refusal::Refusal;
use settla_domain::tenant::TenantTerms;
use settla_port::caller::Caller;
use settla_port::error::PortError;
use settla_port::quote::{CreateQuote, RouteView};
use settla_rails::Offer;
use settla_rails::RailError;
use settla_rails::router::{Record, Scores, WAYS_MAX, Way, rank};
use std::sync::Arc;

use super::from_store;

/// A provider whose price is further from the feed's than this is not used: one of the two is wrong.
const DEVIATION_BPS_MAX: i128 = 200;

/// What a request asks for, read and found to be offered.
struct Asked {
    side: AmountSide,
    amount: Money,
    source: Currency,
    destination: Currency,
    stablecoin: Currency,
}

pub(super) async fn list(server: &Server, caller: &Caller, ask: &CreateQuote) -> Result<Vec<RouteView>, PortError> {
    let profile = account::profile(server, caller).await?;
    let ways = ways(server, &profile.terms, ask).await?;
    Ok(ways.iter().map(|(way, scores)| view::route(way, scores)).collect())
}

/// The best way's terms, with those who take over.
pub(super) async fn best(
    server: &Server,
    tenant: &TenantTerms,
    ask: &CreateQuote,
) -> Result<settla_domain::quote::QuoteTerms, PortError> {
    let ways = ways(server, tenant, ask).await?;
    let mut terms = ways.first().map(|(way, _)| way.terms.clone()).ok_or(Refusal::RouteNotAvailable)?;
    terms.fallbacks = fallbacks(&terms.route, &ways);
    Ok(terms)
}

/// The other providers on the same chain with the same stablecoin, the best first.
fn fallbacks(route: &Route, ways: &[(Way, Scores)]) -> Fallbacks {
    let mut fallbacks = Fallbacks::default();
    let same = |other: &&Route| (&other.chain, other.stablecoin) == (&route.chain, route.stablecoin);
    let add = |to: &mut Vec<String>, name: &String, first: &String| {
        if name != first && !to.contains(name) && to.len() < FALLBACKS_MAX {
            to.push(name.clone());
        }
    };
    for other in ways.iter().map(|(way, _)| &way.terms.route).filter(same) {
        add(&mut fallbacks.on_ramps, &other.on_ramp, &route.on_ramp);
        add(&mut fallbacks.off_ramps, &other.off_ramp, &route.off_ramp);
    }
    fallbacks
}

/// Every way there is, the best first.
async fn ways(server: &Server, tenant: &TenantTerms, ask: &CreateQuote) -> Result<Vec<(Way, Scores)>, PortError> {
    let asked = read_request(server, ask)?;
    let switches = server.facts.switches().await.map_err(from_store)?;
    if !switches.is_corridor_on(asked.source, asked.destination) {
        return Err(Refusal::CorridorNotOffered.into());
    }
    let feed_on = feed(server, asked.source, asked.stablecoin).await?;
    let feed_off = feed(server, asked.stablecoin, asked.destination).await?;
    let records = server.facts.records().await.map_err(from_store)?;
    let record = |provider: &str, step| records.get(&(provider.to_owned(), step)).copied().unwrap_or_default();
    let corridors = &server.config.corridors;
    let on_ramps = corridors.on_ramps.iter().filter(|ramp| switches.is_provider_on(ramp.name()));
    let on_ramps = join_all(on_ramps.map(|ramp| async move { offered(ramp.name(), ramp.offer().await) })).await;
    let off_ramps = corridors.off_ramps.iter().filter(|ramp| switches.is_provider_on(ramp.name()));
    let off_ramps = join_all(off_ramps.map(|ramp| async move { offered(ramp.name(), ramp.offer().await) })).await;

    let mut ways = Vec::new();
    let mut refusal = None;
    for (on_ramp, on) in on_ramps.iter().flatten() {
        let Some((rate_on, on_ramp_liquidity)) = priced(on_ramp, on, asked.source, asked.stablecoin, &feed_on) else {
            continue;
        };
        for (off_ramp, off) in off_ramps.iter().flatten() {
            let Some((rate_off, off_ramp_liquidity)) =
                priced(off_ramp, off, asked.stablecoin, asked.destination, &feed_off)
            else {
                continue;
            };
            for chain in corridors.chains.iter().take(WAYS_MAX) {
                let (on_ramp, off_ramp) = (on_ramp.to_string(), off_ramp.to_string());
                let records: [Record; 3] = [
                    record(&on_ramp, EffectKind::OnRamp),
                    record(chain, EffectKind::Settle),
                    record(&off_ramp, EffectKind::OffRamp),
                ];
                let route = Route { on_ramp, stablecoin: asked.stablecoin, chain: chain.clone(), off_ramp };
                let request = PriceRequest {
                    side: asked.side,
                    amount: asked.amount,
                    source: asked.source,
                    destination: asked.destination,
                    route,
                    fallbacks: Fallbacks::default(),
                    rate_on: rate_on.clone(),
                    rate_off: rate_off.clone(),
                    rate_age_ms_max: server.config.rate_age_ms_max,
                };
                match price(&request, tenant, now()) {
                    Ok(terms) => ways.push(Way { terms, on_ramp_liquidity, off_ramp_liquidity, records }),
                    Err(why) => refusal = refusal.or(Some(why)),
                }
            }
        }
    }
    let ranked = rank(ways);
    // What is wrong with the request is wrong with every way; a provider that cannot now, may be able to later.
    if ranked.is_empty() { Err(refusal.unwrap_or(Refusal::RouteNotAvailable).into()) } else { Ok(ranked) }
}

fn offered(name: &str, offer: Result<Arc<Offer>, RailError>) -> Option<(String, Arc<Offer>)> {
    offer
        .inspect_err(|error| tracing::warn!(%error, "a provider makes no offer now"))
        .ok()
        .map(|o| (name.to_owned(), o))
}

/// A provider's price of a pair and how much of what it gives it has, if the price is near the feed's.
fn priced(
    provider: &str,
    offer: &Offer,
    base: Currency,
    quote: Currency,
    feed: &SourcedRate,
) -> Option<(SourcedRate, i128)> {
    let rate = offer.rates.get(&(base, quote))?;
    let liquidity = offer.liquidity.get(&quote).copied()?;
    if !is_near(rate.rate, feed.rate, base, quote) {
        tracing::error!(provider, price = %rate.rate, feed = %feed.rate, "a provider's price is far from the feed's");
        metrics::counter!(PRICES_REFUSED_METRIC, "provider" => provider.to_owned()).increment(1);
        return None;
    }
    Some((rate.clone(), liquidity))
}

/// Prices that were too far from the feed's to be used, by `provider`.
const PRICES_REFUSED_METRIC: &str = "settla_prices_refused_total";

/// An increase is seen only between two measurements, so the counters are there from the start.
pub(super) fn count_from_zero(corridors: &Corridors) {
    let on_ramps = corridors.on_ramps.iter().map(|ramp| ramp.name());
    for provider in on_ramps.chain(corridors.off_ramps.iter().map(|ramp| ramp.name())) {
        metrics::counter!(PRICES_REFUSED_METRIC, "provider" => provider.to_owned()).increment(0);
    }
}

/// Whether two rates are near enough. Compared by what a large amount would become, so that no rate need be divided.
fn is_near(rate: Rate, feed: Rate, base: Currency, quote: Currency) -> bool {
    const MAJOR_UNITS: i128 = 1_000_000;
    let amount = Money::new(base, MAJOR_UNITS * 10i128.pow(base.scale()));
    let worth = |rate: Rate| rate.convert(amount, quote, Rounding::Down).map(|money| money.minor);
    match (worth(rate), worth(feed)) {
        (Ok(ours), Ok(theirs)) => ours.abs_diff(theirs) * 10_000 <= theirs.unsigned_abs() * DEVIATION_BPS_MAX as u128,
        _ => false,
    }
}

async fn feed(server: &Server, base: Currency, quote: Currency) -> Result<SourcedRate, PortError> {
    match server.fx.rate(base, quote).await {
        Ok(Some(rate)) if now().ms_since(rate.as_of) <= server.config.rate_age_ms_max => Ok(rate),
        Ok(Some(_)) => Err(Refusal::RateStale.into()),
        Ok(None) => Err(Refusal::CorridorNotOffered.into()),
        Err(error) => {
            tracing::warn!(%error, "no rates");
            Err(Refusal::RateStale.into())
        }
    }
}

fn read_request(server: &Server, ask: &CreateQuote) -> Result<Asked, PortError> {
    let corridors = &server.config.corridors;
    let source = known(&ask.source_currency, &corridors.sources, "source_currency")?;
    let destination = known(&ask.destination_currency, &corridors.destinations, "destination_currency")?;
    let stablecoin = known(ask.stablecoin.as_deref().unwrap_or("USDC"), &corridors.stablecoins, "stablecoin")?;
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
    Ok(Asked { side, amount, source, destination, stablecoin })
}

fn known(code: &str, offered: &[Currency], field: &'static str) -> Result<Currency, PortError> {
    let currency: Currency = code.parse().map_err(|_| PortError::Invalid {
        field,
        code: "unknown_currency",
        message: "not a currency code that we know".to_owned(),
    })?;
    if offered.contains(&currency) { Ok(currency) } else { Err(Refusal::CorridorNotOffered.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_two_per_cent_from_the_feed_is_believed_and_no_further() {
        let near = |rate: &str, feed: &str| {
            is_near(rate.parse().unwrap(), feed.parse().unwrap(), Currency::GBP, Currency::USDC)
        };
        assert!(near("1.25", "1.25") && near("1.225", "1.25") && near("1.275", "1.25"));
        assert!(!near("1.2249", "1.25") && !near("1.2751", "1.25"));
        // The other way round, as a feed that mixes up base and quote would state it.
        assert!(!near("0.8", "1.25") && !near("0.000001", "1.25") && !near("1000", "1.25"));
    }
}
