//! Between the platform and Postgres.
//!
//! What commits is seen by the frontend protocol: a COMMIT, or the Sync after a statement outside of a transaction.
//! In the second case the proxy first has the statement carried out (Flush in place of Sync), so it knows whether
//! anything was changed, and can still keep the commit back. What changed nothing is no point: the platform asks for
//! work all the time.

use crate::points::{COMBINED, Crash, Points, Strike, is_word};
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Messages that were read and not yet looked at.
const READ_AHEAD: usize = 64;
const FLUSH: [u8; 5] = [b'H', 0, 0, 0, 4];

/// Starts a proxy before a database; returns its URL. It ends with the test's runtime.
pub async fn proxy(url: &str, points: &Arc<Points>) -> String {
    let options = PgConnectOptions::from_str(url).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (server, port) = (options.get_port(), listener.local_addr().unwrap().port());
    let points = Arc::clone(points);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let points = Arc::clone(&points);
            tokio::spawn(async move {
                let server = TcpStream::connect(("127.0.0.1", server)).await?;
                connection(client, server, points).await
            });
        }
    });
    options.port(port).to_url_lossy().into()
}

/// A statement that was sent, with the words among its parameters, and the rows that it is known to have changed.
struct Sent {
    sql: Arc<str>,
    words: BTreeSet<String>,
    rows: Option<u64>,
}

impl Sent {
    /// Whether it is one of those that change rows.
    fn writes(&self) -> bool {
        let text = self.sql.to_uppercase().replace("FOR UPDATE", "").replace("FOR NO KEY UPDATE", "");
        let mut words = text.split(|c: char| !c.is_ascii_alphabetic());
        words.any(|word| matches!(word, "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "TRUNCATE" | "CREATE" | "ALTER"))
    }

    /// Its beginning, for people, and a number that tells it from others that begin so.
    fn name(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.sql.hash(&mut hasher);
        let text = self.sql.split_whitespace().collect::<Vec<_>>().join(" ");
        let short: String = text.chars().take(48).collect();
        format!("{short}… {:04x}", hasher.finish() & 0xffff)
    }

    /// Itself, if it has changed any row. The server ends a statement with its kind and the number of rows: `UPDATE 3`.
    fn done(mut self, complete: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(&complete[5..complete.len().saturating_sub(1)]).into_owned();
        self.rows = text.rsplit(' ').next().and_then(|rows| rows.parse().ok());
        (self.writes() && self.rows != Some(0)).then_some(self)
    }
}

/// What marks a commit: its statements, each with each word that it wrote. If it is about one thing (its first
/// statement changed one row), and not about many that happened to come together, also all of its words together.
fn marks(changed: &[Sent]) -> BTreeSet<String> {
    let mut marks = BTreeSet::new();
    for sent in changed {
        let name = sent.name();
        marks.extend(sent.words.iter().map(|word| format!("commit {name} {word}")));
        marks.insert(format!("commit {name}"));
    }
    if changed[0].rows.is_none_or(|rows| rows == 1) {
        let words: BTreeSet<&str> = changed.iter().flat_map(|sent| sent.words.iter().map(String::as_str)).collect();
        marks.insert(format!("{COMBINED}{}: {}", changed.len(), Vec::from_iter(words).join(" ")));
    }
    marks
}

struct Connection {
    client: mpsc::Receiver<Vec<u8>>,
    server: mpsc::Receiver<Vec<u8>>,
    to_client: OwnedWriteHalf,
    to_server: OwnedWriteHalf,
    points: Arc<Points>,
    /// By name.
    prepared: HashMap<Vec<u8>, Arc<str>>,
    /// Bound since the last Sync.
    bound: Vec<Sent>,
    /// Sent, and not yet answered.
    awaited: VecDeque<Sent>,
    /// What the transaction has changed so far.
    changed: Vec<Sent>,
    in_transaction: bool,
}

async fn connection(client: TcpStream, server: TcpStream, points: Arc<Points>) -> io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    // The start-up message has no type.
    let mut startup = vec![0; 4];
    from_client.read_exact(&mut startup).await?;
    rest(&mut from_client, &mut startup, 0).await?;
    to_server.write_all(&startup).await?;
    let (client_tx, client) = mpsc::channel(READ_AHEAD);
    let (server_tx, server) = mpsc::channel(READ_AHEAD);
    let mut connection = Connection {
        client,
        server,
        to_client,
        to_server,
        points,
        prepared: HashMap::new(),
        bound: Vec::new(),
        awaited: VecDeque::new(),
        changed: Vec::new(),
        in_transaction: false,
    };
    let reading = async { tokio::join!(read(from_client, client_tx), read(from_server, server_tx)) };
    tokio::select! {
        ended = connection.run() => ended,
        _ = reading => Ok(()),
    }
}

/// Messages until the end of a connection.
async fn read(mut from: OwnedReadHalf, to: mpsc::Sender<Vec<u8>>) {
    while let Ok(message) = message(&mut from).await {
        if to.send(message).await.is_err() {
            return;
        }
    }
}

/// A message with its type and length.
async fn message(from: &mut OwnedReadHalf) -> io::Result<Vec<u8>> {
    let mut message = vec![0; 5];
    from.read_exact(&mut message).await?;
    rest(from, &mut message, 1).await?;
    Ok(message)
}

/// Reads on to the end of a message whose length stands at `at`.
async fn rest(from: &mut OwnedReadHalf, message: &mut Vec<u8>, at: usize) -> io::Result<()> {
    let length = u32::from_be_bytes([message[at], message[at + 1], message[at + 2], message[at + 3]]) as usize;
    let read = message.len();
    message.resize(at + length, 0);
    from.read_exact(&mut message[read..]).await?;
    Ok(())
}

fn gone() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

impl Connection {
    /// Until either side ends the connection, or a crash does.
    async fn run(&mut self) -> io::Result<()> {
        loop {
            tokio::select! {
                message = self.client.recv() => self.asked(&message.ok_or_else(gone)?).await?,
                message = self.server.recv() => {
                    let message = message.ok_or_else(gone)?;
                    self.answered(&message);
                    self.to_client.write_all(&message).await?;
                }
            }
        }
    }

    /// What the client says.
    async fn asked(&mut self, message: &[u8]) -> io::Result<()> {
        match message[0] {
            b'P' => {
                let (name, sql) = texts(message);
                self.prepared.insert(name.to_vec(), String::from_utf8_lossy(sql).into());
            }
            b'B' => {
                let (_, name) = texts(message);
                if let Some(sql) = self.prepared.get(name) {
                    self.bound.push(Sent { sql: Arc::clone(sql), words: words(&message[5..]), rows: None });
                }
            }
            b'S' => {
                let bound = std::mem::take(&mut self.bound);
                if !self.in_transaction && bound.iter().any(Sent::writes) {
                    return self.sync(message, bound).await;
                }
                self.awaited.extend(bound);
            }
            b'Q' => return self.simple(message).await,
            _ => {}
        }
        self.to_server.write_all(message).await
    }

    /// What the server says.
    fn answered(&mut self, message: &[u8]) {
        match message[0] {
            b'C' => {
                if let Some(sent) = self.awaited.pop_front() {
                    self.changed.extend(sent.done(message));
                }
            }
            // The transaction cannot commit any more.
            b'E' => {
                self.awaited.clear();
                self.changed.clear();
            }
            b'Z' => {
                self.awaited.clear();
                self.in_transaction = message[5] != b'I';
            }
            _ => {}
        }
    }

    /// The end of statements that are a transaction by themselves.
    async fn sync(&mut self, sync: &[u8], bound: Vec<Sent>) -> io::Result<()> {
        self.to_server.write_all(&FLUSH).await?;
        let (mut held, mut changed) = (Vec::new(), Vec::new());
        for sent in bound {
            let end = loop {
                let message = self.server.recv().await.ok_or_else(gone)?;
                held.push(message.clone());
                if matches!(message[0], b'C' | b'I' | b'E' | b's') {
                    break message;
                }
            };
            match end[0] {
                b'C' => changed.extend(sent.done(&end)),
                // It fails, and so does all that comes after it.
                b'E' => {
                    changed.clear();
                    break;
                }
                _ => {}
            }
        }
        let strike = if changed.is_empty() { None } else { self.meet(&changed) };
        if let Some(strike) = strike {
            return self.strike(strike, sync).await;
        }
        self.to_server.write_all(sync).await?;
        for message in held {
            self.to_client.write_all(&message).await?;
        }
        Ok(())
    }

    /// A simple query: the beginning and the end of a transaction, and little else.
    async fn simple(&mut self, message: &[u8]) -> io::Result<()> {
        let sql = String::from_utf8_lossy(&message[5..message.len().saturating_sub(1)]).into_owned();
        let changed = if sql.starts_with("COMMIT") {
            std::mem::take(&mut self.changed)
        } else {
            let sent = Sent { sql: sql.as_str().into(), words: BTreeSet::new(), rows: None };
            match (sent.writes(), self.in_transaction) {
                (true, true) => {
                    self.changed.push(sent);
                    Vec::new()
                }
                (true, false) => vec![sent],
                (false, _) => {
                    if sql.starts_with("BEGIN") || sql.starts_with("ROLLBACK") {
                        self.changed.clear();
                    }
                    Vec::new()
                }
            }
        };
        match if changed.is_empty() { None } else { self.meet(&changed) } {
            Some(strike) => self.strike(strike, message).await,
            None => self.to_server.write_all(message).await,
        }
    }

    fn meet(&self, changed: &[Sent]) -> Option<Strike> {
        self.points.meet(&format!("a commit of {} statements", changed.len()), &marks(changed))
    }

    /// Ends the connection, with the commit or without.
    async fn strike(&mut self, strike: Strike, commit: &[u8]) -> io::Result<()> {
        if strike.crash != Crash::Before {
            self.to_server.write_all(commit).await?;
            while self.server.recv().await.ok_or_else(gone)?[0] != b'Z' {}
        }
        match strike.crash {
            Crash::Repeat => strike.repeated(),
            Crash::Before | Crash::After => strike.kill().await,
        }
        Err(gone())
    }
}

/// The first two texts of a body: name and statement of a Parse, portal and name of a Bind.
fn texts(message: &[u8]) -> (&[u8], &[u8]) {
    let mut texts = message[5..].split(|byte| *byte == 0);
    (texts.next().unwrap_or_default(), texts.next().unwrap_or_default())
}

/// Words among parameters: a text, or an element of an array of texts, has its length before it.
fn words(body: &[u8]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for at in 4..body.len() {
        let length = u32::from_be_bytes([body[at - 4], body[at - 3], body[at - 2], body[at - 1]]) as usize;
        if let Some(text) = body.get(at..at.saturating_add(length)).filter(|text| is_word(text)) {
            found.insert(String::from_utf8_lossy(text).into_owned());
        }
    }
    found
}
