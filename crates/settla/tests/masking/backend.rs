//! A tenant's backend that keeps what it is told.

use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use settla::local::System;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// A tenant's backend that keeps everything it is told, and what it sent by request id.
pub struct Backend {
    pub base: String,
    pub key: String,
    pub http: reqwest::Client,
    pub told: Mutex<Vec<u8>>,
    pub sent: Mutex<BTreeMap<String, Told>>,
}

/// An answer.
#[derive(Clone)]
pub struct Told {
    pub status: u16,
    pub body: Value,
}

impl Told {
    pub fn text(&self, field: &str) -> String {
        self.body[field].as_str().unwrap_or_else(|| panic!("no {field}: {}", self.body)).to_owned()
    }
}

impl Backend {
    pub fn new(system: &System) -> Self {
        settla_rails::http::install_tls_provider();
        let http = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
        let key = system.facts.tenants[0].api_key.clone();
        Self { base: system.facts.api.clone(), key, http, told: Mutex::default(), sent: Mutex::default() }
    }

    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let url = reqwest::Url::parse(&format!("{}{path}", self.base)).unwrap();
        self.http.request(method.parse().unwrap(), url)
    }

    /// Sends a request under an id of its own and keeps the answer, headers and all.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Told {
        let told = self.send_as(&uuid::Uuid::now_v7().to_string(), request).await;
        self.told.lock().unwrap_or_else(PoisonError::into_inner).extend(told.body.to_string().bytes().chain([b'\n']));
        told
    }

    pub async fn send_as(&self, id: &str, request: reqwest::RequestBuilder) -> Told {
        let response = request.header("x-request-id", id).send().await.unwrap();
        assert_eq!(ids(response.headers()), [id], "the answer does not carry the request's id");
        let status = response.status().as_u16();
        let headers = format!("{:?}\n", response.headers());
        let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default();
        assert!(status < 400 || body["request_id"] == id, "{body}");
        self.told.lock().unwrap_or_else(PoisonError::into_inner).extend(headers.bytes());
        let told = Told { status, body };
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), told.clone());
        told
    }

    pub async fn get(&self, path: &str) -> Told {
        self.send(self.request("GET", path).bearer_auth(&self.key)).await
    }

    pub fn mutation(&self, path: &str, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        self.mutation_as("application/json", path, body)
    }

    pub fn mutation_as(
        &self,
        content_type: &str,
        path: &str,
        body: impl Into<reqwest::Body>,
    ) -> reqwest::RequestBuilder {
        let request = self
            .request("POST", path)
            .bearer_auth(&self.key)
            .header("idempotency-key", uuid::Uuid::now_v7().to_string());
        request.header("content-type", content_type).body(body)
    }

    pub async fn post(&self, path: &str, body: &Value) -> Told {
        self.send(self.mutation(path, body.to_string())).await
    }

    pub async fn quote(&self, to: &str, which: &str, amount: &str) -> String {
        let quote = self
            .post("/v1/quotes", &json!({ "source_currency": "GBP", "destination_currency": to, which: amount }))
            .await;
        assert_eq!(quote.status, 201, "{}", quote.body);
        quote.text("id")
    }
}

pub fn ids(headers: &HeaderMap) -> Vec<&str> {
    headers.get_all("x-request-id").iter().map(|v| v.to_str().unwrap()).collect()
}
