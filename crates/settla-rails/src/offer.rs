//! What a provider offers: its own prices, and how much of each currency it can give at the moment.

use crate::RailError;
use crate::http::Http;
use crate::kept::Kept;
use serde::Deserialize;
use settla_domain::money::Currency;
use settla_domain::quote::SourcedRate;
use settla_domain::time::Timestamp;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// What a provider offers at the moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    /// Its prices by pair, each with the provider's name as its source. Whether one is too old is for the caller to judge.
    pub rates: HashMap<(Currency, Currency), SourcedRate>,
    /// How much of a currency it can give, minor units. A currency that is not in it cannot be had.
    pub liquidity: HashMap<Currency, i128>,
}

/// How long an offer is used before it is asked for again.
const KEPT_FOR: Duration = Duration::from_millis(500);
/// Most prices read.
const PRICES_MAX: usize = 256;
/// Most currencies of the liquidity read.
const CURRENCIES_MAX: usize = 64;

#[derive(Deserialize)]
struct OfferBody {
    prices: Vec<PriceBody>,
    liquidity: Vec<LiquidityBody>,
}

#[derive(Deserialize)]
struct PriceBody {
    base: String,
    quote: String,
    rate: String,
    as_of: String,
}

#[derive(Deserialize)]
struct LiquidityBody {
    currency: String,
    available: String,
}

/// A provider's offer, asked for at most every [`KEPT_FOR`].
pub(crate) struct KeptOffer(Kept<Offer>);

impl KeptOffer {
    pub fn new() -> Self {
        Self(Kept::new(KEPT_FOR))
    }

    pub async fn get(&self, http: &Http) -> Result<Arc<Offer>, RailError> {
        self.0
            .get(async {
                let body: OfferBody = http.fetch("/v1/prices").await?;
                body.read(http.name()).ok_or_else(|| RailError::Malformed(http.name().to_owned()))
            })
            .await
    }
}

impl OfferBody {
    /// Nothing if any of it cannot be: who is wrong about one price is not believed about another.
    fn read(self, provider: &str) -> Option<Offer> {
        if self.prices.len() > PRICES_MAX || self.liquidity.len() > CURRENCIES_MAX {
            return None;
        }
        let mut offer = Offer::default();
        for price in self.prices {
            let rate = price.rate.parse().ok()?;
            let as_of = Timestamp::from_rfc3339(&price.as_of)?;
            // Currencies that we do not know are none of our business.
            let (Ok(base), Ok(quote)) = (price.base.parse::<Currency>(), price.quote.parse::<Currency>()) else {
                continue;
            };
            let rate = SourcedRate { rate, source: provider.to_owned(), as_of };
            if base == quote || offer.rates.insert((base, quote), rate).is_some() {
                return None;
            }
        }
        for row in self.liquidity {
            let available = minor_or_more(&row.available)?;
            let Ok(currency) = row.currency.parse::<Currency>() else { continue };
            if offer.liquidity.insert(currency, available.min(currency.amount_max())).is_some() {
                return None;
            }
        }
        Some(offer)
    }
}

/// Minor units. More than any amount that we count is as good as the largest of them, so it is no error here.
fn minor_or_more(text: &str) -> Option<i128> {
    const DIGITS_MAX: usize = 38;
    let plain = (1..=DIGITS_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn price(rate: &str, as_of: &str) -> Value {
        json!({ "base": "GBP", "quote": "USDC", "rate": rate, "as_of": as_of })
    }

    fn read(prices: Value, liquidity: Value) -> Option<Offer> {
        let body: OfferBody = serde_json::from_value(json!({ "prices": prices, "liquidity": liquidity })).unwrap();
        body.read("harbour")
    }

    const AT: &str = "2026-01-02T03:04:05Z";

    #[test]
    fn an_offer_says_what_it_costs_since_when_and_how_much_there_is() {
        let liquidity =
            json!([{ "currency": "USDC", "available": "5000000" }, { "currency": "XXX", "available": "1" }]);
        let other = json!({ "base": "XXX", "quote": "USDC", "rate": "3", "as_of": AT });
        let offer = read(json!([price("1.2731", AT), other]), liquidity).unwrap();
        let rate = SourcedRate {
            rate: "1.2731".parse().unwrap(),
            source: "harbour".to_owned(),
            as_of: Timestamp::from_rfc3339(AT).unwrap(),
        };
        assert_eq!(offer.rates, HashMap::from([((Currency::GBP, Currency::USDC), rate)]));
        assert_eq!(offer.liquidity, HashMap::from([(Currency::USDC, 5_000_000)]));
    }

    #[test]
    fn a_price_that_cannot_be_makes_the_whole_answer_malformed() {
        for bad in ["0", "0.000", "-1", "", "1e3", "1,2", "NaN", "99999999999999999999"] {
            assert_eq!(read(json!([price(bad, AT)]), json!([])), None, "{bad:?}");
        }
        for bad in ["", "yesterday", "2026-13-01T00:00:00Z", "1700000000"] {
            assert_eq!(read(json!([price("1.2", bad)]), json!([])), None, "{bad:?}");
        }
        let twice = json!([price("1.2", AT), price("1.3", AT)]);
        assert_eq!(read(twice, json!([])), None);
        let itself = json!([{ "base": "GBP", "quote": "GBP", "rate": "1", "as_of": AT }]);
        assert_eq!(read(itself, json!([])), None);
    }

    #[test]
    fn liquidity_is_whole_minor_units_and_stated_once() {
        let usdc = |available: &str| json!({ "currency": "USDC", "available": available });
        for bad in ["-1", "", "1.5", "1e3", "999999999999999999999999999999999999999"] {
            assert_eq!(read(json!([]), json!([usdc(bad)])), None, "{bad:?}");
        }
        assert_eq!(read(json!([]), json!([usdc("1"), usdc("2")])), None);
        let of = |available: &str| read(json!([]), json!([usdc(available)])).unwrap().liquidity[&Currency::USDC];
        assert_eq!(of("0"), 0);
        assert_eq!(of("99999999999999999999999999999999999999"), Currency::USDC.amount_max(), "more than we count");
    }

    #[test]
    fn an_answer_has_a_size() {
        let prices = |n: usize| (0..n).map(|_| json!({ "base": "XXX", "quote": "YYY", "rate": "1", "as_of": AT }));
        let rows = |n: usize| (0..n).map(|_| json!({ "currency": "XXX", "available": "1" }));
        let size = |p, l| read(prices(p).collect(), rows(l).collect()).is_some();
        assert!(size(PRICES_MAX, CURRENCIES_MAX));
        assert!(!size(PRICES_MAX + 1, 0) && !size(0, CURRENCIES_MAX + 1));
    }
}
