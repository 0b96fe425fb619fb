//! A line of TCP that can be cut, in both ways that a network does it: connections are refused and ended, or
//! nothing comes through any more and nobody is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How the line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// Everything comes through.
    Up,
    /// Nobody listens, and what was connected is ended.
    Refuses,
    /// Connections stand, and nothing comes through until the line is up again.
    Silent,
}

/// A line to somewhere. It ends with the test's runtime.
pub struct Link {
    pub url: String,
    line: watch::Sender<Line>,
    passed: Arc<AtomicU64>,
}

impl Link {
    /// Lays a line to an HTTP URL of this machine.
    pub async fn to(url: &str) -> Self {
        let target = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        // A port that no other part takes while nobody listens on it.
        let port = settla_devkit::ports::free_port().unwrap();
        let line = watch::Sender::new(Line::Up);
        let passed = Arc::new(AtomicU64::new(0));
        tokio::spawn(listen(port, target, line.subscribe(), Arc::clone(&passed)));
        Self { url: format!("http://127.0.0.1:{port}"), line, passed }
    }

    pub fn set(&self, line: Line) {
        println!("the line is {line:?}");
        self.line.send_replace(line);
    }

    /// Bytes that came through.
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }
}

async fn listen(port: u16, target: String, mut line: watch::Receiver<Line>, passed: Arc<AtomicU64>) {
    loop {
        if line.wait_for(|line| *line != Line::Refuses).await.is_err() {
            return;
        }
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let each = line.clone();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (client, _) = accepted.unwrap();
                    tokio::spawn(connect(client, target.clone(), each.clone(), Arc::clone(&passed)));
                }
                // An error means that the test is over, which the next look tells.
                _ = line.wait_for(|line| *line == Line::Refuses) => break,
            }
        }
    }
}

async fn connect(client: TcpStream, target: String, mut line: watch::Receiver<Line>, passed: Arc<AtomicU64>) {
    let mut cut = line.clone();
    let through = async {
        line.wait_for(|line| *line == Line::Up).await.ok()?;
        let server = TcpStream::connect(&target).await.ok()?;
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        // Either side's end is the end of both.
        tokio::select! {
            ended = pump(from_client, to_server, line.clone(), &passed) => ended,
            ended = pump(from_server, to_client, line.clone(), &passed) => ended,
        }
    };
    tokio::select! {
        _ = through => {}
        _ = cut.wait_for(|line| *line == Line::Refuses) => {}
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut line: watch::Receiver<Line>,
    passed: &AtomicU64,
) -> Option<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        line.wait_for(|line| *line == Line::Up).await.ok()?;
        to.write_all(&buffer[..read]).await.ok()?;
        passed.fetch_add(read as u64, Ordering::Relaxed);
    }
}
