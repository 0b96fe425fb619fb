//! Bodies are read strictly and within bounds.

use settla_gateway::Limits;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::client::{Answer, Ask};
use crate::support::{filled, start, start_with};

const TRANSFER: &str = r#"{
    "quote_id": "qt_01939d2a7f0e7c4e9a53a1c2b3d4e5f6", "reference": "INV-1",
    "sender": {"name": "Ada Obi Ltd"},
    "beneficiary": {"name": "Chinedu Okafor", "country": "NG",
        "account": {"type": "nuban", "bank_code": "011", "account_number": "0000014579"}}
}"#;

#[tokio::test]
async fn what_is_wrong_with_a_body_is_named_by_code_and_field() {
    let gateway = start().await;
    for (part, with, code, field) in [
        ("\"reference\": \"INV-1\",", "", "missing_field", Some("reference")),
        ("\"country\": \"NG\",", "", "missing_field", Some("beneficiary/country")),
        ("\"type\": \"nuban\", ", "", "missing_field", Some("beneficiary/account/type")),
        (", \"account_number\": \"0000014579\"", "", "invalid_value", Some("beneficiary/account")),
        ("\"country\": \"NG\"", "\"country\": \"NG\", \"county\": 1", "unknown_field", Some("beneficiary/county")),
        ("\"INV-1\"", "\"INV-1\", \"tenant_id\": \"tn_1\"", "unknown_field", Some("tenant_id")),
        ("\"bank_code\"", "\"swift\": \"x\", \"bank_code\"", "unknown_field", Some("beneficiary/account/swift")),
        ("\"INV-1\"", "\"INV-1\", \"reference\": \"INV-2\"", "duplicate_field", Some("reference")),
        ("\"country\": \"NG\"", "\"country\": \"NG\", \"name\": \"X\"", "duplicate_field", Some("beneficiary/name")),
        ("\"INV-1\"", "17", "invalid_type", Some("reference")),
        ("\"INV-1\"", "null", "invalid_type", Some("reference")),
        ("\"INV-1\"", "[\"INV-1\"]", "invalid_type", Some("reference")),
        ("{\"name\": \"Ada Obi Ltd\"}", "[\"Ada Obi Ltd\", null]", "invalid_type", Some("sender")),
        ("\"Ada Obi Ltd\"", "{\"first\": \"Ada\"}", "invalid_value", Some("sender/name")),
        ("\"nuban\"", "\"cash\"", "invalid_value", Some("beneficiary/account/type")),
    ] {
        let body = TRANSFER.replacen(part, with, 1);
        assert_ne!(body, TRANSFER, "{part}");
        let answer = gateway.post("/v1/transfers", &body).send().await;
        assert_eq!(answer.problem_at(), (400, code.into(), field.map(Into::into)), "{part} -> {with}");
        let text = answer.text();
        for internal in ["struct", "serde", "Create", "Ada", "tn_1"] {
            assert!(!text.contains(internal), "{internal} in {text}");
        }
    }
    assert!(gateway.fake.seen().is_empty());
}

#[tokio::test]
async fn what_is_not_json_is_refused() {
    let gateway = start().await;
    let deep = r#"{"a":"#.repeat(5_000);
    for body in ["", "{", "nonsense", "{}{}", "{'a':1}", "{\"a\":01}", "\u{feff}{}", "{\"a\":NaN}", &deep] {
        let answer = gateway.post("/v1/quotes", body).send().await;
        assert_eq!((answer.status, answer.problem().as_str()), (400, "invalid_json"), "{body}");
    }
    let latin1 = gateway.post("/v1/quotes", "").body(b"{\"source_currency\":\"\xe9\"}").send().await;
    assert_eq!(latin1.problem(), "invalid_json");
    for (body, code) in
        [("[]", "invalid_type"), ("1", "invalid_type"), ("null", "invalid_type"), ("{}", "missing_field")]
    {
        assert_eq!(gateway.post("/v1/quotes", body).send().await.problem(), code, "{body}");
    }
}

#[tokio::test]
async fn a_body_must_say_that_it_is_json() {
    let gateway = start().await;
    let post = || gateway.post("/v1/treasury/topups", r#"{"currency":"GBP","amount":"1.00"}"#).without("content-type");
    for kind in
        ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "multipart/form-data; boundary=x"]
    {
        let answer = post().header("content-type", kind).send().await;
        assert_eq!((answer.status, answer.problem().as_str()), (415, "unsupported_media_type"), "{kind}");
    }
    assert_eq!(post().send().await.status, 415);
    for kind in ["application/json", "application/json; charset=utf-8", "Application/JSON"] {
        assert_eq!(post().header("content-type", kind).send().await.status, 201, "{kind}");
    }
}

#[tokio::test]
async fn a_body_is_bounded_whether_it_says_its_length_or_not() {
    let gateway = start_with(Limits { body_bytes_max: 1_000, ..Limits::default() }).await;
    let body = format!(r#"{{"url":"{}"}}"#, "x".repeat(1_000 - 10));
    assert_eq!(body.len(), 1_000);
    assert_eq!(gateway.post("/v1/webhook-endpoints", &body).send().await.status, 201);
    let answer = gateway.post("/v1/webhook-endpoints", &format!("{body} ")).send().await;
    assert_eq!((answer.status, answer.problem().as_str()), (413, "body_too_large"));

    let head = format!(
        "POST /v1/webhook-endpoints HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {}\r\nidempotency-key: k\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
        gateway.fake.key().expose()
    );
    let mut stream = TcpStream::connect(gateway.at).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(format!("3e9\r\n{}\r\n", "x".repeat(1_001)).as_bytes()).await.unwrap();
    let answer = Answer::read(&mut stream).await;
    assert_eq!((answer.problem().as_str(), answer.header("connection")), ("body_too_large", Some("close")));
}

#[tokio::test]
async fn a_body_is_not_read_before_the_key_is_known() {
    let gateway = start().await;
    // The announced body never comes; the answer does.
    let mut stream = TcpStream::connect(gateway.at).await.unwrap();
    let head = "POST /v1/quotes HTTP/1.1\r\nhost: g\r\nconnection: close\r\ncontent-length: 10\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(Answer::read(&mut stream).await.status, 401);
}

#[tokio::test]
async fn the_examples_of_the_document_are_accepted() {
    let gateway = start().await;
    let document: serde_json::Value = serde_json::from_str(&settla_gateway::openapi_json()).unwrap();
    let mut sent = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, status) in [("post", 201), ("patch", 204)] {
            let example = item[method].pointer("/requestBody/content/application~1json/example");
            let Some(example) = example else { continue };
            sent += 1;
            let ask = Ask::new(gateway.at, &method.to_ascii_uppercase(), &filled(path));
            let ask = ask.key(gateway.fake.key()).header("idempotency-key", "k");
            let answer = ask.json(&example.to_string()).send().await;
            let status = if path == "/v1/routes" { 200 } else { status };
            assert_eq!(answer.status, status, "{path}: {}", answer.text());
        }
    }
    assert_eq!(sent, 11);
}
