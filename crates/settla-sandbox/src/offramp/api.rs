//! An off-ramp's endpoints.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{ConnectInfo, DefaultBodyLimit, Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Offramp,
    ledger::{OfframpLedger, Record},
    payout::{Payout, PayoutRequest, PayoutStatus},
    settlement::{Settlement, SettlementRequest, SettlementStatus},
};
use crate::{
    book::Change,
    chain::Outflowing,
    clock::now_ms,
    control::ControlRequest,
    http::{
        ACCEPTANCE_DELAY_MS, Answer, Body, Connection, IDEMPOTENCY_LIFETIME_S, IdempotencyKey, MANIFEST_BYTES_MAX,
        Page, Problem, QUERY_MAX, path_id,
    },
    magic::{Behaviour, OFFRAMP_DESTINATION},
    money::{Currency, Money},
    webhook::Registration,
};

impl Offramp {
    pub(crate) fn routes(self: Arc<Self>) -> Router {
        Router::new()
            .route("/v1/webhook-endpoint", put(register))
            .route("/v1/settlements", post(settle).layer(DefaultBodyLimit::max(MANIFEST_BYTES_MAX)))
            .route("/v1/settlements/{id}", get(show_settlement))
            .route("/v1/payouts", post(create))
            .route("/v1/payouts/query", post(query))
            .route("/v1/payouts/{id}", get(show))
            .route("/v1/returns/{id}", get(show_return))
            .route("/v1/statement", get(statement))
            .route("/v1/summary", get(summary))
            .route("/v1/terms", get(terms))
            .route("/v1/prices", get(prices))
            .route("/_control/provider", post(control))
            .with_state(self)
    }
}

async fn register(State(offramp): State<Arc<Offramp>>, Body(body): Body<Registration>) -> Result<Json<Value>, Problem> {
    let endpoint = offramp.announcer.seal(&body)?;
    offramp.book.commit(|change| change.write(Record::Endpoint { endpoint: endpoint.clone() })).await?;
    offramp.announcer.use_endpoint(Some(&endpoint));
    Ok(Json(json!({ "url": endpoint.url })))
}

/// Takes a manifest, once for each batch. One that the chain contradicted may be replaced.
async fn settle(
    State(offramp): State<Arc<Offramp>>,
    Body(request): Body<SettlementRequest>,
) -> Result<Response, Problem> {
    request.total()?;
    let answer = offramp
        .book
        .commit(|change| {
            let id = request.batch_id;
            match change.ledger().settlements.get(&id) {
                Some(known) if known.request == request => return Ok(known.to_json()),
                Some(known) if !matches!(known.status, SettlementStatus::Refused(_)) => return Err(Problem::conflict()),
                _ => change.write(Record::SettlementAccepted { request, at_ms: now_ms() }),
            }
            Ok(change.ledger().settlements.get(&id).map(Settlement::to_json).unwrap_or_default())
        })
        .await??;
    offramp.settlement_bell.notify_one();
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}

async fn show_settlement(State(offramp): State<Arc<Offramp>>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let id = path_id(&id, "settlement_not_found")?;
    let settlement = offramp.book.read(|offramp| offramp.settlements.get(&id).map(Settlement::to_json)).await?;
    settlement.map(Json).ok_or_else(|| Problem::not_found("settlement_not_found"))
}

async fn create(
    State(offramp): State<Arc<Offramp>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    IdempotencyKey(key): IdempotencyKey,
    Body(request): Body<PayoutRequest>,
) -> Result<Response, Problem> {
    request.check(offramp.token, offramp.deposit)?;
    let id = request.client_payout_id;
    let behaviour = offramp.script.behaviour(OFFRAMP_DESTINATION, request.destination.amount.0, id);
    let mut answer = Answer::new(&connection, &offramp.stop, behaviour, offramp.script.late_ms);
    if behaviour == Behaviour::RequestLost && offramp.lost.is_first(id) {
        return Err(answer.lose().await);
    }
    let (accepted, is_new) = offramp
        .book
        .commit(|change| {
            let accepted = accept(&offramp, change, key, request, behaviour);
            if matches!(accepted, Ok((_, true))) {
                // Under the book's lock, so that the webhook cannot have gone before.
                answer.watch(&offramp.announcer, id);
            }
            accepted
        })
        .await??;
    offramp.bell.notify_one();
    answer.wait(is_new).await?;
    Ok((StatusCode::ACCEPTED, Json(accepted)).into_response())
}

/// Takes a payout, once for each id. The answer is always the one as at acceptance; says whether the payout is new.
fn accept(
    offramp: &Offramp,
    change: &mut Change<'_, OfframpLedger>,
    key: String,
    request: PayoutRequest,
    behaviour: Behaviour,
) -> Result<(Value, bool), Problem> {
    let id = request.client_payout_id;
    let ledger = change.ledger();
    let known_key = ledger.keys.get(&key).copied();
    let known = ledger.payouts.get(&known_key.unwrap_or(id));
    if known.is_some_and(|payout| payout.request != request) {
        return Err(Problem::conflict());
    }
    let is_new = known.is_none();
    if is_new {
        ledger.control.admit()?;
    }
    let at_ms = now_ms();
    let due_ms = at_ms + ledger.control.script(&offramp.script).delay_ms(behaviour, id);
    let status = PayoutStatus::Pending;
    let first = Payout { request: request.clone(), behaviour, accepted_ms: at_ms, due_ms, status };
    if is_new {
        change.write(Record::Accepted { key, request: Box::new(request), behaviour, at_ms, due_ms });
    } else if known_key.is_none() {
        change.write(Record::Key { key, payout: id });
    }
    Ok((first.to_json(), is_new))
}

async fn show(State(offramp): State<Arc<Offramp>>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let id = path_id(&id, "payout_not_found")?;
    let payout = offramp.book.read(|offramp| offramp.payouts.get(&id).map(Payout::to_json)).await?;
    payout.map(Json).ok_or_else(|| Problem::not_found("payout_not_found"))
}

#[derive(Deserialize)]
struct Query {
    client_payout_ids: Vec<Uuid>,
}

async fn query(State(offramp): State<Arc<Offramp>>, Body(query): Body<Query>) -> Result<Json<Value>, Problem> {
    if query.client_payout_ids.len() > QUERY_MAX {
        return Err(Problem::unprocessable("too_many_ids", "Ask for at most 500 payouts."));
    }
    let payouts: Vec<Value> = offramp
        .book
        .read(|offramp| {
            let found = query.client_payout_ids.iter().filter_map(|id| offramp.payouts.get(id));
            found.map(|payout| payout.to_json()["payout"].take()).collect()
        })
        .await?;
    Ok(Json(json!({ "payouts": payouts })))
}

async fn show_return(State(offramp): State<Arc<Offramp>>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let id = path_id(&id, "return_not_found")?;
    let batch = offramp.book.read(|offramp| {
        let batch = offramp.outflow().batch(id)?;
        let members: Vec<Value> =
            batch.members.iter().map(|m| json!({ "client_payout_id": m.id, "amount": m.amount })).collect();
        Some(json!({ "id": id, "tx_hash": batch.tx_hash, "members": members }))
    });
    batch.await?.map(Json).ok_or_else(|| Problem::not_found("return_not_found"))
}

async fn statement(State(offramp): State<Arc<Offramp>>, page: Page) -> Result<Json<Value>, Problem> {
    let statement = offramp.book.read(|offramp| {
        let (entries, next_after) = page.cut(&offramp.entries);
        json!({ "entries": entries, "next_after": next_after })
    });
    Ok(Json(statement.await?))
}

async fn summary(State(offramp): State<Arc<Offramp>>) -> Result<Json<Value>, Problem> {
    let summary = offramp.book.read(|offramp| {
        let count = |status| offramp.counts.get(status).copied().unwrap_or(0);
        json!({
            "tokens_received": offramp.tokens_received.to_list(),
            "tokens_returned": offramp.tokens_returned.to_list(),
            "paid": offramp.paid.to_list(),
            "payouts": {
                "pending": count("pending"),
                "paid": count("paid"),
                "returning": count("returning"),
                "rejected": count("rejected"),
            },
        })
    });
    Ok(Json(summary.await?))
}

/// What it pays for USDC, and how much of each currency is neither paid nor promised.
async fn prices(State(offramp): State<Arc<Offramp>>) -> Result<Json<Value>, Problem> {
    let left = |ledger: &OfframpLedger, fiat| {
        let gone = ledger.paid.get(fiat).saturating_add(ledger.promised.get(fiat));
        Money::new(fiat, offramp.float.saturating_sub(gone))
    };
    let available = offramp.book.read(|ledger| Currency::FIAT.map(|fiat| left(ledger, fiat)).to_vec()).await?;
    let pairs = Currency::FIAT.into_iter().map(|fiat| (Currency::Usdc, fiat));
    Ok(Json(offramp.identity.offer(pairs, available).await?))
}

async fn control(
    State(offramp): State<Arc<Offramp>>,
    Body(request): Body<ControlRequest>,
) -> Result<Json<Value>, Problem> {
    request.check()?;
    let changed = offramp.book.commit(|change| {
        let control = change.ledger().control.changed(&request);
        change.write(Record::Control { control });
        control.to_json(&offramp.script)
    });
    Ok(Json(changed.await?))
}

async fn terms(State(offramp): State<Arc<Offramp>>) -> Json<Value> {
    Json(json!({
        "acceptance_delay_ms": ACCEPTANCE_DELAY_MS,
        "idempotency_lifetime_s": IDEMPOTENCY_LIFETIME_S,
        "deposit_address": offramp.deposit,
        "treasury_address": null,
    }))
}
