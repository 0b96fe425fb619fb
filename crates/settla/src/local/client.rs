//! The API as a tenant's backend uses it.

use crate::failure::Failure;
use axum::body::Bytes;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

/// A client with a tenant's key.
#[derive(Clone)]
pub struct ApiClient {
    base: String,
    key: String,
    http: Client,
}

/// An answer: status, body, and whether it was a replay.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// JSON body, null if there is none.
    pub body: Value,
    /// `Idempotent-Replayed: true`.
    pub replayed: bool,
}

impl Answer {
    /// The body of a success, else a failure that shows the problem.
    pub fn success(self) -> Result<Value, Failure> {
        if (200..300).contains(&self.status) {
            Ok(self.body)
        } else {
            Err(Failure::new(format!("HTTP {}: {}", self.status, self.body)))
        }
    }

    /// The problem's code.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// What the problem says to people.
    pub fn detail(&self) -> &str {
        self.body["detail"].as_str().unwrap_or_default()
    }
}

impl ApiClient {
    /// A client for the API at `base`.
    pub fn new(base: &str, key: &str) -> Result<Self, Failure> {
        settla_rails::http::install_tls_provider();
        let http = Client::builder().timeout(Duration::from_secs(30)).pool_max_idle_per_host(256).build()?;
        Ok(Self { base: base.to_owned(), key: key.to_owned(), http })
    }

    /// The same connections with another tenant's key.
    pub fn with_key(&self, key: &str) -> Self {
        Self { base: self.base.clone(), key: key.to_owned(), http: self.http.clone() }
    }

    /// A mutation whose body is written already. Returns the status and the answer unread: for callers who
    /// send many.
    pub async fn post_text(&self, path: &str, key: &str, body: String) -> Result<(u16, Bytes), reqwest::Error> {
        let request = self.http.request(Method::POST, format!("{}{path}", self.base)).header("idempotency-key", key);
        let request = request.header("content-type", "application/json").bearer_auth(&self.key).body(body);
        let response = request.send().await?;
        Ok((response.status().as_u16(), response.bytes().await?))
    }

    /// A read.
    pub async fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.send(self.http.request(Method::GET, format!("{}{path}", self.base))).await
    }

    /// A mutation with an idempotency key; a null body is none.
    pub async fn post(&self, path: &str, key: &str, body: &Value) -> Result<Answer, Failure> {
        let request = self.http.request(Method::POST, format!("{}{path}", self.base)).header("idempotency-key", key);
        self.send(if body.is_null() { request } else { request.json(body) }).await
    }

    /// A change of what there is, with an idempotency key.
    pub async fn patch(&self, path: &str, key: &str, body: &Value) -> Result<Answer, Failure> {
        let request = self.http.request(Method::PATCH, format!("{}{path}", self.base)).header("idempotency-key", key);
        self.send(request.json(body)).await
    }

    /// Takes away what there is, with an idempotency key.
    pub async fn delete(&self, path: &str, key: &str) -> Result<Answer, Failure> {
        let request = self.http.request(Method::DELETE, format!("{}{path}", self.base)).header("idempotency-key", key);
        self.send(request).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer, Failure> {
        let response = request.bearer_auth(&self.key).send().await?;
        let status = response.status().as_u16();
        let replayed = response.headers().get("idempotent-replayed").is_some_and(|v| v == "true");
        let bytes = response.bytes().await?;
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes)? };
        Ok(Answer { status, body, replayed })
    }

    /// Asks for a quote of a source amount.
    pub async fn quote(&self, source: &str, destination: &str, amount: Amount<'_>) -> Result<Answer, Failure> {
        let mut body = json!({ "source_currency": source, "destination_currency": destination });
        match amount {
            Amount::Source(text) => body["source_amount"] = json!(text),
            Amount::Destination(text) => body["destination_amount"] = json!(text),
        }
        self.post("/v1/quotes", &Uuid::now_v7().to_string(), &body).await
    }

    /// Starts a transfer to a Nigerian account.
    pub async fn transfer(&self, key: &str, quote_id: &str, reference: &str) -> Result<Answer, Failure> {
        self.post("/v1/transfers", key, &transfer_body(quote_id, reference)).await
    }

    /// Quote and transfer in one; returns the transfer.
    pub async fn pay(&self, amount: Amount<'_>, reference: &str) -> Result<Value, Failure> {
        let quote = self.quote("GBP", "NGN", amount).await?.success()?;
        let id = quote["id"].as_str().unwrap_or_default();
        self.transfer(&Uuid::now_v7().to_string(), id, reference).await?.success()
    }

    /// A transfer as it stands.
    pub async fn transfer_by_id(&self, id: &str) -> Result<Value, Failure> {
        self.get(&format!("/v1/transfers/{id}")).await?.success()
    }

    /// Waits until a transfer is in one of these states.
    pub async fn wait_for(&self, id: &str, states: &[&str], longest: Duration) -> Result<Value, Failure> {
        let begun = std::time::Instant::now();
        loop {
            let transfer = self.transfer_by_id(id).await?;
            if states.contains(&transfer["state"].as_str().unwrap_or_default()) {
                return Ok(transfer);
            }
            if begun.elapsed() > longest {
                return Err(Failure::new(format!("{id} is still {} after {longest:?}", transfer["state"])));
            }
            // The API has no long poll; a webhook would tell, but not which state a client has waited for.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Which amount a quote fixes.
#[derive(Debug, Clone, Copy)]
pub enum Amount<'a> {
    /// What is exchanged.
    Source(&'a str),
    /// What is paid out.
    Destination(&'a str),
}

/// A transfer request with a beneficiary whose check digit is right.
pub fn transfer_body(quote_id: &str, reference: &str) -> Value {
    json!({
        "quote_id": quote_id,
        "reference": reference,
        "sender": { "name": "Ada Obi Ltd", "account": "GB82WEST12345698765432" },
        "beneficiary": {
            "name": "Chinedu Okafor", "country": "NG",
            "account": { "type": "nuban", "bank_code": "011", "account_number": "0000014579" },
        },
    })
}
