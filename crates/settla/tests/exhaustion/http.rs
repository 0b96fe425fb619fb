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
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Sooner than the platform hangs up.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);

/// Lets requests through, or keeps them waiting while anybody holds it shut. Cheap to clone.
#[derive(Clone)]
pub struct Door(Arc<watch::Sender<usize>>);

impl Door {
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    pub fn shut(&self) {
        self.0.send_modify(|holders| *holders += 1);
    }

    pub fn let_go(&self) {
        self.0.send_modify(|holders| *holders -= 1);
    }

    async fn pass(&self) {
        // The sender is here, so this never fails.
        let _ = self.0.subscribe().wait_for(|holders| *holders == 0).await;
    }
}

struct Proxy {
    name: &'static str,
    target: String,
    door: Door,
    client: reqwest::Client,
    points: Arc<Points>,
}

/// Starts a proxy before a server; returns its URL. It ends with the test's runtime.
pub async fn proxy(name: &'static str, target: &str, door: &Door, points: &Arc<Points>) -> String {
    settla_rails::http::install_tls_provider();
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let target = target.trim_end_matches('/').to_owned();
    let proxy = Arc::new(Proxy { name, target, door: door.clone(), client, points: Arc::clone(points) });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().fallback(pass).with_state(proxy);
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

/// What marks a call: where it goes, each word in its body, and all of them together.
fn marks(call: &str, body: &[u8]) -> BTreeSet<String> {
    let mut marks = BTreeSet::from([call.to_owned()]);
    let mut words = BTreeSet::new();
    let mut open: Vec<Value> = serde_json::from_slice(body).into_iter().collect();
    while let Some(value) = open.pop() {
        match value {
            Value::String(text) if is_word(text.as_bytes()) => drop(words.insert(text)),
            Value::Array(values) => open.extend(values),
            Value::Object(fields) => open.extend(fields.into_iter().map(|(_, value)| value)),
            _ => {}
        }
    }
    marks.insert(format!("{call}: {}", Vec::from_iter(words.iter().map(String::as_str)).join(" ")));
    marks.extend(words.into_iter().map(|word| format!("{call} {word}")));
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
    proxy.door.pass().await;
    // That something is asked again is a mark, whatever it is.
    let is_repeated = proxy.points.is_repeated((proxy.name, parts.method.as_str(), &path, &body));
    let marks = if is_repeated { BTreeSet::from([format!("{call} again")]) } else { marks(&call, &body) };
    let Some(strike) = proxy.points.meet(&call, &marks) else { return send().await };
    match strike.crash {
        Crash::Before => {}
        // It has arrived, whether it is ever answered or not.
        Crash::After => drop(timeout(ANSWERED_WITHIN, send()).await),
        Crash::Repeat => {
            let _ = timeout(ANSWERED_WITHIN, send()).await;
            strike.repeated();
            // The second answer is the one that whoever repeats a request passes on.
            return send().await;
        }
    }
    strike.kill().await;
    Response::default()
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
