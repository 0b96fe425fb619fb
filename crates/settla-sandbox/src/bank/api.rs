//! The bank's endpoints.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::IntoResponse,
    routing::{get, post, put},
};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Bank, credited,
    ledger::{BankLedger, Booking, Record},
    payment::{Payment, PaymentRequest, PaymentStatus, check_fiat, check_text},
};
use crate::{
    book::Change,
    clock::now_ms,
    http::{Body, IdempotencyKey, Page, Problem, optional_idempotency_key},
    magic::Behaviour,
    money::{Amount, Currency, Money},
    webhook::{Announcement, Registration},
};

impl Bank {
    pub(crate) fn routes(self: Arc<Self>) -> Router {
        Router::new()
            .route("/v1/webhook-endpoint", put(register))
            .route("/v1/accounts/{id}", put(open_account).get(show_account))
            .route("/v1/accounts/{id}/statement", get(statement))
            .route("/v1/payments", post(pay))
            .route("/v1/payments/{reference}", get(show_payment))
            .route("/_control/incoming", post(incoming))
            .with_state(self)
    }
}

async fn register(State(bank): State<Arc<Bank>>, Body(body): Body<Registration>) -> Result<Json<Value>, Problem> {
    let endpoint = bank.announcer.seal(&body)?;
    bank.book.commit(|change| change.write(Record::Endpoint { endpoint: endpoint.clone() })).await?;
    bank.announcer.use_endpoint(Some(&endpoint));
    Ok(Json(json!({ "url": endpoint.url })))
}

fn account_json(bank: &BankLedger, id: &str) -> Result<Json<Value>, Problem> {
    let account = bank.accounts.get(id).ok_or_else(|| Problem::not_found("account_not_found"))?;
    let balances: Vec<Value> = account
        .balances
        .iter()
        .map(|(currency, amount)| json!({ "currency": currency, "amount": amount.to_string() }))
        .collect();
    Ok(Json(json!({ "id": id, "balances": balances })))
}

async fn open_account(State(bank): State<Arc<Bank>>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    check_text("account id", &id)?;
    bank.book
        .commit(|change| {
            if !change.ledger().accounts.contains_key(&id) {
                change.write(Record::AccountOpened { account: id.clone() });
            }
            account_json(change.ledger(), &id)
        })
        .await?
}

async fn show_account(State(bank): State<Arc<Bank>>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    bank.book.read(|bank| account_json(bank, &id)).await?
}

async fn statement(State(bank): State<Arc<Bank>>, Path(id): Path<String>, page: Page) -> Result<Json<Value>, Problem> {
    bank.book
        .read(|bank| {
            let account = bank.accounts.get(&id).ok_or_else(|| Problem::not_found("account_not_found"))?;
            let (entries, next_after) = page.cut(&account.entries);
            Ok(Json(json!({ "entries": entries, "next_after": next_after })))
        })
        .await?
}

/// Somebody sends money to an account.
#[derive(Deserialize)]
struct Incoming {
    account: String,
    currency: Currency,
    amount: Amount,
    reference: String,
    payer_name: String,
}

async fn incoming(
    State(bank): State<Arc<Bank>>,
    headers: HeaderMap,
    Body(body): Body<Incoming>,
) -> Result<impl IntoResponse, Problem> {
    let key = optional_idempotency_key(&headers)?;
    let money = Money { currency: body.currency, amount: body.amount };
    check_fiat(money)?;
    check_text("reference", &body.reference)?;
    check_text("payer_name", &body.payer_name)?;
    let (answer, news) = bank.book.commit(|change| credit(change, key, body, money)).await??;
    bank.announcer.announce(news);
    Ok((StatusCode::CREATED, Json(answer)))
}

fn credit(
    change: &mut Change<'_, BankLedger>,
    key: Option<String>,
    body: Incoming,
    money: Money,
) -> Result<(Value, Option<Announcement>), Problem> {
    let bank = change.ledger();
    if !bank.accounts.contains_key(&body.account) {
        return Err(Problem::not_found("account_not_found"));
    }
    let known = key.as_ref().and_then(|key| bank.incoming_keys.get(key));
    if let Some((account, place)) = known {
        let entry = bank.accounts.get(account).and_then(|account| account.entries.get(*place));
        let same = entry.filter(|entry| {
            *account == body.account
                && entry.currency == body.currency
                && entry.amount.unsigned_abs() == body.amount.0
                && entry.reference == body.reference
                && entry.counterparty == body.payer_name
        });
        return same.map(|entry| (json!({ "entry": entry }), None)).ok_or_else(Problem::conflict);
    }
    let booking = Booking {
        entry: Uuid::now_v7(),
        account: body.account.clone(),
        money,
        reference: body.reference,
        counterparty: body.payer_name,
        at_ms: now_ms(),
    };
    change.write(Record::Incoming { key, booking });
    let bank = change.ledger();
    let entry = bank.accounts.get(&body.account).and_then(|account| account.entries.last());
    Ok((json!({ "entry": entry }), credited(bank, &body.account)))
}

async fn pay(
    State(bank): State<Arc<Bank>>,
    IdempotencyKey(key): IdempotencyKey,
    Body(request): Body<PaymentRequest>,
) -> Result<impl IntoResponse, Problem> {
    request.check()?;
    let answer = bank.book.commit(|change| accept(&bank, change, key, request)).await??;
    bank.bell.notify_one();
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

/// Takes a payment, once for each reference. The answer is always the one as at acceptance.
fn accept(
    bank: &Bank,
    change: &mut Change<'_, BankLedger>,
    key: String,
    request: PaymentRequest,
) -> Result<Value, Problem> {
    let ledger = change.ledger();
    let known_key = ledger.payment_keys.get(&key);
    let payment = ledger.payments.get(known_key.unwrap_or(&request.reference));
    if let Some(payment) = payment {
        if payment.request != request {
            return Err(Problem::conflict());
        }
        let first = Payment { id: payment.id, request, due_ms: 0, status: PaymentStatus::Pending };
        if known_key.is_none() {
            change.write(Record::PaymentKey { key, reference: first.request.reference.clone() });
        }
        return Ok(first.to_json());
    }
    if !ledger.accounts.contains_key(&request.account) {
        return Err(Problem::not_found("account_not_found"));
    }
    let id = Uuid::now_v7();
    let due_ms = now_ms() + bank.script.delay_ms(Behaviour::Normal, id);
    let first = Payment { id, request: request.clone(), due_ms, status: PaymentStatus::Pending };
    change.write(Record::PaymentAccepted { key, id, request, due_ms });
    Ok(first.to_json())
}

async fn show_payment(State(bank): State<Arc<Bank>>, Path(reference): Path<String>) -> Result<Json<Value>, Problem> {
    bank.book
        .read(|bank| {
            let payment = bank.payments.get(&reference).ok_or_else(|| Problem::not_found("payment_not_found"))?;
            Ok(Json(payment.to_json()))
        })
        .await?
}
