//! The serve loop. `axum::serve` cannot bound how slowly a client sends its head, how long a connection lives, or how
//! long a stop takes; this one does.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

use crate::admission::Peer;
use crate::limits::Limits;

/// Pause after a failed accept: usually the process is out of descriptors, and asking again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The HTTP library panics on a smaller buffer.
const HEAD_BYTES_MIN: usize = 8_192;

/// How a stop went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut because they did not end within [`Limits::drain_time_max`].
    pub cut: usize,
}

/// Serves until `stop` completes, then accepts nothing more, lets the requests in flight end, and cuts what is left
/// after [`Limits::drain_time_max`].
pub async fn serve(listener: TcpListener, app: Router, limits: &Limits, stop: impl Future<Output = ()>) -> Drained {
    let mut stop = pin!(stop);
    let (stopping, stopped) = watch::channel(false);
    let slots = Arc::new(Semaphore::new(limits.connections_max));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        let Some((stream, peer, slot)) = accepted else { continue };
        connections.spawn(connection(stream, peer, slot, app.clone(), limits.clone(), stopped.clone()));
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    stopping.send_replace(true);
    let drained = timeout(limits.drain_time_max, async { while connections.join_next().await.is_some() {} }).await;
    let cut = if drained.is_ok() { 0 } else { connections.len() };
    connections.shutdown().await;
    tracing::info!(cut, "listener drained");
    Drained { cut }
}

/// The next connection, once there is room for one: until then clients wait in the kernel's queue.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> Option<(TcpStream, Peer, OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, at)) => Some((stream, Peer(at.ip()), slot)),
        Err(error) => {
            tracing::warn!(%error, "accept failed");
            sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: Peer,
    _slot: OwnedSemaphorePermit,
    app: Router,
    limits: Limits,
    mut stopped: watch::Receiver<bool>,
) {
    // Small answers: waiting to fill a packet would cost 40 ms each.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let service = app.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        request
    });
    let mut served = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head_time_max)
            .max_buf_size(limits.head_bytes_max.max(HEAD_BYTES_MIN))
            .max_headers(limits.headers_max)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
    );
    tokio::select! {
        result = served.as_mut() => return ended(result),
        _ = stopped.wait_for(|stopped| *stopped) => {}
        () = sleep(limits.connection_age_max) => {}
    }
    served.as_mut().graceful_shutdown();
    match timeout(limits.drain_time_max, served).await {
        Ok(result) => ended(result),
        Err(_) => tracing::debug!("connection cut: it did not end in time"),
    }
}

/// What a client does to its connection is its own business, of interest only when looking for something.
fn ended(result: hyper::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%error, "connection ended");
    }
}
