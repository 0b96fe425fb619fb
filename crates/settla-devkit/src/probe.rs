//! Small questions to a part of the local system: does it answer?
//!
//! Written on a bare TCP stream, so that this crate needs no HTTP client and no TLS provider.
//! Every answer is bounded in time and size. HTTP/1.0, so that the body is everything up to the end
//! of the stream.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(2);
const MAX_ANSWER: u64 = 1 << 20;

/// Whether `GET path` is answered with a 2xx status.
pub async fn http_ok(port: u16, path: &str) -> bool {
    let request = format!("GET {path} HTTP/1.0\r\nhost: 127.0.0.1\r\n\r\n");
    let answer = timeout(PATIENCE, exchange(port, request.as_bytes())).await;
    matches!(answer, Ok(Some(bytes)) if bytes.starts_with(b"HTTP/1.") && bytes.get(9) == Some(&b'2'))
}

/// The `result` of a JSON-RPC call, `None` when there is no proper answer.
pub async fn json_rpc(port: u16, method: &str, params: Value) -> Option<Value> {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    let request = format!(
        "POST / HTTP/1.0\r\nhost: 127.0.0.1\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = timeout(PATIENCE, exchange(port, request.as_bytes())).await.ok()??;
    let answer = std::str::from_utf8(&answer).ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    let mut answer: Value = serde_json::from_str(body).ok()?;
    answer.get_mut("result").map(Value::take)
}

/// Whether Postgres is past recovery and takes connections: it then answers a start-up message
/// with a request to log in, before that with an error.
pub async fn postgres_accepts(port: u16) -> bool {
    const PROTOCOL_3: u32 = 196_608;
    let mut message = Vec::from(PROTOCOL_3.to_be_bytes());
    message.extend_from_slice(b"user\0postgres\0database\0postgres\0\0");
    let mut packet = Vec::from((message.len() as u32 + 4).to_be_bytes());
    packet.extend_from_slice(&message);
    let asked = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()?;
        stream.write_all(&packet).await.ok()?;
        stream.read_u8().await.ok()
    };
    matches!(timeout(PATIENCE, asked).await, Ok(Some(b'R')))
}

async fn exchange(port: u16, request: &[u8]) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()?;
    stream.write_all(request).await.ok()?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).await.ok()?;
    Some(answer)
}
