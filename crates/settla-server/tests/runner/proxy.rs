//! Between the runner and Postgres: counts round trips by the frontend protocol, and fails when it is told to.
//!
//! The client speaks: a start-up message, then messages of one type byte, four bytes of length and a body. It
//! waits for the server after each Sync (`S`) and each simple query (`Q`): those are the round trips.

use settla_devkit::TestDatabase;
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

/// The statement by which a runner that lost the answer to a COMMIT asks what became of it.
const ASKS: &str = "VALUES ($1, false)";

/// What goes wrong, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection ends, and the server never hears of the COMMIT.
    BeforeCommit,
    /// The server commits; its answer is lost with the connection.
    AfterCommit,
    /// The client's connection ends; the COMMIT reaches the server when it is [released](Proxy::release).
    CommitOnItsWay,
    /// The answer to the question what became of a COMMIT is lost.
    AfterAsking,
}

/// What may be held in the proxy until it is [released](Proxy::release).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// The next BEGIN.
    Begin,
    /// The next COMMIT.
    Commit,
    /// The next question whether a commit took place.
    Asking,
}

/// What a transaction took, from BEGIN to COMMIT.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Trips {
    /// Round trips with the preparation of statements left out.
    pub executed: usize,
    /// Round trips that prepared a statement: once a statement and connection.
    pub prepared: usize,
}

#[derive(Default)]
struct State {
    faults: Vec<Fault>,
    commits: Vec<Trips>,
    begins: usize,
    hold: Vec<Held>,
    drop_options: bool,
}

struct Shared {
    state: Mutex<State>,
    held: Notify,
    release: Notify,
    connected: Notify,
}

/// A running proxy. It ends with the test's runtime.
pub struct Proxy {
    /// The database through the proxy.
    pub url: String,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Starts one in front of a database.
    pub async fn start(database: &TestDatabase) -> Self {
        let options = PgConnectOptions::from_str(database.url()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (server, port) = (options.get_port(), listener.local_addr().unwrap().port());
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            held: Notify::new(),
            release: Notify::new(),
            connected: Notify::new(),
        });
        let each = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                tokio::spawn(pass(client, server, Arc::clone(&each)));
            }
        });
        Self { url: options.port(port).to_url_lossy().into(), shared }
    }

    /// The faults to come, the first one first.
    pub fn fail(&self, faults: &[Fault]) {
        self.shared.state.lock().unwrap().faults = faults.to_vec();
    }

    /// Whether all faults have come.
    pub fn has_failed(&self) -> bool {
        self.shared.state.lock().unwrap().faults.is_empty()
    }

    /// From now on connections begin without their start-up options, as behind many a pooler.
    pub fn drop_options(&self) {
        self.shared.state.lock().unwrap().drop_options = true;
    }

    /// Returns when there was another connection.
    pub async fn connected(&self) {
        self.shared.connected.notified().await;
    }

    /// How many transactions were begun.
    pub fn begins(&self) -> usize {
        self.shared.state.lock().unwrap().begins
    }

    /// What the transactions since the last look took that came to their COMMIT.
    pub fn commits(&self) -> Vec<Trips> {
        std::mem::take(&mut self.shared.state.lock().unwrap().commits)
    }

    /// The next of these waits in the proxy until [`Self::release`].
    pub fn hold_next(&self, what: Held) {
        self.hold(what, 1);
    }

    /// So many of these, from the next one on, wait in the proxy.
    pub fn hold(&self, what: Held, times: usize) {
        self.shared.state.lock().unwrap().hold = vec![what; times];
    }

    /// Returns when what is to be held has come.
    pub async fn held(&self) {
        self.shared.held.notified().await;
    }

    /// Lets what is held pass.
    pub fn release(&self) {
        self.shared.release.notify_one();
    }
}

impl Shared {
    fn take(&self, fault: Fault) -> bool {
        let mut state = self.state.lock().unwrap();
        let is_next = state.faults.first() == Some(&fault);
        if is_next {
            state.faults.remove(0);
        }
        is_next
    }

    async fn hold(&self, what: Held) {
        let is_held = self.state.lock().unwrap().hold.pop_if(|held| *held == what).is_some();
        if is_held {
            self.held.notify_one();
            self.release.notified().await;
        }
    }
}

async fn pass(client: TcpStream, server: TcpStream, shared: Arc<Shared>) {
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (cut, is_cut) = watch::channel(false);
    let (ready, answered) = watch::channel(0);
    let answers = tokio::spawn(answers(from_server, to_client, is_cut, ready));
    let mut connection = Connection { from_client, to_server, answered, cut, shared };
    // A connection ends when either side does, which is no failure here.
    let _ = connection.run().await;
    drop(connection);
    let _ = answers.await;
}

/// From server to client. Once the client is cut off, answers are read and dropped.
async fn answers(
    mut from: OwnedReadHalf,
    to: OwnedWriteHalf,
    mut is_cut: watch::Receiver<bool>,
    ready: watch::Sender<usize>,
) -> std::io::Result<()> {
    let mut to = Some(to);
    loop {
        let message = tokio::select! {
            biased;
            changed = is_cut.changed(), if to.is_some() => {
                if changed.is_err() {
                    return Ok(());
                }
                to = None; // closes the connection
                continue;
            }
            message = message(&mut from) => message?,
        };
        if let Some(to) = &mut to {
            to.write_all(&message).await?;
        }
        if message[0] == b'Z' {
            ready.send_modify(|count| *count += 1);
        }
    }
}

/// A message with its type and length.
async fn message(from: &mut OwnedReadHalf) -> std::io::Result<Vec<u8>> {
    let mut message = vec![0; 5];
    from.read_exact(&mut message).await?;
    rest(from, &mut message, 1).await?;
    Ok(message)
}

/// Reads on to the end of a message whose length stands at `at`.
async fn rest(from: &mut OwnedReadHalf, message: &mut Vec<u8>, at: usize) -> std::io::Result<()> {
    let length = u32::from_be_bytes(message[at..at + 4].try_into().unwrap()) as usize;
    let read = message.len();
    message.resize(at + length, 0);
    from.read_exact(&mut message[read..]).await?;
    Ok(())
}

/// A start-up message (length, version, pairs of texts, a zero) without the pair that is called `options`.
fn without_options(message: &[u8]) -> Vec<u8> {
    let pairs: Vec<&[u8]> = message[8..message.len() - 1].split_inclusive(|byte| *byte == 0).collect();
    let kept = pairs.chunks(2).filter(|pair| pair[0] != b"options\0").flatten().copied();
    let body = [&message[4..8], &kept.collect::<Vec<_>>().concat(), &[0]].concat();
    let length = u32::try_from(body.len() + 4).unwrap();
    [&length.to_be_bytes(), &body[..]].concat()
}

/// The first two texts of a body: name and statement of a Parse, portal and name of a Bind.
fn texts(message: &[u8]) -> (&[u8], &[u8]) {
    let mut texts = message[5..].split(|byte| *byte == 0);
    (texts.next().unwrap_or_default(), texts.next().unwrap_or_default())
}

struct Connection {
    from_client: OwnedReadHalf,
    to_server: OwnedWriteHalf,
    answered: watch::Receiver<usize>,
    cut: watch::Sender<bool>,
    shared: Arc<Shared>,
}

impl Connection {
    /// From client to server, until one of them ends the connection or a fault does.
    async fn run(&mut self) -> std::io::Result<()> {
        let mut startup = vec![0; 4];
        self.from_client.read_exact(&mut startup).await?;
        rest(&mut self.from_client, &mut startup, 0).await?;
        if self.shared.state.lock().unwrap().drop_options {
            startup = without_options(&startup);
        }
        self.shared.connected.notify_one();
        self.to_server.write_all(&startup).await?;
        let mut trips: Option<Trips> = None;
        let (mut prepares, mut asks) = (false, false);
        let mut asking: Option<Vec<u8>> = None;
        loop {
            let message = message(&mut self.from_client).await?;
            let is = |text: &str| message.windows(text.len()).any(|bytes| bytes == text.as_bytes());
            match message[0] {
                b'P' => {
                    prepares = true;
                    if is(ASKS) {
                        asking = Some(texts(&message).0.to_vec());
                    }
                }
                b'B' => asks = asking.as_deref() == Some(texts(&message).1),
                b'S' => {
                    if let Some(trips) = &mut trips {
                        *(if prepares { &mut trips.prepared } else { &mut trips.executed }) += 1;
                    }
                    if std::mem::take(&mut asks) {
                        self.shared.hold(Held::Asking).await;
                        if self.shared.take(Fault::AfterAsking) {
                            return self.lose_the_answer(&message).await;
                        }
                    }
                    prepares = false;
                }
                b'Q' if is("BEGIN") => {
                    self.shared.state.lock().unwrap().begins += 1;
                    self.shared.hold(Held::Begin).await;
                    trips = Some(Trips { executed: 1, prepared: 0 });
                }
                b'Q' if is("COMMIT") => {
                    if let Some(trips) = trips.take() {
                        let trips = Trips { executed: trips.executed + 1, ..trips };
                        self.shared.state.lock().unwrap().commits.push(trips);
                    }
                    self.shared.hold(Held::Commit).await;
                    if self.shared.take(Fault::BeforeCommit) {
                        return Ok(());
                    }
                    if self.shared.take(Fault::AfterCommit) {
                        return self.lose_the_answer(&message).await;
                    }
                    if self.shared.take(Fault::CommitOnItsWay) {
                        return self.dawdle(&message).await;
                    }
                }
                b'Q' => trips = None,
                _ => {}
            }
            self.to_server.write_all(&message).await?;
        }
    }

    /// The server gets the message and carries it out before the client finds its connection closed.
    async fn lose_the_answer(&mut self, message: &[u8]) -> std::io::Result<()> {
        let before = *self.answered.borrow();
        self.cut.send_replace(true);
        self.to_server.write_all(message).await?;
        let _ = self.answered.wait_for(|count| *count > before).await;
        Ok(())
    }

    /// The client finds its connection closed long before the server gets the message.
    async fn dawdle(&mut self, message: &[u8]) -> std::io::Result<()> {
        self.cut.send_replace(true);
        self.shared.release.notified().await;
        self.lose_the_answer(message).await
    }
}
