//! Between the platform and a server that it calls.

use crate::points::{Crash, Points, is_word};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::net::TcpListener;

const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

struct Proxy {
    name: &'static str,
    target: String,
    client: reqwest::Client,
    points: Arc<Points>,
}

/// Starts a proxy before a server; returns its URL. It ends with the test's runtime.
pub async fn proxy(name: &'static str, target: &str, points: &Arc<Points>) -> String {
    settla_rails::http::install_tls_provider();
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let target = target.trim_end_matches('/').to_owned();
    let proxy = Arc::new(Proxy { name, target, client, points: Arc::clone(points) });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().fallback(pass).with_state(proxy);
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

/// What marks a call: where it goes, and each word in its body.
fn marks(call: &str, body: &[u8]) -> BTreeSet<String> {
    let mut marks = BTreeSet::from([call.to_owned()]);
    let mut open: Vec<Value> = serde_json::from_slice(body).into_iter().collect();
    while let Some(value) = open.pop() {
        match value {
            Value::String(text) if is_word(text.as_bytes()) => drop(marks.insert(format!("{call} {text}"))),
            Value::Array(values) => open.extend(values),
            Value::Object(fields) => open.extend(fields.into_iter().map(|(_, value)| value)),
            _ => {}
        }
    }
    marks
}

/// A path without its ids.
fn route(path: &str) -> String {
    let segments = path
        .split('/')
        .map(|part| if part.len() > 2 && part.contains(|c: char| c.is_ascii_digit()) { "*" } else { part });
    segments.collect::<Vec<_>>().join("/")
}

async fn pass(State(proxy): State<Arc<Proxy>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    // The platform has died in the middle of its request.
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else { return Response::default() };
    let call = format!("request {} {} {}", proxy.name, parts.method, route(parts.uri.path()));
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let send = || proxy.send(parts.method.clone(), &path, &parts.headers, body.clone());
    let crash = proxy.points.meet(&call, &marks(&call, &body));
    if crash == Some(Crash::Before) {
        proxy.points.crash().await;
        return Response::default();
    }
    let answer = send().await;
    match crash {
        Some(Crash::After) => proxy.points.crash().await,
        // The second answer is the one that whoever repeats a request passes on.
        Some(Crash::Repeat) => return send().await,
        _ => {}
    }
    answer
}

impl Proxy {
    async fn send(&self, method: Method, path: &str, headers: &HeaderMap, body: Bytes) -> Response {
        let mut headers = headers.clone();
        for name in [header::HOST, header::CONTENT_LENGTH, header::CONNECTION] {
            headers.remove(name);
        }
        let request = self.client.request(method, format!("{}{path}", self.target)).headers(headers).body(body);
        let read = async {
            let response = request.send().await?;
            let (status, kind) = (response.status(), response.headers().get(header::CONTENT_TYPE).cloned());
            Ok::<_, reqwest::Error>((status, kind, response.bytes().await?))
        };
        // Without an answer there is none to pass on: what a gateway says then means nothing to the platform.
        let Ok((status, kind, bytes)) = read.await else {
            return Response::builder().status(StatusCode::BAD_GATEWAY).body(Body::empty()).unwrap();
        };
        let mut response = Response::builder().status(status);
        if let Some(kind) = kind {
            response = response.header(header::CONTENT_TYPE, kind);
        }
        response.body(Body::from(bytes)).unwrap()
    }
}
