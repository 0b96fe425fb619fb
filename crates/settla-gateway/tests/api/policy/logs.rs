//! What is written about a request, and what never is.

use std::io;
use std::sync::{Arc, Mutex};

use tracing_subscriber::fmt::MakeWriter;

use crate::support::fake::Behaviour;
use crate::support::start;

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Captured {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn a_log_of_warnings_alone_has_the_request_id_too() {
    let captured = Captured::default();
    let quiet = tracing_subscriber::EnvFilter::new("warn");
    let subscriber = tracing_subscriber::fmt().json().with_env_filter(quiet).with_writer(captured.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let gateway = start().await;
    gateway.fake.behave(Behaviour::Panic);
    gateway.get("/v1/me").header("x-request-id", "r-1").send().await;

    let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    let line = text.lines().find(|line| line.contains("panicked")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["span"]["request_id"], "r-1", "{line}");
    assert!(!text.contains("answered"), "{text}");
}

#[tokio::test]
async fn a_log_has_the_request_id_and_nothing_of_what_was_sent() {
    let captured = Captured::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::level_filters::LevelFilter::TRACE)
        .with_writer(captured.clone())
        .finish();
    // The test's runtime has one thread, so every task in it logs here.
    let _guard = tracing::subscriber::set_default(subscriber);

    let gateway = start().await;
    let body = r#"{"currency":"CANARYBODY","amount":"1.00"}"#;
    gateway.post("/v1/treasury/topups?canaryname=canaryvalue", body).header("x-request-id", "r-1").send().await;
    gateway.post("/v1/treasury/topups", body).header("x-request-id", "r-2").header("x-canary", "canary").send().await;
    gateway.get("/v1/quotes/canary").header("x-request-id", "r-3").send().await;
    gateway.post("/v1/treasury/topups", "{canary").header("x-request-id", "r-4").send().await;
    gateway.fake.behave(Behaviour::Panic);
    gateway.get("/v1/me").header("x-request-id", "r-5").send().await;

    let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    for (id, status) in [("r-1", 400), ("r-2", 201), ("r-3", 404), ("r-4", 400), ("r-5", 500)] {
        let line =
            text.lines().find(|line| line.contains(&format!("\"request_id\":\"{id}\"")) && line.contains("answered"));
        let line: serde_json::Value = serde_json::from_str(line.unwrap()).unwrap();
        assert_eq!((&line["fields"]["status"], &line["span"]["tenant"]), (&status.into(), &7.into()), "{line}");
    }
    assert!(text.contains("panicked"), "{text}");
    assert!(!text.to_ascii_lowercase().contains("canary"), "{text}");
    assert!(!text.contains(&gateway.fake.key().expose()[8..]));
    assert!(!text.contains("as told"), "the panic's text is in the log");
}
