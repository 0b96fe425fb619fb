//! A tenant's backend that does not give up.

use settla::local::{Answer, ApiClient};
use std::time::Duration;

/// Tries until an answer, at most: two minutes and more.
const TRIES: usize = 1_200;

/// Asks any of these processes, in turn, with the same key until one has answered: with success or a refusal.
pub async fn ask_until_answered(clients: &[ApiClient], path: &str, key: &str, body: &serde_json::Value) -> Answer {
    let mut last = String::new();
    for client in clients.iter().cycle().take(TRIES) {
        match client.post(path, key, body).await {
            Ok(answer) if answer.status < 500 => return answer,
            Ok(answer) => last = answer.body.to_string(),
            Err(failure) => last = failure.to_string(),
        }
        // The server is down: there is no event to wait for, only another try.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{path} was never answered: {last}");
}

/// As [`ask_until_answered`], where nothing but success will do.
pub async fn post_until_answered(
    clients: &[ApiClient],
    path: &str,
    key: &str,
    body: &serde_json::Value,
) -> serde_json::Value {
    let answer = ask_until_answered(clients, path, key, body).await;
    answer.success().unwrap_or_else(|failure| panic!("{path}: {failure}"))
}

/// Reads until it is answered with success.
pub async fn get_until_answered(client: &ApiClient, path: &str) -> serde_json::Value {
    let mut last = String::new();
    for _ in 0..TRIES {
        match client.get(path).await {
            Ok(answer) if answer.status == 200 => return answer.body,
            Ok(answer) => last = answer.body.to_string(),
            Err(failure) => last = failure.to_string(),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{path} was never answered: {last}");
}
