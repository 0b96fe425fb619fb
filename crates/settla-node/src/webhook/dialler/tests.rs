//! Against servers that listen, on addresses of this machine.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Far longer than anything here may take: reaching it means that it would have gone on for ever.
const PATIENCE: Duration = Duration::from_secs(20);
/// What an answer may take where a server is slow on purpose.
const SHORT: Duration = Duration::from_millis(300);
/// In these tests 127.0.0.1 stands for the inside and 127.0.0.2 for the Internet.
const INSIDE: &str = "127.0.0.1";
const OUTSIDE: &str = "127.0.0.2";

fn is_outside(ip: IpAddr) -> bool {
    ip == OUTSIDE.parse::<IpAddr>().unwrap()
}

/// A server that deals with each connection in the same way.
struct Server {
    at: SocketAddr,
    connections: Arc<AtomicUsize>,
    /// One each time when the way has ended.
    ended: mpsc::UnboundedReceiver<()>,
}

impl Server {
    async fn start<F: Future<Output = ()> + Send + 'static>(at: &str, way: fn(TcpStream) -> F) -> Self {
        let listener = TcpListener::bind(at).await.unwrap();
        let (at, connections) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let (tell, ended) = mpsc::unbounded_channel();
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let tell = tell.clone();
                tokio::spawn(async move {
                    way(stream).await;
                    let _ = tell.send(());
                });
            }
        });
        Self { at, connections, ended }
    }

    fn url(&self) -> String {
        format!("http://{}/x", self.at)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Reads the request's head, which is all that is in it.
async fn request(stream: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
}

async fn well(mut stream: TcpStream) {
    request(&mut stream).await;
    let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
}

/// Writes the same again and again until nobody takes it any more.
async fn for_ever(stream: &mut TcpStream, bytes: &[u8], pause: Duration) {
    while stream.write_all(bytes).await.is_ok() {
        tokio::time::sleep(pause).await;
    }
}

async fn endless_body(mut stream: TcpStream) {
    request(&mut stream).await;
    stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
    // No faster than needed: whoever did read it would fill the memory.
    for_ever(&mut stream, format!("2000\r\n{}\r\n", "x".repeat(0x2000)).as_bytes(), Duration::from_millis(5)).await;
}

async fn slow_body(mut stream: TcpStream) {
    request(&mut stream).await;
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await.unwrap();
    for_ever(&mut stream, b"x", Duration::from_millis(20)).await;
}

async fn slow_head(mut stream: TcpStream) {
    request(&mut stream).await;
    stream.write_all(b"HTTP/1.1 200 OK\r\nx-slow: ").await.unwrap();
    for_ever(&mut stream, b"x", Duration::from_millis(20)).await;
}

async fn endless_head(mut stream: TcpStream) {
    request(&mut stream).await;
    stream.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
    for_ever(&mut stream, format!("x-long: {}\r\n", "x".repeat(1_000)).as_bytes(), Duration::ZERO).await;
}

async fn endless_interim(mut stream: TcpStream) {
    request(&mut stream).await;
    for_ever(&mut stream, b"HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n", Duration::from_millis(20)).await;
}

async fn silent(mut stream: TcpStream) {
    request(&mut stream).await;
    // Until the other side hangs up.
    let _ = stream.read_u8().await;
}

/// A manner that may call what is outside, by plain http, for as long as usual.
fn outside_only(lookup: Lookup) -> Manner {
    Manner { https_only: false, allows: is_outside, lookup, ..Manner::of(Reach::PublicHttps) }
}

fn nobody() -> Lookup {
    Arc::new(|name| panic!("{name} is looked up"))
}

/// A resolver whose answers change from one question to the next.
fn changing(answers: &'static [&'static [&'static str]], asked: &Arc<AtomicUsize>) -> Lookup {
    let asked = Arc::clone(asked);
    Arc::new(move |_| {
        let turn = asked.fetch_add(1, Ordering::SeqCst);
        let answer = answers[turn.min(answers.len() - 1)].iter().map(|ip| ip.parse().unwrap()).collect();
        Box::pin(async move { Ok(answer) })
    })
}

async fn post(dialler: &Dialler, url: &str) -> Result<u16, &'static str> {
    timeout(PATIENCE, dialler.post(url, &[], Vec::new())).await.expect("the call does not end")
}

#[tokio::test]
async fn private_addresses_are_refused_by_literal_and_by_name() {
    let dialler = Dialler::new(Reach::PublicHttps).unwrap();
    for url in [
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://[::ffff:10.0.0.1]/x",
        "https://2130706433/x",
        "https://0x7f.1/x",
        "https://localhost/x",
    ] {
        assert_eq!(dialler.post(url, &[], Vec::new()).await, Err("address_not_allowed"), "{url}");
    }
    // Nor is an address that is allowed by plain http.
    let outside = Server::start(&format!("{OUTSIDE}:0"), well).await;
    let dialler = Dialler::with(Manner { allows: is_outside, ..Manner::of(Reach::PublicHttps) }).unwrap();
    assert_eq!(post(&dialler, &outside.url()).await, Err("no_answer"));
    assert_eq!(outside.connections(), 0);
}

#[tokio::test]
async fn a_listening_server_inside_is_not_reached_by_any_spelling() {
    let inside = Server::start(&format!("{INSIDE}:0"), well).await;
    let dialler = Dialler::with(outside_only(nobody())).unwrap();
    let port = inside.at.port();
    for host in ["127.0.0.1", "2130706433", "0x7f.1", "127.1", "0177.0.0.1", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"] {
        assert_eq!(post(&dialler, &format!("http://{host}:{port}/x")).await, Err("address_not_allowed"), "{host}");
    }
    let asked = Arc::default();
    let dialler = Dialler::with(outside_only(changing(&[&[INSIDE, "::1", "::ffff:127.0.0.1"]], &asked))).unwrap();
    assert_eq!(post(&dialler, &format!("http://tenant.example:{port}/x")).await, Err("address_not_allowed"));
    assert_eq!((asked.load(Ordering::SeqCst), inside.connections()), (1, 0));
    // It would have answered.
    let anywhere = Dialler::new(Reach::Anywhere).unwrap();
    assert_eq!(post(&anywhere, &inside.url()).await, Ok(204));
}

#[tokio::test]
async fn a_name_that_changes_between_check_and_connect_is_dialled_as_checked() {
    let outside = Server::start(&format!("{OUTSIDE}:0"), well).await;
    let port = outside.at.port();
    let inside = Server::start(&format!("{INSIDE}:{port}"), well).await;
    let url = format!("http://tenant.example:{port}/x");
    let asked = Arc::default();
    // Public when it is asked first, private ever after.
    let dialler = Dialler::with(outside_only(changing(&[&[OUTSIDE], &[INSIDE]], &asked))).unwrap();
    assert_eq!(post(&dialler, &url).await, Ok(204));
    assert_eq!((asked.load(Ordering::SeqCst), outside.connections(), inside.connections()), (1, 1, 0));
    assert_eq!(post(&dialler, &url).await, Err("address_not_allowed"));
    assert_eq!((asked.load(Ordering::SeqCst), outside.connections(), inside.connections()), (2, 1, 0));
    // Both at once: what is private of it is left out.
    let dialler = Dialler::with(outside_only(changing(&[&[INSIDE, OUTSIDE]], &asked))).unwrap();
    assert_eq!(post(&dialler, &url).await, Ok(204));
    assert_eq!((outside.connections(), inside.connections()), (2, 0));
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    /// To itself, where a second connection would be seen; and with all that a client could be made to repeat.
    async fn redirect(mut stream: TcpStream) {
        request(&mut stream).await;
        let target = stream.local_addr().unwrap();
        let head = "HTTP/1.1 307 Temporary Redirect\r\ncontent-length: 0\r\nconnection: close\r\n";
        let _ = stream.write_all(format!("{head}location: http://{target}/again\r\n\r\n").as_bytes()).await;
    }
    let server = Server::start("127.0.0.1:0", redirect).await;
    let dialler = Dialler::new(Reach::Anywhere).unwrap();
    assert_eq!(post(&dialler, &server.url()).await, Ok(307));
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn an_endless_or_slow_body_is_not_read() {
    // With all the time there is: it is not the time limit that ends the call.
    let unhurried = Manner { answer_within: PATIENCE * 30, ..Manner::of(Reach::Anywhere) };
    let dialler = Dialler::with(unhurried).unwrap();
    for mut server in [Server::start("127.0.0.1:0", endless_body).await, Server::start("127.0.0.1:0", slow_body).await]
    {
        assert_eq!(post(&dialler, &server.url()).await, Ok(200));
        // The server is hung up on: it has nobody to send the rest to.
        timeout(PATIENCE, server.ended.recv()).await.expect("the connection stays open");
    }
}

#[tokio::test]
async fn a_head_that_is_slow_endless_or_never_comes_is_cut_off() {
    let short = Manner { answer_within: SHORT, ..Manner::of(Reach::Anywhere) };
    let dialler = Dialler::with(short).unwrap();
    let servers = [
        (Server::start("127.0.0.1:0", slow_head).await, "timeout"),
        (Server::start("127.0.0.1:0", endless_interim).await, "timeout"),
        (Server::start("127.0.0.1:0", silent).await, "timeout"),
    ];
    for (mut server, error) in servers {
        assert_eq!(post(&dialler, &server.url()).await, Err(error));
        timeout(PATIENCE, server.ended.recv()).await.expect("the connection stays open");
    }
    // Too much is refused long before the usual time is over.
    let dialler = Dialler::new(Reach::Anywhere).unwrap();
    let mut server = Server::start("127.0.0.1:0", endless_head).await;
    assert_eq!(post(&dialler, &server.url()).await, Err("no_answer"));
    timeout(PATIENCE, server.ended.recv()).await.expect("the connection stays open");
}

#[tokio::test]
async fn who_does_not_listen_is_told_from_who_does_not_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    drop(listener);
    let dialler = Dialler::new(Reach::Anywhere).unwrap();
    assert_eq!(post(&dialler, &format!("http://{at}/x")).await, Err("cannot_connect"));
    assert_eq!(post(&dialler, "not a url").await, Err("url_not_valid"));
}
