//! The FX feed: `GET /v1/rates`, and a switch that freezes it so that its rates grow stale.

pub(crate) mod rates;

use std::{path::Path, sync::Arc};

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    book::{Book, Ledger},
    clock::{now_ms, rfc3339},
    error::StoreError,
    http::{Body, Problem},
    lock::FolderLock,
};

#[derive(Default)]
struct FxLedger {
    frozen_at_ms: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Record {
    Frozen { at_ms: Option<u64> },
}

impl Ledger for FxLedger {
    type Record = Record;

    fn apply(&mut self, record: Record) {
        let Record::Frozen { at_ms } = record;
        self.frozen_at_ms = at_ms;
    }
}

/// The feed.
pub(crate) struct Fx {
    book: Book<FxLedger>,
}

impl Fx {
    pub(crate) fn open(dir: &Path, lock: FolderLock) -> Result<Arc<Self>, StoreError> {
        Ok(Arc::new(Self { book: Book::open(dir, lock)? }))
    }

    /// The instant of the feed's rates: now, or when it was frozen.
    pub(crate) async fn as_of_ms(&self) -> Result<u64, StoreError> {
        Ok(self.book.read(|fx| fx.frozen_at_ms).await?.unwrap_or_else(now_ms))
    }

    pub(crate) fn routes(self: Arc<Self>) -> Router {
        Router::new().route("/v1/rates", get(list)).route("/_control/fx", post(control)).with_state(self)
    }
}

async fn list(State(fx): State<Arc<Fx>>) -> Result<Json<Value>, Problem> {
    let at_ms = fx.as_of_ms().await?;
    let as_of = rfc3339(at_ms);
    let rates: Vec<Value> = rates::pairs()
        .filter_map(|(base, quote)| {
            let rate = rates::decimal(rates::rate_e8(base, quote, at_ms)?);
            Some(json!({ "base": base, "quote": quote, "rate": rate, "source": "sandbox-fx", "as_of": as_of }))
        })
        .collect();
    Ok(Json(json!({ "rates": rates })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Control {
    frozen: bool,
}

async fn control(State(fx): State<Arc<Fx>>, Body(control): Body<Control>) -> Result<Json<Value>, Problem> {
    fx.book
        .commit(|change| {
            // Freezing a frozen feed does not make it younger.
            let at_ms = control.frozen.then(|| change.ledger().frozen_at_ms.unwrap_or_else(now_ms));
            change.write(Record::Frozen { at_ms });
        })
        .await?;
    Ok(Json(json!({ "frozen": control.frozen })))
}
