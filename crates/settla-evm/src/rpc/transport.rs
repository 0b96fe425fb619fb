//! JSON-RPC over HTTP with a bound on everything: time, length of an answer, size of a batch.

use std::time::Duration;

use reqwest::{Client, Url, redirect};
use serde::Deserialize;
use serde_json::{Value, json};

use super::RpcError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
const MESSAGE_CHARS_MAX: usize = 300;

/// Calls in one HTTP request; public nodes refuse larger batches.
pub(super) const BATCH_CALLS_MAX: usize = 100;

/// One method call.
pub(super) struct Call {
    pub method: &'static str,
    pub params: Value,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    result: Value,
    error: Option<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    code: i64,
    message: String,
}

impl Answer {
    fn into_result(self) -> Result<Value, RpcError> {
        match self.error {
            None => Ok(self.result),
            Some(fault) => Err(RpcError::Node {
                code: fault.code,
                message: fault.message.chars().take(MESSAGE_CHARS_MAX).collect(),
            }),
        }
    }
}

#[derive(Clone)]
pub(super) struct Transport {
    client: Client,
    url: Url,
}

impl Transport {
    pub fn new(url: &str) -> Result<Self, RpcError> {
        let url = Url::parse(url).map_err(|_| RpcError::Url)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(RpcError::Url);
        }
        // One TLS provider in the whole process; an error says that it is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(CALL_TIMEOUT)
            // The node is configured, so neither a redirect nor a proxy from the environment may replace it.
            .redirect(redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(transport_error)?;
        Ok(Self { client, url })
    }

    /// Whether the node runs on this machine.
    pub fn is_loopback(&self) -> bool {
        match self.url.host_str() {
            Some("localhost") => true,
            Some(host) => host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()),
            None => false,
        }
    }

    pub async fn call(&self, method: &'static str, params: Value) -> Result<Value, RpcError> {
        let body = json!({"jsonrpc": "2.0", "id": 0, "method": method, "params": params});
        let answer: Answer = parse(&self.post(&body).await?)?;
        answer.into_result()
    }

    /// Any number of calls, [`BATCH_CALLS_MAX`] in a request; results in the order of the calls. One refused call fails
    /// the whole, because no caller has a use for half of it.
    pub async fn batch(&self, calls: &[Call]) -> Result<Vec<Value>, RpcError> {
        let mut results = Vec::with_capacity(calls.len());
        for chunk in calls.chunks(BATCH_CALLS_MAX) {
            results.extend(self.one_batch(chunk).await?);
        }
        Ok(results)
    }

    async fn one_batch(&self, calls: &[Call]) -> Result<Vec<Value>, RpcError> {
        let body = calls
            .iter()
            .enumerate()
            .map(|(id, call)| json!({"jsonrpc": "2.0", "id": id, "method": call.method, "params": call.params}))
            .collect();
        let bytes = self.post(&Value::Array(body)).await?;
        let Ok(answers) = serde_json::from_slice::<Vec<Answer>>(&bytes) else {
            // A node that refuses batches answers with one object.
            let refusal: Answer = parse(&bytes)?;
            refusal.into_result()?;
            return Err(RpcError::Malformed("one answer to a batch"));
        };
        let mut results: Vec<Option<Value>> = vec![None; calls.len()];
        for answer in answers {
            let slot = answer
                .id
                .as_u64()
                .and_then(|id| usize::try_from(id).ok())
                .and_then(|id| results.get_mut(id))
                .ok_or(RpcError::Malformed("unknown id in a batch"))?;
            if slot.replace(answer.into_result()?).is_some() {
                return Err(RpcError::Malformed("an id twice in a batch"));
            }
        }
        results.into_iter().map(|result| result.ok_or(RpcError::Malformed("an answer missing from a batch"))).collect()
    }

    async fn post(&self, body: &Value) -> Result<Vec<u8>, RpcError> {
        let mut response = self.client.post(self.url.clone()).json(body).send().await.map_err(transport_error)?;
        if !response.status().is_success() {
            return Err(RpcError::Status(response.status().as_u16()));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(transport_error)? {
            if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(RpcError::TooLarge);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, RpcError> {
    serde_json::from_slice(bytes).map_err(|_| RpcError::Malformed("not a JSON-RPC answer"))
}

fn transport_error(error: reqwest::Error) -> RpcError {
    // The innermost cause says what happened; the outer ones only that something did.
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    RpcError::Transport(cause.to_string())
}
