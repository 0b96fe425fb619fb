//! A stop lets requests in flight end, takes no new ones, and does not wait for ever.

use std::time::Duration;

use settla_gateway::{Drained, Limits};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::client::Answer;
use crate::support::fake::Behaviour;
use crate::support::{start, start_with};

#[tokio::test]
async fn a_request_in_flight_is_finished() {
    let mut gateway = start().await;
    gateway.fake.behave(Behaviour::Wait);
    let mut stream = TcpStream::connect(gateway.at).await.unwrap();
    let ask =
        format!("GET /v1/me HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {}\r\n\r\n", gateway.fake.key().expose());
    stream.write_all(ask.as_bytes()).await.unwrap();
    gateway.fake.entered().await;

    gateway.stop();
    // The listener goes first; when it is gone, the stop has been seen.
    while TcpStream::connect(gateway.at).await.is_ok() {
        tokio::task::yield_now().await;
    }
    gateway.fake.release();
    let answer = Answer::read(&mut stream).await;
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert_eq!(gateway.stopped().await, Drained { cut: 0 });
}

#[tokio::test]
async fn idle_connections_do_not_hold_up_a_stop() {
    let gateway = start().await;
    let _idle = TcpStream::connect(gateway.at).await.unwrap();
    assert_eq!(gateway.get("/v1/me").send().await.status, 200);
    let drained = tokio::time::timeout(Duration::from_secs(10), gateway.stopped()).await;
    assert_eq!(drained.expect("an idle connection held up the stop"), Drained { cut: 0 });
}

#[tokio::test]
async fn what_does_not_end_is_cut() {
    let gateway = start_with(Limits { drain_time_max: Duration::from_millis(100), ..Limits::default() }).await;
    gateway.fake.behave(Behaviour::Wait);
    let request = tokio::spawn(gateway.get("/v1/me").send());
    gateway.fake.entered().await;
    let drained = tokio::time::timeout(Duration::from_secs(10), gateway.stopped()).await;
    assert_eq!(drained.expect("the stop waited for ever"), Drained { cut: 1 });
    assert!(request.await.is_err(), "there was an answer");
}
