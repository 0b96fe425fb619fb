//! The HTTP client that all adapters share: one TLS provider, bounded time, bounded answers, no redirects.

use crate::RailError;
use crate::guard::Guard;
use reqwest::{Client, Method, StatusCode, redirect};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;

/// Largest answer read, in bytes.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Installs the process's TLS provider (ring), once. Call it before a client is made.
pub fn install_tls_provider() {
    // An error means that it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Where a provider is and how to be known to it.
#[derive(Clone)]
pub struct Endpoint {
    /// Name for logs and errors.
    pub name: String,
    /// Base URL without a trailing slash.
    pub base_url: String,
    /// Bearer key.
    pub key: settla_vault::Secret<String>,
    /// After so long an answer is unknown.
    pub timeout: Duration,
}

/// A client for one provider.
#[derive(Clone)]
pub struct Http {
    endpoint: Endpoint,
    client: Client,
    guard: Arc<Guard>,
}

/// What came back.
#[derive(Debug)]
pub(crate) enum Answer<T> {
    /// 2xx with a readable body.
    Ok(T),
    /// 404 with the provider's own problem document (not some proxy's page).
    NotFound,
    /// 4xx that says the request itself is wrong, with the problem's code.
    Refused(String),
    /// Anything else.
    Unknown,
}

#[derive(serde::Deserialize)]
struct Problem {
    code: String,
}

impl Http {
    /// A client. Connections are kept and shared.
    pub fn new(endpoint: Endpoint) -> Result<Self, RailError> {
        install_tls_provider();
        let client = Client::builder()
            .timeout(endpoint.timeout)
            .connect_timeout(endpoint.timeout.min(Duration::from_secs(3)))
            .redirect(redirect::Policy::none())
            .pool_max_idle_per_host(64)
            .build()
            .map_err(|_| RailError::Unavailable(endpoint.name.clone()))?;
        let guard = Arc::new(Guard::new(&endpoint.name, endpoint.timeout));
        Ok(Self { endpoint, client, guard })
    }

    /// The provider's name.
    pub fn name(&self) -> &str {
        &self.endpoint.name
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Answer<T> {
        self.call::<(), T>(Method::GET, path, None, None).await
    }

    pub(crate) async fn post<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        key: Option<&str>,
        body: &B,
    ) -> Answer<T> {
        self.call(Method::POST, path, key, Some(body)).await
    }

    pub(crate) async fn put<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Answer<T> {
        self.call(Method::PUT, path, None, Some(body)).await
    }

    /// Reads what must be there.
    pub(crate) async fn fetch<T: DeserializeOwned>(&self, path: &str) -> Result<T, RailError> {
        match self.get(path).await {
            Answer::Ok(value) => Ok(value),
            Answer::NotFound | Answer::Refused(_) => Err(RailError::Malformed(self.endpoint.name.clone())),
            Answer::Unknown => Err(RailError::Unavailable(self.endpoint.name.clone())),
        }
    }

    async fn call<B: Serialize, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: Option<&B>,
    ) -> Answer<T> {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.endpoint.base_url))
            .bearer_auth(self.endpoint.key.expose());
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let Some(pass) = self.guard.enter().await else {
            tracing::debug!(
                provider = self.endpoint.name,
                "not sent: the provider does not answer or has too much to do"
            );
            return Answer::Unknown;
        };
        let answer = self.read(request).await;
        // Too many requests is an answer that asks for a pause all the same.
        let is_answer = |status: &StatusCode| !status.is_server_error() && *status != StatusCode::TOO_MANY_REQUESTS;
        pass.heard(answer.as_ref().is_some_and(|(status, _)| is_answer(status)));
        answer.map_or(Answer::Unknown, |(status, bytes)| classify(status, &bytes))
    }

    async fn read(&self, request: reqwest::RequestBuilder) -> Option<(StatusCode, Vec<u8>)> {
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                tracing::debug!(provider = self.endpoint.name, error = %error.without_url(), "no answer");
                return None;
            }
        };
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.ok()? {
            if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
                return None;
            }
            bytes.extend_from_slice(&chunk);
        }
        Some((response.status(), bytes))
    }
}

/// Only answers that state their meaning count; everything else, 409 and 429 among it, is unknown.
fn classify<T: DeserializeOwned>(status: StatusCode, bytes: &[u8]) -> Answer<T> {
    if status.is_success() {
        return serde_json::from_slice(bytes).map_or(Answer::Unknown, Answer::Ok);
    }
    let problem: Option<Problem> = serde_json::from_slice(bytes).ok();
    match (status, problem) {
        (StatusCode::NOT_FOUND, Some(_)) => Answer::NotFound,
        // It knows the id with another content: something was taken, whatever it is. Only an enquiry can tell.
        (StatusCode::UNPROCESSABLE_ENTITY, Some(problem)) if problem.code == "idempotency_conflict" => Answer::Unknown,
        (StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY, Some(problem)) => {
            Answer::Refused(crate::wire::reason(Some(&problem.code)))
        }
        _ => Answer::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &str) -> Answer<serde_json::Value> {
        classify(StatusCode::from_u16(status).unwrap(), body.as_bytes())
    }

    #[test]
    fn only_clear_answers_count() {
        let problem = r#"{"code":"order_not_found"}"#;
        assert!(matches!(of(202, "{}"), Answer::Ok(_)));
        assert!(matches!(of(200, "<html>"), Answer::Unknown));
        assert!(matches!(of(200, ""), Answer::Unknown));
        assert!(matches!(of(404, problem), Answer::NotFound));
        assert!(matches!(of(404, "<html>not here</html>"), Answer::Unknown), "a proxy's 404 is not the provider's");
        assert!(matches!(of(422, r#"{"code":"amount"}"#), Answer::Refused(code) if code == "amount"));
        assert!(
            matches!(of(422, r#"{"code":"idempotency_conflict"}"#), Answer::Unknown),
            "it has something under this id"
        );
        for status in [400, 401, 403, 409, 429, 500, 502, 503, 504, 301] {
            assert!(matches!(of(status, "nonsense"), Answer::Unknown), "{status}");
        }
        for status in [401, 403, 409, 429, 500] {
            assert!(matches!(of(status, problem), Answer::Unknown), "{status}");
        }
    }
}
