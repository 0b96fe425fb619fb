//! The price feed: one request serves all quotes of a short time, and a rate is never older than it says.

use crate::RailError;
use crate::http::Http;
use crate::kept::Kept;
use async_trait::async_trait;
use serde::Deserialize;
use settla_domain::money::Currency;
use settla_domain::quote::SourcedRate;
use settla_domain::rate::Rate;
use settla_domain::time::Timestamp;
use std::collections::HashMap;
use std::time::Duration;

/// Rates by pair.
pub type Rates = HashMap<(Currency, Currency), SourcedRate>;

/// A price feed.
#[async_trait]
pub trait FxFeed: Send + Sync {
    /// The rate of a pair, as the feed last stated it. Whether it is too old is for the caller to judge.
    async fn rate(&self, base: Currency, quote: Currency) -> Result<Option<SourcedRate>, RailError>;
    /// Whether it answers.
    async fn healthy(&self) -> bool;
}

/// A feed that speaks the protocol of `docs/sandbox.md` over HTTP.
pub struct HttpFx {
    http: Http,
    kept: Kept<Rates>,
}

#[derive(Deserialize)]
struct RatesBody {
    rates: Vec<RateBody>,
}

#[derive(Deserialize)]
struct RateBody {
    base: String,
    quote: String,
    rate: Rate,
    source: String,
    as_of: String,
}

impl HttpFx {
    /// An adapter on a client; an answer, or that there was none, is used for `refresh_after`. When a later one fails to
    /// come, the last rates are used on: each says how old it is.
    pub fn new(http: Http, refresh_after: Duration) -> Self {
        Self { http, kept: Kept::new(refresh_after) }
    }

    async fn load(&self) -> Result<Rates, RailError> {
        let body: RatesBody = self.http.fetch("/v1/rates").await?;
        let mut rates = Rates::new();
        for rate in body.rates {
            // Pairs of currencies that we do not know are none of our business; a bad time is.
            let (Ok(base), Ok(quote)) = (rate.base.parse(), rate.quote.parse()) else { continue };
            let as_of = Timestamp::from_rfc3339(&rate.as_of)
                .ok_or_else(|| RailError::Malformed(self.http.name().to_owned()))?;
            rates.insert((base, quote), SourcedRate { rate: rate.rate, source: rate.source, as_of });
        }
        Ok(rates)
    }
}

#[async_trait]
impl FxFeed for HttpFx {
    async fn rate(&self, base: Currency, quote: Currency) -> Result<Option<SourcedRate>, RailError> {
        Ok(self.kept.get(self.load()).await?.get(&(base, quote)).cloned())
    }

    async fn healthy(&self) -> bool {
        self.load().await.is_ok()
    }
}
