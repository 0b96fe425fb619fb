//! Personal data and keys stay where they belong. A system logs everything it can (`SETTLA_LOG=trace`) while
//! canaries go through every personal field, on good ways and bad ones; afterwards they are searched for in
//! everything that the platform wrote, said and kept.

mod common;

use common::Fixture;
use common::search::{Canary, Finder, Place};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use settla::local::{Receiver, System};
use sqlx::{Connection, PgConnection, Row};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

/// A word that nothing else contains.
fn word(start: &str) -> String {
    let tail: String = uuid::Uuid::now_v7().as_bytes()[8..].iter().map(|b| char::from(b'a' + b % 26)).collect();
    format!("{start}{tail}")
}

/// An IBAN with its check digits.
fn iban(country: &str, bban: &str) -> String {
    let digits = |text: &str| text.chars().map(|c| c.to_digit(36).unwrap().to_string()).collect::<String>();
    let rest = digits(&format!("{bban}{country}00")).bytes().fold(0, |rest, b| (rest * 10 + u32::from(b - b'0')) % 97);
    format!("{country}{:02}{bban}", 98 - rest)
}

/// In groups of four, as people write it.
fn grouped(iban: &str) -> String {
    iban.as_bytes().chunks(4).map(|c| String::from_utf8_lossy(c).into_owned()).collect::<Vec<_>>().join(" ")
}

/// Everybody's personal data in this test.
struct People {
    sender_name: String,
    sender_account: String,
    payee_name: String,
    nuban: &'static str,
    nuban_bank: &'static str,
    payee_iban: String,
    payee_bic: &'static str,
    holder_name: String,
    holder_account: &'static str,
    holder_sort_code: &'static str,
    holder_iban: String,
    payer_name: String,
}

impl People {
    fn new() -> Self {
        Self {
            sender_name: format!("{} {}", word("Zephyr"), word("Quorv")),
            sender_account: iban("GB", "QZXK90917364825107"),
            payee_name: format!("{} {}", word("Oluwa"), word("Nzek")),
            // A six-digit code need not fit the account's check digit.
            nuban: "9753186429",
            nuban_bank: "999973",
            payee_iban: iban("DE", "948301757291640385"),
            payee_bic: "QX7ZDEJ4W3K",
            holder_name: format!("{} {}", word("Wibble"), word("Vux")),
            holder_account: "97531864",
            holder_sort_code: "997391",
            holder_iban: iban("GB", "KXZQ81730592648106"),
            payer_name: format!("{} {}", word("Yttrium"), word("Payz")),
        }
    }

    fn canaries(&self) -> Vec<Canary> {
        let mut canaries = Vec::new();
        for (what, name) in [
            ("the sender's name", &self.sender_name),
            ("the payee's name", &self.payee_name),
            ("the holder's name", &self.holder_name),
            ("the payer's name", &self.payer_name),
        ] {
            canaries.extend(name.split(' ').map(|part| Canary::new(what, part)));
        }
        for (what, iban) in [
            ("the sender's account", &self.sender_account),
            ("the payee's IBAN", &self.payee_iban),
            ("the holder's IBAN", &self.holder_iban),
        ] {
            canaries.extend([Canary::new(what, iban), Canary::new(what, grouped(iban)), Canary::new(what, &iban[4..])]);
        }
        for (what, number) in [
            ("the payee's NUBAN", self.nuban),
            ("the payee's bank", self.nuban_bank),
            ("the payee's BIC", self.payee_bic),
            ("the holder's account", self.holder_account),
            ("the holder's sort code", self.holder_sort_code),
            ("the holder's sort code", "99-73-91"),
        ] {
            canaries.push(Canary::new(what, number));
        }
        canaries
    }

    fn sender(&self) -> Value {
        json!({ "name": self.sender_name, "account": grouped(&self.sender_account) })
    }

    fn transfer(&self, quote: &str, reference: &str, beneficiary: Value) -> Value {
        json!({ "quote_id": quote, "reference": reference, "sender": self.sender(), "beneficiary": beneficiary })
    }

    fn in_nigeria(&self) -> Value {
        json!({ "name": self.payee_name, "country": "NG",
            "account": { "type": "nuban", "bank_code": self.nuban_bank, "account_number": self.nuban } })
    }

    fn in_germany(&self) -> Value {
        json!({ "name": self.payee_name, "country": "DE",
            "account": { "type": "iban", "iban": grouped(&self.payee_iban), "bic": self.payee_bic } })
    }
}

/// A tenant's backend that keeps everything it is told, and what it sent by request id.
struct Backend {
    base: String,
    key: String,
    http: reqwest::Client,
    told: Mutex<Vec<u8>>,
    sent: Mutex<BTreeMap<String, Told>>,
}

/// An answer.
#[derive(Clone)]
struct Told {
    status: u16,
    body: Value,
}

impl Told {
    fn text(&self, field: &str) -> String {
        self.body[field].as_str().unwrap_or_else(|| panic!("no {field}: {}", self.body)).to_owned()
    }
}

impl Backend {
    fn new(system: &System) -> Self {
        settla_rails::http::install_tls_provider();
        let http = reqwest::Client::builder().timeout(SOON).build().unwrap();
        let key = system.facts.tenants[0].api_key.clone();
        Self { base: system.facts.api.clone(), key, http, told: Mutex::default(), sent: Mutex::default() }
    }

    fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let url = reqwest::Url::parse(&format!("{}{path}", self.base)).unwrap();
        self.http.request(method.parse().unwrap(), url)
    }

    /// Sends a request under an id of its own and keeps the answer, headers and all.
    async fn send(&self, request: reqwest::RequestBuilder) -> Told {
        let told = self.send_as(&uuid::Uuid::now_v7().to_string(), request).await;
        self.told.lock().unwrap_or_else(PoisonError::into_inner).extend(told.body.to_string().bytes().chain([b'\n']));
        told
    }

    async fn send_as(&self, id: &str, request: reqwest::RequestBuilder) -> Told {
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

    async fn get(&self, path: &str) -> Told {
        self.send(self.request("GET", path).bearer_auth(&self.key)).await
    }

    fn mutation(&self, path: &str, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        self.mutation_as("application/json", path, body)
    }

    fn mutation_as(&self, content_type: &str, path: &str, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        let request = self.request("POST", path).bearer_auth(&self.key).header("idempotency-key", uuid::Uuid::now_v7().to_string());
        request.header("content-type", content_type).body(body)
    }

    async fn post(&self, path: &str, body: &Value) -> Told {
        self.send(self.mutation(path, body.to_string())).await
    }

    async fn quote(&self, to: &str, which: &str, amount: &str) -> String {
        let quote = self.post("/v1/quotes", &json!({ "source_currency": "GBP", "destination_currency": to, which: amount })).await;
        assert_eq!(quote.status, 201, "{}", quote.body);
        quote.text("id")
    }
}

fn ids(headers: &HeaderMap) -> Vec<&str> {
    headers.get_all("x-request-id").iter().map(|v| v.to_str().unwrap()).collect()
}

/// Transfers that complete, and such that are refused on the way.
async fn transfers(backend: &Backend, people: &People, receiver: &Receiver, reference: &str) {
    let ways = [
        ("NGN", "source_amount", "25.00", people.in_nigeria(), "transfer.completed"),
        ("EUR", "source_amount", "25.00", people.in_germany(), "transfer.completed"),
        ("NGN", "source_amount", "4000.01", people.in_nigeria(), "transfer.refunded"),
        ("NGN", "destination_amount", "4000000.01", people.in_nigeria(), "transfer.refunded"),
    ];
    let mut expected = Vec::new();
    for (to, which, amount, beneficiary, end) in ways {
        let quote = backend.quote(to, which, amount).await;
        let transfer = backend.post("/v1/transfers", &people.transfer(&quote, reference, beneficiary.clone())).await;
        assert_eq!(transfer.status, 201, "{}", transfer.body);
        let used = backend.post("/v1/transfers", &people.transfer(&quote, reference, beneficiary)).await;
        assert_eq!((used.status, used.text("code").as_str()), (422, "quote_used"));
        expected.push((transfer.text("id"), end));
    }
    for (id, end) in expected {
        let told = receiver.wait_for(|r| r.body["data"]["transfer_id"] == id.as_str() && r.body["type"] == end, SOON).await;
        assert!(told.is_some(), "{id} is not {end}: {}", backend.get(&format!("/v1/transfers/{id}")).await.body);
        for path in [format!("/v1/transfers/{id}"), format!("/v1/transfers/{id}/events"), format!("/v1/ledger/postings?transfer_id={id}")] {
            assert_eq!(backend.get(&path).await.status, 200, "{path}");
        }
    }
}

/// Money in with a payer's name, announced and not; money out to accounts of the tenant's own.
async fn treasury(backend: &Backend, people: &People, receiver: &Receiver, system: &System) {
    let topup = backend.post("/v1/treasury/topups", &json!({ "currency": "GBP", "amount": "5.00" })).await;
    let bank = &system.facts.bank;
    for reference in [topup.text("reference").as_str(), "whoever"] {
        let body = json!({ "account": bank.account, "currency": "GBP", "amount": "500", "reference": reference, "payer_name": people.payer_name });
        let url = format!("{}/_control/incoming", bank.url);
        let response = reqwest::Client::new().post(url).bearer_auth(&bank.key).json(&body).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 201);
    }
    receiver.wait_for(|r| r.body["type"] == "topup.credited", SOON).await.expect("a top-up");
    let accounts = [
        json!({ "name": people.holder_name, "type": "uk_account", "sort_code": "99-73-91", "account_number": people.holder_account }),
        json!({ "name": people.holder_name, "type": "iban", "iban": people.holder_iban }),
    ];
    for (n, account) in accounts.into_iter().enumerate() {
        let ask = json!({ "currency": "GBP", "amount": "10.00", "reference": format!("WD-{n}"), "account": account });
        let made = backend.post("/v1/treasury/withdrawals", &ask).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let id = made.text("id");
        let paid = receiver.wait_for(|r| r.body["type"] == "withdrawal.paid" && r.body["data"]["withdrawal_id"] == id.as_str(), SOON).await;
        assert!(paid.is_some(), "{id} is not paid");
        let again = backend.post("/v1/treasury/withdrawals", &ask).await;
        assert_eq!((again.status, again.text("code").as_str()), (422, "reference_used"));
    }
    assert_eq!(backend.get("/v1/treasury/withdrawals").await.status, 200);
}

/// The same in wrong places and forms: errors, some of which name the field.
async fn mistakes(backend: &Backend, people: &People) {
    let quote = backend.quote("NGN", "source_amount", "25.00").await;
    let good = people.transfer(&quote, "mistake", people.in_nigeria());
    let with = |pointer: &str, value: Value| {
        let mut body = good.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    let wrong_iban = format!("GB00{}", &people.sender_account[4..]);
    let wrong = [
        with("/beneficiary/country", json!(people.payee_name)),
        with("/beneficiary/account/type", json!(people.nuban)),
        with("/beneficiary/account/account_number", json!(people.nuban.parse::<u64>().unwrap())),
        with("/beneficiary/account/account_number", json!([people.nuban])),
        with("/beneficiary/account/account_number", json!({ people.nuban: people.nuban })),
        with("/beneficiary/account/account_number", json!(format!("{}-", people.nuban))),
        with("/beneficiary/account/bank_code", json!(people.payee_name)),
        with("/beneficiary/account", json!({ "type": "iban", "iban": wrong_iban })),
        with("/beneficiary/account", json!(people.payee_iban)),
        with("/beneficiary/name", json!(people.payee_name.repeat(20))),
        with("/beneficiary/name", json!(format!("{}\u{7}", people.payee_name))),
        with("/beneficiary", json!(people.payee_name)),
        with("/sender/account", json!(wrong_iban)),
        with("/sender/name", json!(null)),
        with("/reference", json!(format!("{}\n", people.sender_name))),
        with("/reference", json!(people.nuban.parse::<u64>().unwrap())),
        with("/quote_id", json!(people.sender_name)),
        with("/sender", json!({ "name": people.sender_name, "phone": people.sender_account })),
    ];
    for body in &wrong {
        let told = backend.post("/v1/transfers", body).await;
        assert!(matches!(told.status, 400 | 422), "{} {}", told.status, told.body);
    }
    let text = good.to_string();
    for body in [text[..text.len() - 2].to_owned(), format!("{text}{}", people.sender_name), text.replace(':', "="), people.sender_name.clone()] {
        assert_eq!(backend.send(backend.mutation("/v1/transfers", body)).await.status, 400);
    }
    assert_eq!(backend.send(backend.mutation_as("text/plain", "/v1/transfers", text.clone())).await.status, 415);
    assert_eq!(backend.send(backend.mutation("/v1/transfers", text.repeat(2_000))).await.status, 413);

    // In paths, queries and headers, where they have no business.
    let payee = people.payee_name.replace(' ', "%20");
    for path in [
        format!("/v1/transfers/{payee}"),
        format!("/v1/transfers?state={payee}"),
        format!("/v1/transfers?cursor={}", people.nuban),
        format!("/v1/nothing/{payee}"),
        format!("/v1/me?api_key={}", backend.key),
    ] {
        let told = backend.get(&path).await;
        assert!(matches!(told.status, 400 | 404), "{path}: {} {}", told.status, told.body);
    }
    let keyed = backend.request("POST", "/v1/transfers").bearer_auth(&backend.key).header("idempotency-key", people.sender_name.repeat(20));
    assert_eq!(backend.send(keyed.json(&good)).await.status, 400);
    for authorization in [format!("Basic {}", backend.key), format!("Bearer {}0", backend.key), format!("Bearer {}", backend.key.replace("test", "live"))] {
        assert_eq!(backend.send(backend.request("GET", "/v1/me").header("authorization", authorization)).await.status, 401);
    }
    // A webhook that pretends to be the bank's.
    let forged = backend.request("POST", "/webhooks/providers/sandbank").header("webhook-id", "m1").header("webhook-timestamp", "1");
    let forged = forged.header("webhook-signature", "v1,AAAA").json(&json!({ "data": { "entry": { "counterparty": people.payer_name } } }));
    assert_eq!(backend.send(forged).await.status, 403);
}

/// Every row of every table, as a superuser sees them.
async fn tables(database_url: &str) -> Vec<Place> {
    let mut database = PgConnection::connect(database_url).await.unwrap();
    let names = "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')";
    let mut places = Vec::new();
    for row in sqlx::query(names).fetch_all(&mut database).await.unwrap() {
        let name: String = row.get("name");
        let rows = sqlx::query(&format!("SELECT t::text AS row FROM {name} t")).fetch_all(&mut database).await.unwrap();
        let text: Vec<String> = rows.iter().map(|r| r.get("row")).collect();
        places.push(Place { name: format!("table {name}"), bytes: text.join("\n").into_bytes() });
    }
    assert!(places.len() > 20, "there are more tables");
    places
}

/// Every file that the platform and what it runs have written: logs, keys, the chain, the database's own files
/// with what was deleted from them. Not the outside world's, and not the secrets that a local system keeps on
/// purpose.
fn files(folder: &Path, places: &mut Vec<Place>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() && name != "sandbox" {
            files(&path, places);
        } else if kind.is_file() && !matches!(name.as_str(), "secrets.json" | "sandbox-keys.json" | "tenants.json" | "dev.json") {
            match std::fs::read(&path) {
                Ok(bytes) => places.push(Place { name: path.display().to_string(), bytes }),
                // The database removes files as it goes.
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{}", path.display()),
            }
        }
    }
}

fn named<'a>(places: &'a [Place], end: &str) -> &'a Place {
    places.iter().find(|place| place.name.ends_with(end)).unwrap_or_else(|| panic!("no {end} was searched"))
}

/// Each line is a JSON object. Those of a request carry its id; one of them says how it ended, and that is the
/// only one for everyday reading.
fn check_log(log: &Place, backend: &Backend) {
    let text = std::str::from_utf8(&log.bytes).unwrap();
    let mut lines: HashMap<String, Vec<Value>> = HashMap::new();
    for line in text.lines() {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(value.is_object() && value["level"].is_string() && value["timestamp"].is_string(), "{line}");
        let spans = value["spans"].as_array().into_iter().flatten().chain([&value["span"]]);
        let ids: Vec<&str> = spans.filter_map(|span| span["request_id"].as_str()).collect();
        if let Some(id) = ids.first() {
            lines.entry((*id).to_owned()).or_default().push(value);
        }
    }
    for (id, lines) in &lines {
        let for_reading = lines.iter().filter(|line| line["level"] == "INFO").count();
        assert!(for_reading <= 1, "{id} has {for_reading} lines");
    }
    let sent = backend.sent.lock().unwrap();
    assert!(sent.len() > 60);
    for (id, told) in sent.iter() {
        let answered: Vec<&Value> = lines[id].iter().filter(|line| line["fields"]["message"] == "answered").collect();
        assert_eq!(answered.len(), 1, "{id}");
        assert_eq!(answered[0]["fields"]["status"], told.status, "{id}");
        // What is done deeper down is found under the same id: a key was looked up in the database.
        if told.status == 200 {
            assert!(lines[id].iter().any(|line| line["target"].as_str().unwrap().starts_with("sqlx")), "{id}: {:?}", lines[id]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_personal_and_no_key_leaves_its_place() {
    let fixture = Fixture::start_with_env("masking", &[], &[("SETTLA_LOG", "trace")]).await;
    let system = &fixture.system;
    let (backend, people) = (Backend::new(system), People::new());
    let receiver = Receiver::start().await.unwrap();
    // Its answer shows the secret, once and on purpose.
    let made = backend.send_as("endpoint", backend.mutation("/v1/webhook-endpoints", json!({ "url": receiver.url }).to_string())).await;
    let secret = made.text("secret");
    receiver.trust(&secret).unwrap();

    // These do travel: what the searches must find.
    let (reference, request_id) = (word("planted"), word("asked"));
    transfers(&backend, &people, &receiver, &reference).await;
    treasury(&backend, &people, &receiver, system).await;
    mistakes(&backend, &people).await;
    backend.send_as(&request_id, backend.request("GET", "/v1/me").bearer_auth(&backend.key)).await;
    assert_eq!(backend.get("/v1/webhook-deliveries").await.status, 200);
    fixture.books_agree().await;

    let webhooks: Vec<String> = receiver.received().iter().map(|r| format!("{} {} {}", r.id, r.signature, r.body)).collect();
    let mut places = vec![
        Place { name: "webhooks".to_owned(), bytes: webhooks.join("\n").into_bytes() },
        Place { name: "metrics".to_owned(), bytes: common::metrics::scrape(system).await.text.into_bytes() },
        Place { name: "answers".to_owned(), bytes: backend.told.lock().unwrap().clone() },
    ];
    places.extend(tables(&system.facts.database_url).await);
    files(system.dir(), &mut places);
    assert!(named(&places, "platform.log").bytes.len() > 100_000, "it does not log everything");
    check_log(named(&places, "platform.log"), &backend);

    let mut canaries = people.canaries();
    canaries.push(Canary::new("the API key", &backend.key));
    canaries.push(Canary::new("the API key's digits", &backend.key["sk_test_".len()..]));
    canaries.push(Canary::new("the API key's bytes", hex::decode(&backend.key["sk_test_".len()..]).unwrap()));
    canaries.push(Canary::new("the webhook secret", &secret));
    canaries.push(Canary::new("the webhook secret's bytes", settla_vault::WebhookSecret::parse(&secret).unwrap().bytes()));
    let finder = Finder::new(canaries);
    let found: Vec<String> = places.iter().flat_map(|place| finder.find(place)).collect();
    assert!(found.is_empty(), "{} found:\n{}", found.len(), found.join("\n"));

    // The same search does find what is there.
    let planted = Finder::new(vec![Canary::new("the reference", &reference), Canary::new("the request id", &request_id)]);
    for place in ["webhooks", "answers", "table settla.transfers", "platform.log"] {
        assert!(!planted.find(named(&places, place)).is_empty(), "{place} is searched in vain");
    }
    let log_of_database = places.iter().filter(|place| place.name.contains("/pg_wal/"));
    assert!(log_of_database.map(|place| planted.find(place).len()).sum::<usize>() > 0, "the database's files are searched in vain");
    for place in ["webhooks", "metrics", "answers", "table settla.events", "platform.log", "platform.err"] {
        let place = named(&places, place);
        let middle = place.bytes.len() / 2;
        for (form, bytes) in finder.canaries().iter().flat_map(Canary::forms) {
            // Set apart, as values are.
            let spoilt = [&place.bytes[middle.saturating_sub(200)..middle], b"\"", &bytes, b"\"", &place.bytes[middle..(middle + 200).min(place.bytes.len())]].concat();
            let spoilt = Place { name: place.name.clone(), bytes: spoilt };
            assert!(!finder.find(&spoilt).is_empty(), "{} is not found in {} as {form}", String::from_utf8_lossy(&bytes), place.name);
        }
    }
    fixture.stop().await;
}
