//! An on-ramp's endpoints.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{ConnectInfo, Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Onramp,
    ledger::{OnrampLedger, Record},
    order::{Order, OrderRequest, OrderStatus},
};
use crate::{
    book::Change,
    chain::Outflowing,
    clock::now_ms,
    control::ControlRequest,
    http::{
        ACCEPTANCE_DELAY_MS, Answer, Body, Connection, IDEMPOTENCY_LIFETIME_S, IdempotencyKey, Page, Problem,
        QUERY_MAX, path_id,
    },
    magic::{Behaviour, ONRAMP_SOURCE},
    money::{Currency, Money},
    webhook::Registration,
};

impl Onramp {
    pub(crate) fn routes(self: Arc<Self>) -> Router {
        Router::new()
            .route("/v1/webhook-endpoint", put(register))
            .route("/v1/orders", post(create))
            .route("/v1/orders/query", post(query))
            .route("/v1/orders/{id}", get(show))
            .route("/v1/deliveries/{id}", get(delivery))
            .route("/v1/statement", get(statement))
            .route("/v1/summary", get(summary))
            .route("/v1/terms", get(terms))
            .route("/v1/prices", get(prices))
            .route("/_control/provider", post(control))
            .with_state(self)
    }
}

async fn register(State(onramp): State<Arc<Onramp>>, Body(body): Body<Registration>) -> Result<Json<Value>, Problem> {
    let endpoint = onramp.announcer.seal(&body)?;
    onramp.book.commit(|change| change.write(Record::Endpoint { endpoint: endpoint.clone() })).await?;
    onramp.announcer.use_endpoint(Some(&endpoint));
    Ok(Json(json!({ "url": endpoint.url })))
}

async fn create(
    State(onramp): State<Arc<Onramp>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    IdempotencyKey(key): IdempotencyKey,
    Body(request): Body<OrderRequest>,
) -> Result<Response, Problem> {
    request.check(onramp.chain.token)?;
    let id = request.client_order_id;
    let behaviour = onramp.script.behaviour(ONRAMP_SOURCE, request.source.amount.0, id);
    let mut answer = Answer::new(&connection, &onramp.stop, behaviour, onramp.script.late_ms);
    if behaviour == Behaviour::RequestLost && onramp.lost.is_first(id) {
        return Err(answer.lose().await);
    }
    let (accepted, is_new) = onramp
        .book
        .commit(|change| {
            let accepted = accept(&onramp, change, key, request, behaviour);
            if matches!(accepted, Ok((_, true))) {
                // Under the book's lock, so that the webhook cannot have gone before.
                answer.watch(&onramp.announcer, id);
            }
            accepted
        })
        .await??;
    onramp.bell.notify_one();
    answer.wait(is_new).await?;
    Ok((StatusCode::ACCEPTED, Json(accepted)).into_response())
}

/// Takes an order, once for each id. The answer is always the one as at acceptance; says whether the order is new.
fn accept(
    onramp: &Onramp,
    change: &mut Change<'_, OnrampLedger>,
    key: String,
    request: OrderRequest,
    behaviour: Behaviour,
) -> Result<(Value, bool), Problem> {
    let id = request.client_order_id;
    let ledger = change.ledger();
    let known_key = ledger.keys.get(&key).copied();
    let known = ledger.orders.get(&known_key.unwrap_or(id));
    if known.is_some_and(|order| order.request != request) {
        return Err(Problem::conflict());
    }
    let is_new = known.is_none();
    if is_new {
        ledger.control.admit()?;
    }
    let at_ms = now_ms();
    let due_ms = at_ms + ledger.control.script(&onramp.script).delay_ms(behaviour, id);
    let status = OrderStatus::Accepted;
    let first = Order { request: request.clone(), behaviour, accepted_ms: at_ms, due_ms, status, deliver: 0 };
    if is_new {
        change.write(Record::Accepted { key, request, behaviour, at_ms, due_ms });
    } else if known_key.is_none() {
        change.write(Record::Key { key, order: id });
    }
    Ok((first.to_json(), is_new))
}

async fn show(State(onramp): State<Arc<Onramp>>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let id = path_id(&id, "order_not_found")?;
    let order = onramp.book.read(|onramp| onramp.orders.get(&id).map(Order::to_json)).await?;
    order.map(Json).ok_or_else(|| Problem::not_found("order_not_found"))
}

#[derive(Deserialize)]
struct Query {
    client_order_ids: Vec<Uuid>,
}

async fn query(State(onramp): State<Arc<Onramp>>, Body(query): Body<Query>) -> Result<Json<Value>, Problem> {
    if query.client_order_ids.len() > QUERY_MAX {
        return Err(Problem::unprocessable("too_many_ids", "Ask for at most 500 orders."));
    }
    let orders: Vec<Value> = onramp
        .book
        .read(|onramp| {
            let found = query.client_order_ids.iter().filter_map(|id| onramp.orders.get(id));
            found.map(|order| order.to_json()["order"].take()).collect()
        })
        .await?;
    Ok(Json(json!({ "orders": orders })))
}

async fn delivery(State(onramp): State<Arc<Onramp>>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let id = path_id(&id, "delivery_not_found")?;
    let delivery = onramp.book.read(|onramp| {
        let batch = onramp.outflow().batch(id)?;
        let members: Vec<Value> =
            batch.members.iter().map(|m| json!({ "client_order_id": m.id, "amount": m.amount })).collect();
        Some(json!({ "id": id, "tx_hash": batch.tx_hash, "members": members }))
    });
    delivery.await?.map(Json).ok_or_else(|| Problem::not_found("delivery_not_found"))
}

async fn statement(State(onramp): State<Arc<Onramp>>, page: Page) -> Result<Json<Value>, Problem> {
    let statement = onramp.book.read(|onramp| {
        let (entries, next_after) = page.cut(&onramp.entries);
        json!({ "entries": entries, "next_after": next_after })
    });
    Ok(Json(statement.await?))
}

async fn summary(State(onramp): State<Arc<Onramp>>) -> Result<Json<Value>, Problem> {
    let summary = onramp.book.read(|onramp| {
        let count = |status| onramp.counts.get(status).copied().unwrap_or(0);
        json!({
            "fiat_taken": onramp.fiat_taken.to_list(),
            "tokens_delivered": onramp.tokens_delivered.to_list(),
            "orders": {
                "pending": count("pending"),
                "completed": count("completed"),
                "rejected": count("rejected"),
            },
        })
    });
    Ok(Json(summary.await?))
}

/// What it sells USDC for, and how much of it is neither gone nor promised.
async fn prices(State(onramp): State<Arc<Onramp>>) -> Result<Json<Value>, Problem> {
    // First what is promised: a delivery in between makes the rest too small for a moment, not too large.
    let promised = onramp.book.read(|onramp| onramp.promised).await?;
    let tokens = onramp.chain.rpc.token_balance(onramp.chain.token, onramp.treasury).await.map_err(|error| {
        tracing::warn!(%error, "the treasury cannot be counted");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "chain_unavailable", "The treasury cannot be counted now.")
    })?;
    let available = Money::new(Currency::Usdc, tokens.saturating_sub(promised));
    let pairs = Currency::FIAT.into_iter().map(|fiat| (fiat, Currency::Usdc));
    Ok(Json(onramp.identity.offer(pairs, vec![available]).await?))
}

async fn control(
    State(onramp): State<Arc<Onramp>>,
    Body(request): Body<ControlRequest>,
) -> Result<Json<Value>, Problem> {
    request.check()?;
    let changed = onramp.book.commit(|change| {
        let control = change.ledger().control.changed(&request);
        change.write(Record::Control { control });
        control.to_json(&onramp.script)
    });
    Ok(Json(changed.await?))
}

async fn terms(State(onramp): State<Arc<Onramp>>) -> Json<Value> {
    Json(json!({
        "acceptance_delay_ms": ACCEPTANCE_DELAY_MS,
        "idempotency_lifetime_s": IDEMPOTENCY_LIFETIME_S,
        "deposit_address": null,
        "treasury_address": onramp.treasury,
    }))
}
