//! The open loop: the n-th transfer is meant to be sent n/rate seconds after the start.

use super::Args;
use super::hooks::Hooks;
use super::share::Shares;
use crate::failure::Failure;
use crate::local::{ApiClient, transfer_body};
use serde::Deserialize;
use settla_domain::id::TransferId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use uuid::Uuid;

/// What each transfer exchanges, GBP 100.00: far from the sandbox's magic amounts.
pub(super) const AMOUNT_MINOR: i64 = 10_000;
const QUOTE: &str = r#"{"source_currency":"GBP","destination_currency":"NGN","source_amount":"100.00"}"#;
/// Most transfers between their quote's request and their own answer. Beyond it the generator falls behind its
/// own times, which shows in the latencies and is reported.
pub(super) const IN_FLIGHT_MAX: usize = 1_024;
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// A transfer that was created.
#[derive(Debug, Clone)]
pub(super) struct Created {
    pub id: Uuid,
    /// When it was meant to be sent.
    pub intended: Instant,
    /// When the answer was there.
    pub answered: Instant,
    /// How long the transfer's own request took.
    pub posted: Duration,
}

/// What became of the requests.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub created: Vec<Created>,
    /// Answers other than 201, by status and code.
    pub refused: BTreeMap<String, u64>,
    /// Requests without an answer, by kind.
    pub errors: BTreeMap<String, u64>,
    /// Of these, transfers: they may have been created.
    pub unanswered: u64,
}

/// What was sent.
pub(super) struct Load {
    pub started: Instant,
    pub tally: Tally,
    /// Sends that had to wait because [`IN_FLIGHT_MAX`] were on their way.
    pub held_up: u64,
    /// The most that were on their way at once.
    pub in_flight_peak: usize,
}

/// Sends everything and waits for the answers.
pub(super) async fn send(args: &Args, clients: Vec<ApiClient>, hooks: &Hooks) -> Result<Load, Failure> {
    let body = transfer_body("{quote}", "bench").to_string();
    let body: Arc<(String, String)> = Arc::new(
        body.split_once("{quote}")
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .ok_or_else(|| Failure::new("the body names no quote"))?,
    );
    let clients: Vec<Arc<ApiClient>> = clients.into_iter().map(Arc::new).collect();
    let tally = Arc::new(Mutex::new(Tally::default()));
    let places = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    let total = u64::from(args.rate) * u64::from(args.seconds);
    let shares = Shares::new(args.tenants, args.first_tenant_percent);
    let (mut held_up, mut in_flight_peak) = (0, 0);
    let started = Instant::now();
    let mut told = started;
    for n in 0..total {
        let intended = started + Duration::from_secs_f64(n as f64 / f64::from(args.rate));
        tokio::time::sleep_until(intended.into()).await;
        let place = match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => place,
            Err(_) => {
                held_up += 1;
                Arc::clone(&places).acquire_owned().await.map_err(|_| Failure::new("no place to send from"))?
            }
        };
        in_flight_peak = in_flight_peak.max(IN_FLIGHT_MAX - places.available_permits());
        let client = Arc::clone(&clients[shares.tenant_of(n)]);
        let (body, results) = (Arc::clone(&body), Arc::clone(&tally));
        tokio::spawn(async move {
            let outcome = create(&client, n, &body, intended).await;
            lock(&results).note(outcome);
            drop(place);
        });
        if told.elapsed() >= PROGRESS_EVERY {
            told = Instant::now();
            eprintln!(
                "{:>4.0} s: {} of {total} sent, {} created, {} ended",
                started.elapsed().as_secs_f64(),
                n + 1,
                lock(&tally).created.len(),
                hooks.ended()
            );
        }
    }
    // Every request has a time limit, so every place comes back.
    let _all = places.acquire_many(IN_FLIGHT_MAX as u32).await.map_err(|_| Failure::new("no place to send from"))?;
    let tally = std::mem::take(&mut *lock(&tally));
    Ok(Load { started, tally, held_up, in_flight_peak })
}

enum Missed {
    Refused(String),
    /// No answer, to the quote (false) or to the transfer (true).
    Error(reqwest::Error, bool),
}

impl Tally {
    fn note(&mut self, outcome: Result<Created, Missed>) {
        match outcome {
            Ok(created) => self.created.push(created),
            Err(Missed::Refused(code)) => *self.refused.entry(code).or_default() += 1,
            Err(Missed::Error(error, transfer)) => {
                let kind = if error.is_timeout() {
                    "timeout"
                } else if error.is_connect() {
                    "connect"
                } else {
                    "no_answer"
                };
                *self.errors.entry(kind.to_owned()).or_default() += 1;
                self.unanswered += u64::from(transfer);
            }
        }
    }
}

async fn create(client: &ApiClient, n: u64, body: &(String, String), intended: Instant) -> Result<Created, Missed> {
    let answer = client.post_text("/v1/quotes", &format!("quote-{n}"), QUOTE.to_owned()).await;
    let (status, quote) = answer.map_err(|e| Missed::Error(e, false))?;
    let quote = id(status, &quote).map_err(Missed::Refused)?;
    let body = [body.0.as_str(), quote, body.1.as_str()].concat();
    let sent = Instant::now();
    let answer = client.post_text("/v1/transfers", &format!("transfer-{n}"), body).await;
    let (status, transfer) = answer.map_err(|e| Missed::Error(e, true))?;
    let answered = Instant::now();
    let id = id(status, &transfer).map_err(Missed::Refused)?;
    let id: TransferId = id.parse().map_err(|_| Missed::Refused("201 without an id".to_owned()))?;
    Ok(Created { id: id.0, intended, answered, posted: answered - sent })
}

/// The id in an answer of 201, else its status and code.
fn id(status: u16, answer: &[u8]) -> Result<&str, String> {
    #[derive(Deserialize, Default)]
    struct Answer<'a> {
        #[serde(default)]
        id: &'a str,
        #[serde(default)]
        code: &'a str,
    }
    let answer: Answer = serde_json::from_slice(answer).unwrap_or_default();
    if status == 201 && !answer.id.is_empty() { Ok(answer.id) } else { Err(format!("{status} {}", answer.code)) }
}

fn lock(tally: &Mutex<Tally>) -> std::sync::MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_an_id_or_a_code() {
        assert_eq!(id(201, br#"{"id":"tr_1","state":"FUNDED"}"#), Ok("tr_1"));
        assert_eq!(id(422, br#"{"code":"insufficient_funds"}"#), Err("422 insufficient_funds".to_owned()));
        assert_eq!(id(502, b"<html>"), Err("502 ".to_owned()));
    }

    #[test]
    fn the_amount_is_the_one_that_is_funded() {
        let quote: serde_json::Value = serde_json::from_str(QUOTE).unwrap();
        let amount = settla_domain::money::Money::new(settla_domain::money::Currency::GBP, AMOUNT_MINOR.into());
        assert_eq!(quote["source_amount"], amount.decimal());
    }
}
