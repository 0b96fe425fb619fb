//! Webhooks end to end, as a tenant's backend meets them.

mod common;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use common::Fixture;
use serde_json::{Value, json};
use settla::local::{Amount, ApiClient, Receiver};
use settla_vault::WebhookSecret;
use settla_vault::webhook::{HEADER_ID, HEADER_SIGNATURE, HEADER_TIMESTAMP, sign};
use sqlx::{Connection, PgConnection, Row};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(60);

/// A request as it came.
#[derive(Debug, Clone)]
struct Came {
    id: String,
    timestamp: i64,
    signatures: Vec<String>,
    body: Vec<u8>,
}

impl Came {
    fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Whether one of the signatures is by this secret.
    fn signed_by(&self, secret: &str) -> bool {
        let secret = WebhookSecret::parse(secret).unwrap();
        self.signatures.contains(&sign(&secret, &self.id, self.timestamp, &self.body))
    }
}

/// A tenant's server that answers as told.
struct Scripted {
    url: String,
    answer: Arc<Mutex<u16>>,
    came: Arc<Mutex<Vec<Came>>>,
}

type Shared = (Arc<Mutex<u16>>, Arc<Mutex<Vec<Came>>>);

async fn take(State((answer, came)): State<Shared>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let text = |name: &str| headers[name].to_str().unwrap().to_owned();
    came.lock().unwrap().push(Came {
        id: text(HEADER_ID),
        timestamp: text(HEADER_TIMESTAMP).parse().unwrap(),
        signatures: text(HEADER_SIGNATURE).split(' ').map(str::to_owned).collect(),
        body: body.to_vec(),
    });
    StatusCode::from_u16(*answer.lock().unwrap()).unwrap()
}

impl Scripted {
    async fn start(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hooks", listener.local_addr().unwrap());
        let (answer, came) = (Arc::new(Mutex::new(status)), Arc::default());
        let app = Router::new().route("/hooks", post(take)).with_state((Arc::clone(&answer), Arc::clone(&came)));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, answer, came }
    }

    fn answers(&self, status: u16) {
        *self.answer.lock().unwrap() = status;
    }

    fn came(&self) -> Vec<Came> {
        self.came.lock().unwrap().clone()
    }
}

/// Asks until the answer fits: the API has no long poll.
async fn until(client: &ApiClient, path: &str, fits: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + SOON;
    loop {
        let answer = client.get(path).await.unwrap().success().unwrap();
        if fits(&answer) {
            return answer;
        }
        assert!(Instant::now() < deadline, "{path} is still {answer}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What a mutation with a key of its own is answered.
async fn ask(client: &ApiClient, path: &str, body: Value) -> Value {
    client.post(path, &Uuid::now_v7().to_string(), &body).await.unwrap().success().unwrap()
}

async fn refused(client: &ApiClient, path: &str, body: Value) -> (u16, String) {
    let answer = client.post(path, &Uuid::now_v7().to_string(), &body).await.unwrap();
    (answer.status, answer.code().to_owned())
}

async fn change(client: &ApiClient, path: &str, body: Value) -> u16 {
    client.patch(path, &Uuid::now_v7().to_string(), &body).await.unwrap().status
}

/// Sends a test and waits for what comes of it.
async fn test(client: &ApiClient, endpoint: &str) -> Value {
    let sent = ask(client, &format!("{endpoint}/test"), Value::Null).await;
    assert_eq!((sent["event_type"].as_str(), sent["status"].as_str()), (Some("webhook.test"), Some("pending")));
    let path = format!("/v1/webhook-deliveries/{}", sent["id"].as_str().unwrap());
    until(client, &path, |delivery| delivery["status"] != "pending").await
}

#[tokio::test]
async fn a_secret_is_replaced_while_the_old_one_still_signs_and_is_then_erased() {
    let fixture = Fixture::start("secret", &[]).await;
    let (client, other) = (fixture.system.client(0).unwrap(), fixture.system.client(1).unwrap());
    let server = Scripted::start(204).await;
    let new = json!({ "url": server.url, "events": ["transfer.completed"] });
    let made = client.post("/v1/webhook-endpoints", "made", &new).await.unwrap().success().unwrap();
    let endpoint = format!("/v1/webhook-endpoints/{}", made["id"].as_str().unwrap());
    let (first, rotate) = (made["secret"].as_str().unwrap().to_owned(), format!("{endpoint}/secret"));
    let secret = |answer: &Value| answer["secret"].as_str().unwrap().to_owned();

    let overlap = json!({ "overlap_s": 3_600 });
    let rotated = client.post(&rotate, "rotate", &overlap).await.unwrap().success().unwrap();
    let second = secret(&rotated);
    let again = client.post(&rotate, "rotate", &overlap).await.unwrap();
    assert!(again.replayed && again.body["secret"].is_null(), "shown once: {}", again.body);
    assert_eq!(again.body["old_secret_until"], rotated["old_secret_until"]);
    let shown = client.get(&endpoint).await.unwrap().success().unwrap();
    assert_eq!(shown["old_secret_until"], rotated["old_secret_until"]);
    assert!(!shown.to_string().contains("whsec_"), "{shown}");
    assert_eq!(test(&client, &endpoint).await["attempts"][0]["status"], 204);
    let came = server.came().pop().unwrap();
    assert_eq!(came.signatures.len(), 2);
    assert!(came.signed_by(&first) && came.signed_by(&second), "both fit, the new one first");
    assert_eq!((came.value()["type"].as_str(), came.value()["sequence"].as_i64()), (Some("webhook.test"), Some(0)));

    // Within the overlap once more: the oldest ends at once, the one before for as long as was said now.
    let third = secret(&ask(&client, &rotate, json!({ "overlap_s": 1 })).await);
    let database = &fixture.system.facts.database_url;
    let mut superuser = PgConnection::connect(database).await.unwrap();
    let deadline = Instant::now() + SOON;
    loop {
        let statement = "SELECT count(*) FROM settla.webhook_endpoints WHERE old_secret_sealed IS NOT NULL";
        if sqlx::query(statement).fetch_one(&mut superuser).await.unwrap().get::<i64, _>(0) == 0 {
            break;
        }
        assert!(Instant::now() < deadline, "the old secret is not erased");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    superuser.close().await.unwrap();
    test(&client, &endpoint).await;
    let came = server.came().pop().unwrap();
    assert!(came.signatures.len() == 1 && came.signed_by(&third) && !came.signed_by(&second));
    let fourth = secret(&ask(&client, &rotate, json!({ "overlap_s": 0 })).await);
    test(&client, &endpoint).await;
    let came = server.came().pop().unwrap();
    assert!(came.signatures.len() == 1 && came.signed_by(&fourth), "without an overlap the old one ends at once");
    let too_long = refused(&client, &rotate, json!({ "overlap_s": 604_801 })).await;
    assert_eq!(too_long, (400, "overlap_too_long".to_owned()));

    // What was made and shown first stays the first answer; and to others there is nothing of it.
    assert_eq!(change(&client, &endpoint, json!({ "events": ["topup.credited"] })).await, 204);
    assert_eq!(change(&client, &endpoint, json!({})).await, 400);
    assert_eq!(change(&client, &endpoint, json!({ "events": ["webhook.test"] })).await, 400, "no subscription to it");
    assert_eq!(client.get(&endpoint).await.unwrap().body["events"], json!(["topup.credited"]));
    let first_answer = client.post("/v1/webhook-endpoints", "made", &new).await.unwrap();
    assert_eq!((first_answer.replayed, &first_answer.body["events"]), (true, &json!(["transfer.completed"])));
    assert_eq!(other.get(&endpoint).await.unwrap().status, 404);
    assert_eq!(change(&other, &endpoint, json!({ "status": "disabled" })).await, 404);
    let absent = (404, "webhook_endpoint_not_found".to_owned());
    assert_eq!(refused(&other, &rotate, json!({})).await, absent);
    assert_eq!(refused(&other, &format!("{endpoint}/test"), Value::Null).await, absent);
    fixture.stop().await;
}

#[tokio::test]
async fn what_an_endpoint_did_not_take_is_seen_and_delivered_again() {
    let fixture = Fixture::start("again", &[]).await;
    let (client, other) = (fixture.system.client(0).unwrap(), fixture.system.client(1).unwrap());
    let server = Scripted::start(500).await;
    let beside = Receiver::start().await.unwrap();
    let all = ask(&client, "/v1/webhook-endpoints", json!({ "url": server.url })).await;
    let completed = json!({ "url": beside.url, "events": ["transfer.completed"] });
    let well = ask(&client, "/v1/webhook-endpoints", completed).await;
    beside.trust(well["secret"].as_str().unwrap()).unwrap();
    let endpoint = format!("/v1/webhook-endpoints/{}", all["id"].as_str().unwrap());
    let list =
        |status: &str| format!("/v1/webhook-deliveries?status={status}&endpoint_id={}", all["id"].as_str().unwrap());

    let transfer = client.pay(Amount::Source("1250.00"), "INV-1").await.unwrap();
    let id = transfer["id"].as_str().unwrap().to_owned();
    client.wait_for(&id, &["COMPLETED"], SOON).await.unwrap();
    beside.wait_for(|r| r.body["data"]["transfer_id"] == id.as_str(), SOON).await.expect("the well one is served");
    // Five events, each tried and refused; what was tried is shown, and nothing that the server said.
    let failing = until(&client, &list("pending"), |page| {
        let rows = page["data"].as_array().unwrap();
        rows.len() == 5 && rows.iter().all(|row| !row["attempts"].as_array().unwrap().is_empty())
    })
    .await;
    let attempt = failing["data"][0]["attempts"][0].as_object().unwrap();
    assert_eq!((attempt["number"].as_i64(), attempt["status"].as_i64()), (Some(1), Some(500)));
    assert_eq!(
        attempt.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        ["at", "latency_ms", "number", "status"].into()
    );
    let delivery = format!("/v1/webhook-deliveries/{}", failing["data"][0]["id"].as_str().unwrap());
    let again = format!("{delivery}/redeliver");
    assert_eq!(refused(&client, &again, Value::Null).await, (409, "delivery_pending".to_owned()));
    assert_eq!(other.get(&delivery).await.unwrap().status, 404);
    assert_eq!(refused(&other, &again, Value::Null).await, (404, "webhook_delivery_not_found".to_owned()));

    // It says that it is gone: the rest fails, nothing is made for it any more, and it is not tried again.
    server.answers(410);
    until(&client, &endpoint, |endpoint| endpoint["status"] == "disabled").await;
    let failed = until(&client, &list("failed"), |page| page["data"].as_array().unwrap().len() == 5).await;
    for path in [&again, &format!("{endpoint}/test")] {
        assert_eq!(refused(&client, path, Value::Null).await, (409, "endpoint_disabled".to_owned()));
    }
    let missed = client.pay(Amount::Source("20.00"), "INV-2").await.unwrap();
    let missed = missed["id"].as_str().unwrap();
    beside.wait_for(|r| r.body["data"]["transfer_id"] == missed, SOON).await.expect("the well one is served");
    assert_eq!(client.get(&list("pending")).await.unwrap().body["data"], json!([]));

    // Back again: one, then the rest of the range, what it missed included.
    let before: Vec<_> = server.came();
    server.answers(204);
    assert_eq!(change(&client, &endpoint, json!({ "status": "enabled" })).await, 204);
    let resent = client.post(&again, "again", &Value::Null).await.unwrap().success().unwrap();
    let path = format!("/v1/webhook-deliveries/{}", resent["id"].as_str().unwrap());
    assert_ne!(path, delivery);
    until(&client, &path, |delivery| delivery["status"] == "delivered").await;
    let replay = client.post(&again, "again", &Value::Null).await.unwrap();
    assert_eq!((replay.replayed, &replay.body), (true, &resent), "the first answer, and no other delivery");
    let resent_event = resent["event_id"].as_str().unwrap();
    let earlier = before.iter().find(|came| came.id == resent_event).expect("it was tried before");
    let came = server.came().into_iter().skip(before.len()).collect::<Vec<_>>();
    assert_eq!(came.iter().map(|came| (&came.id, &came.body)).collect::<Vec<_>>(), [(&earlier.id, &earlier.body)]);

    let numbers: Vec<i64> =
        failed["data"].as_array().unwrap().iter().map(|d| d["sequence"].as_i64().unwrap()).collect();
    let from = *numbers.iter().min().unwrap();
    let range = json!({ "from_sequence": from, "to_sequence": from + 999, "which": "undelivered" });
    let redeliveries = format!("{endpoint}/redeliveries");
    let made = client.post(&redeliveries, "range", &range).await.unwrap().success().unwrap();
    assert_eq!(made["deliveries"], 9, "of ten events one was taken: {made}");
    let replay = client.post(&redeliveries, "range", &range).await.unwrap();
    assert_eq!((replay.replayed, &replay.body), (true, &made));
    until(&client, &list("delivered"), |page| page["data"].as_array().unwrap().len() == 10).await;
    let taken: BTreeMap<i64, Value> = server
        .came()
        .iter()
        .skip(before.len())
        .map(|came| (came.value()["sequence"].as_i64().unwrap(), came.value()["type"].clone()))
        .collect();
    assert_eq!(taken.keys().copied().collect::<Vec<_>>(), (from..from + 10).collect::<Vec<_>>());
    assert_eq!(server.came().len(), before.len() + 10, "each once");
    for (wrong, code) in [
        (json!({ "from_sequence": 0, "to_sequence": 1, "which": "all" }), "sequence_not_valid"),
        (json!({ "from_sequence": 2, "to_sequence": 1, "which": "all" }), "sequence_not_valid"),
        (json!({ "from_sequence": 1, "to_sequence": 1_001, "which": "all" }), "range_too_large"),
        (json!({ "from_sequence": 1, "to_sequence": i64::MAX, "which": "all" }), "range_too_large"),
    ] {
        assert_eq!(refused(&client, &redeliveries, wrong).await, (400, code.to_owned()));
    }
    fixture.books_agree().await;
    fixture.stop().await;
}
