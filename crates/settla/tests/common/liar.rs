//! A server that says what another one says, but for what it makes up.

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::Request;
use axum::http::header;
use axum::response::Json;
use serde_json::Value;
use std::sync::Arc;
use tokio::net::TcpListener;

const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What is asked, path and body, and the answer that is not left as it is.
pub type Lie = dyn Fn(&str, &Value, &mut Value) + Send + Sync;

/// Starts one before a server whose answers are JSON; returns its URL. It ends with the test's runtime.
pub async fn before(target: &str, lie: Arc<Lie>) -> String {
    settla_rails::http::install_tls_provider();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let target = target.trim_end_matches('/').to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().fallback(move |request: Request| {
        let (client, target, lie) = (client.clone(), target.clone(), Arc::clone(&lie));
        async move {
            let (parts, body) = request.into_parts();
            let asked: Bytes = to_bytes(body, BODY_BYTES_MAX).await.unwrap();
            let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
            let mut headers = parts.headers.clone();
            for name in [header::HOST, header::CONTENT_LENGTH, header::CONNECTION] {
                headers.remove(name);
            }
            let request = client.request(parts.method, format!("{target}{path}")).headers(headers);
            let response = request.body(asked.clone()).send().await.unwrap();
            let status = response.status();
            let mut answer: Value = response.json().await.unwrap();
            lie(path, &serde_json::from_slice(&asked).unwrap_or(Value::Null), &mut answer);
            (status, Json(answer))
        }
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}
