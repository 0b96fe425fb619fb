//! What a tenant does while the platform dies and comes back: a payment with each interesting outcome, money in and
//! money out. Each must end as it should, however often it was interrupted.

use crate::common::minor;
use crate::common::persist::{ask_until_answered, post_until_answered};
use crate::http::Door;
use serde_json::{Value, json};
use settla::local::{ApiClient, ServerFacts, transfer_body};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// From its start until something has ended: each crash may cost a lease, and there may be many.
const ENDED_WITHIN: Duration = Duration::from_secs(600);
/// Quotes asked for one payment: each is good for a minute, in which the platform may be away.
const QUOTES_MAX: usize = 20;
/// Between two looks. A webhook would tell sooner, if it were not delayed by a crash itself.
const LOOK: Duration = Duration::from_millis(150);

/// Payments that are called off in one round: more than the orders that a process deals with at a time, so that the
/// on-ramp has not heard of some.
const CALLED_OFF: usize = 140;

/// Who does it.
#[derive(Clone)]
pub struct Tenant {
    pub client: ApiClient,
    pub bank: ServerFacts,
    /// The way to the on-ramp.
    pub on_ramp: Door,
}

/// Something that has ended: the event that tells of it, and what it is about.
pub struct Ended {
    pub kind: &'static str,
    pub id: String,
}

/// How a payment is made and where it must end.
#[derive(Clone, Copy)]
struct Way {
    amount: (&'static str, &'static str),
    settlement: &'static str,
    ends: (&'static str, &'static str),
}

const COMPLETED: (&str, &str) = ("COMPLETED", "transfer.completed");
const REFUNDED: (&str, &str) = ("REFUNDED", "transfer.refunded");

const UNDER_REVIEW: (&str, &str) = ("UNDER_REVIEW", "transfer.under_review");

const WAYS: [Way; 10] = [
    way(("source_amount", "123.45"), "batched", COMPLETED),
    way(("source_amount", "67.89"), "alone", COMPLETED),
    // Refused by the on-ramp; refused by the off-ramp, which sends the tokens back.
    way(("source_amount", "4000.01"), "batched", REFUNDED),
    way(("destination_amount", "4000000.01"), "batched", REFUNDED),
    // Carried out and never answered, by either.
    way(("source_amount", "4000.03"), "batched", COMPLETED),
    way(("destination_amount", "4000000.03"), "batched", COMPLETED),
    // The first request is lost, at either.
    way(("source_amount", "4000.09"), "batched", COMPLETED),
    way(("destination_amount", "4000000.09"), "batched", COMPLETED),
    // Another amount is delivered, or paid.
    way(("source_amount", "4000.06"), "batched", UNDER_REVIEW),
    way(("destination_amount", "4000000.06"), "batched", UNDER_REVIEW),
];

const fn way(
    amount: (&'static str, &'static str),
    settlement: &'static str,
    ends: (&'static str, &'static str),
) -> Way {
    Way { amount, settlement, ends }
}

/// Everything once; `n` makes keys and references new ones.
pub async fn everything(tenant: Tenant, n: usize) -> Vec<Ended> {
    let mut tasks = JoinSet::new();
    for (number, way) in WAYS.into_iter().enumerate() {
        let client = tenant.client.clone();
        tasks.spawn(async move { pay(&client, way, &format!("{n}-{number}")).await });
    }
    let (paying_in, taking_out) = (tenant.clone(), tenant.clone());
    tasks.spawn(async move { money_in(&paying_in, n).await });
    tasks.spawn(async move { money_out(&taking_out.client, n).await });
    let mut ended = call_off(&tenant, n).await;
    ended.extend(tasks.join_all().await);
    ended
}

async fn post(client: &ApiClient, path: &str, key: &str, body: &Value) -> Value {
    post_until_answered(std::slice::from_ref(client), path, key, body).await
}

async fn quote(client: &ApiClient, amount: (&str, &str), key: &str) -> String {
    let mut ask = json!({ "source_currency": "GBP", "destination_currency": "NGN" });
    ask[amount.0] = json!(amount.1);
    let quote = post(client, "/v1/quotes", &format!("quote-{key}"), &ask).await;
    quote["id"].as_str().unwrap().to_owned()
}

/// A transfer from a quote; its id, or nothing if the quote has expired while the platform was away.
async fn transfer(client: &ApiClient, quote: &str, settlement: &str, key: &str) -> Option<String> {
    let mut body = transfer_body(quote, &format!("ref-{key}"));
    body["settlement"] = json!(settlement);
    let key = format!("transfer-{key}");
    let answer = ask_until_answered(std::slice::from_ref(client), "/v1/transfers", &key, &body).await;
    if answer.code() == "quote_expired" {
        return None;
    }
    let transfer = answer.success().unwrap_or_else(|failure| panic!("{key}: {failure}"));
    Some(transfer["id"].as_str().unwrap().to_owned())
}

/// A quote and a transfer from it; returns the transfer's id.
async fn start(client: &ApiClient, amount: (&str, &str), settlement: &str, key: &str) -> String {
    for attempt in 0..QUOTES_MAX {
        let key = format!("{key}-{attempt}");
        let quote = quote(client, amount, &key).await;
        if let Some(id) = transfer(client, &quote, settlement, &key).await {
            return id;
        }
    }
    panic!("all quotes of {key} expired");
}

async fn pay(client: &ApiClient, way: Way, key: &str) -> Ended {
    let id = start(client, way.amount, way.settlement, key).await;
    let (state, kind) = way.ends;
    let ended = look(client, &format!("/v1/transfers/{id}"), |t| is_end(&t["state"])).await;
    assert_eq!(ended["state"], state, "{key}: {ended}");
    Ended { kind, id }
}

/// Payments made while the on-ramp does not answer, and called off at once: either the on-ramp has not heard of one and never
/// does, or it goes on to its end.
async fn call_off(tenant: &Tenant, n: usize) -> Vec<Ended> {
    let mut quoting = JoinSet::new();
    for number in 0..CALLED_OFF {
        let (client, key) = (tenant.client.clone(), format!("{n}-off-{number}"));
        quoting.spawn(async move { (quote(&client, ("source_amount", "55.50"), &key).await, client, key) });
    }
    let quoted = quoting.join_all().await;
    tenant.on_ramp.shut();
    let mut making: JoinSet<_> = quoted
        .into_iter()
        .map(|(quote, client, key)| async move {
            let id = transfer(&client, &quote, "batched", &key).await?;
            let path = format!("/v1/transfers/{id}/cancel");
            let answer =
                ask_until_answered(std::slice::from_ref(&client), &path, &format!("cancel-{key}"), &Value::Null).await;
            Some((client, id, answer))
        })
        .collect();
    let mut called_off = Vec::new();
    while let Some(made) = making.join_next().await {
        called_off.extend(made.unwrap());
    }
    tenant.on_ramp.let_go();
    let mut ended = Vec::new();
    for (client, id, answer) in called_off {
        let (state, kind) = match (answer.status, answer.code()) {
            (200, _) => ("CANCELLED", "transfer.cancelled"),
            (409, "not_cancellable") => COMPLETED,
            _ => panic!("{}", answer.body),
        };
        let transfer = look(&client, &format!("/v1/transfers/{id}"), |t| is_end(&t["state"])).await;
        assert_eq!(transfer["state"], state, "{transfer} after {}", answer.body);
        ended.push(Ended { kind, id });
    }
    ended
}

/// Announced, then paid into our account at the bank, once.
async fn money_in(tenant: &Tenant, n: usize) -> Ended {
    let ask = json!({ "currency": "GBP", "amount": "700.00" });
    let topup = post(&tenant.client, "/v1/treasury/topups", &format!("topup-{n}"), &ask).await;
    let incoming = json!({
        "account": tenant.bank.account, "currency": "GBP", "amount": "70000",
        "reference": topup["reference"], "payer_name": "Somebody",
    });
    let bank = ApiClient::new(&tenant.bank.url, &tenant.bank.key).unwrap();
    bank.post("/_control/incoming", &format!("topup-{n}"), &incoming).await.unwrap().success().unwrap();
    let id = topup["id"].as_str().unwrap().to_owned();
    let is_credited = |row: &Value| minor(&row["credited"]) > 0;
    let row = look_in(&tenant.client, "/v1/treasury/topups", &id, is_credited).await;
    assert_eq!(minor(&row["credited"]), 70_000, "{row}");
    Ended { kind: "topup.credited", id }
}

async fn money_out(client: &ApiClient, n: usize) -> Ended {
    let ask = json!({
        "currency": "GBP", "amount": "11.00", "reference": format!("WD-{n}"),
        "account": { "name": "Acme Remit Ltd", "type": "uk_account", "sort_code": "20-00-00", "account_number": "55779911" },
    });
    let withdrawal = post(client, "/v1/treasury/withdrawals", &format!("withdrawal-{n}"), &ask).await;
    let id = withdrawal["id"].as_str().unwrap().to_owned();
    let row = look_in(client, "/v1/treasury/withdrawals", &id, |row| row["state"] != "PENDING").await;
    assert_eq!(row["state"], "PAID", "{row}");
    Ended { kind: "withdrawal.paid", id }
}

fn is_end(state: &Value) -> bool {
    ["COMPLETED", "CANCELLED", "REFUNDED", "FAILED", "UNDER_REVIEW"].iter().any(|end| state == end)
}

/// Reads until what it reads has ended; the platform may be away.
async fn look(client: &ApiClient, path: &str, has_ended: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        if let Ok(answer) = client.get(path).await
            && answer.status == 200
            && has_ended(&answer.body)
        {
            return answer.body;
        }
        assert!(begun.elapsed() < ENDED_WITHIN, "{path} does not end");
        tokio::time::sleep(LOOK).await;
    }
}

/// As [`look`], for a row of the first page of a list.
async fn look_in(client: &ApiClient, path: &str, id: &str, has_ended: impl Fn(&Value) -> bool) -> Value {
    let row = |page: &Value| page["data"].as_array()?.iter().find(|row| row["id"] == id).cloned();
    let page = look(client, &format!("{path}?limit=200"), |page| row(page).is_some_and(|row| has_ended(&row))).await;
    row(&page).unwrap()
}
