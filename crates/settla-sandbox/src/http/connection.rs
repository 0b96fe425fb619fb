//! A connection that a handler can close without answering: how a lost request and a missing answer look on the wire.

use std::{
    net::{Shutdown, SocketAddr, TcpStream as StdTcpStream},
    os::fd::AsFd,
    sync::Arc,
    time::Duration,
};

use axum::{
    extract::connect_info::Connected,
    http::StatusCode,
    serve::{IncomingStream, Listener},
};
use tokio::net::{TcpListener, TcpStream};

use super::Problem;
use crate::stop::Stop;

/// Longest time that an answer is held back before the connection is closed.
const HOLD_MAX: Duration = Duration::from_secs(300);
/// How long a closed connection's handler waits to be dropped with it.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// A second handle on the socket of a request.
#[derive(Clone)]
pub(crate) struct Connection(Option<Arc<StdTcpStream>>);

/// Accepts connections that send small answers at once: waiting to fill a packet would cost 40 ms each.
pub(super) struct PromptListener(pub(super) TcpListener);

impl Listener for PromptListener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        (stream, address)
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Connected<IncomingStream<'_, PromptListener>> for Connection {
    fn connect_info(stream: IncomingStream<'_, PromptListener>) -> Self {
        // Without a second handle (the process is out of descriptors) the request is answered with an error instead.
        Self(stream.io().as_fd().try_clone_to_owned().ok().map(|fd| Arc::new(StdTcpStream::from(fd))))
    }
}

/// Closes the connection. Returns, with an error for nobody, only if the server does not notice.
pub(super) async fn close_unanswered(connection: &Connection) -> Problem {
    if let Some(stream) = &connection.0
        && stream.shutdown(Shutdown::Both).is_ok()
    {
        // The server reads the end of the stream and drops this future with the connection.
        tokio::time::sleep(CLOSE_MAX).await;
    }
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "not_closed", "The connection should have been closed here.")
}

/// Holds the answer until the event; if that does not come in time, or the sandbox stops, closes the connection.
/// The caller's patience ends it too: its hanging up drops the handler.
pub(super) async fn hold<T>(
    connection: &Connection,
    stop: &Stop,
    event: impl Future<Output = T>,
) -> Result<T, Problem> {
    match stop.or(tokio::time::timeout(HOLD_MAX, event)).await {
        Some(Ok(output)) => Ok(output),
        Some(Err(_)) | None => Err(close_unanswered(connection).await),
    }
}
