//! What a log is like, apart from what is not in it.

use crate::backend::Backend;
use crate::common::search::Place;
use serde_json::Value;
use std::collections::HashMap;

/// Each line is a JSON object. Those of a request carry its id; one of them says how it ended, and that is the
/// only one for everyday reading.
pub fn check_log(log: &Place, backend: &Backend) {
    let text = std::str::from_utf8(&log.bytes).unwrap();
    let mut lines: HashMap<String, Vec<Value>> = HashMap::new();
    for line in text.lines() {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(value.is_object() && value["level"].is_string() && value["timestamp"].is_string(), "{line}");
        if let Some(id) = value["span"]["request_id"].as_str().map(str::to_owned) {
            lines.entry(id).or_default().push(value);
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
        // What is done deeper down is found under the same id: something was read from the database. Who has a key is
        // known without it.
        if told.status == 200 && answered[0]["span"]["route"] != "/v1/me" {
            assert!(
                lines[id].iter().any(|line| line["target"].as_str().unwrap().starts_with("sqlx")),
                "{id}: {:?}",
                lines[id]
            );
        }
    }
}
