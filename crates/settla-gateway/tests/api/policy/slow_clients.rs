//! A client that sends slowly, or nothing, or does not read, is cut.

use std::time::Duration;

use settla_gateway::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::client::Answer;
use crate::support::start_with;

/// Far longer than the bounds in these tests: reaching it means that nothing was cut.
const PATIENCE: Duration = Duration::from_secs(10);

async fn end_of(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    let _ = read.expect("the connection was not cut");
    bytes
}

#[tokio::test]
async fn a_dribbled_head_is_cut_however_lively_the_dribble() {
    let gateway = start_with(Limits { head_time_max: Duration::from_millis(200), ..Limits::default() }).await;
    let mut stream = TcpStream::connect(gateway.at).await.unwrap();
    stream.write_all(b"GET /v1/me HTTP/1.1\r\n").await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let mut byte = [0];
    let cut = timeout(PATIENCE, async {
        loop {
            let dribble = async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                writer.write_all(b"x: y\r\n").await
            };
            tokio::select! {
                read = reader.read(&mut byte) => return read.unwrap_or(0),
                written = dribble => if written.is_err() { return 0 },
            }
        }
    });
    assert_eq!(cut.await.expect("the connection was not cut"), 0, "answered instead of cut");
    assert!(gateway.fake.seen().is_empty());
}

#[tokio::test]
async fn a_silent_connection_is_cut() {
    let gateway = start_with(Limits { head_time_max: Duration::from_millis(100), ..Limits::default() }).await;
    let mut stream = TcpStream::connect(gateway.at).await.unwrap();
    assert!(end_of(&mut stream).await.is_empty());
}

#[tokio::test]
async fn a_connection_kept_alive_is_cut_when_idle() {
    let gateway = start_with(Limits { head_time_max: Duration::from_millis(100), ..Limits::default() }).await;
    let mut stream = TcpStream::connect(gateway.at).await.unwrap();
    stream.write_all(b"GET /health/live HTTP/1.1\r\nhost: g\r\n\r\n").await.unwrap();
    let answer = Answer::parse(&end_of(&mut stream).await).unwrap();
    assert_eq!((answer.status, answer.header("connection")), (200, None));
}

#[tokio::test]
async fn a_dribbled_body_times_out() {
    let gateway = start_with(Limits { body_time_max: Duration::from_millis(100), ..Limits::default() }).await;
    let mut stream = TcpStream::connect(gateway.at).await.unwrap();
    let head = format!(
        "POST /v1/quotes HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {}\r\nidempotency-key: k\r\n\
         content-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
        gateway.fake.key().expose()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = Answer::parse(&end_of(&mut stream).await).unwrap();
    assert_eq!((answer.status, answer.problem().as_str()), (408, "body_timeout"));
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(gateway.fake.seen().is_empty());
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_at_the_end_of_the_connections_age() {
    let limits = Limits {
        connection_age_max: Duration::from_millis(100),
        drain_time_max: Duration::from_millis(100),
        connections_max: 1,
        ..Limits::default()
    };
    let gateway = start_with(limits).await;
    let mut deaf = TcpStream::connect(gateway.at).await.unwrap();
    // So many answers that they cannot all lie in the buffers on the way.
    let asks = b"GET /v1/openapi.json HTTP/1.1\r\nhost: g\r\n\r\n".repeat(2_000);
    let _ = timeout(Duration::from_millis(200), deaf.write_all(&asks)).await;
    // There is room for one connection, so this one is served only after the other was cut.
    let next = gateway.get("/v1/me").send();
    assert_eq!(timeout(PATIENCE, next).await.expect("the deaf client was not cut").status, 200);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let gateway = start_with(Limits { head_bytes_max: 8_192, ..Limits::default() }).await;
    let answer = gateway.get("/v1/me").header("x-large", &"x".repeat(20_000)).send().await;
    assert_eq!(answer.status, 431);
    assert!(gateway.fake.seen().is_empty());
}
