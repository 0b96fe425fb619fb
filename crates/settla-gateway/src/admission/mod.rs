//! What stands before every handler: load, time, key, address, rate, scope, query, idempotency key. In this order, so that an
//! unauthenticated caller learns nothing of what a request should have looked like.

mod address;
mod idempotency;
mod query;
mod session;

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use settla_port::rate_limit::RateClass;
use tokio::time::timeout;

pub(crate) use address::Peer;
pub(crate) use idempotency::{HEADER as IDEMPOTENCY_KEY, IdempotencyKey, fingerprint};
pub(crate) use query::{Param, Query, invalid};
pub(crate) use session::Session;

use crate::endpoint::Access;
use crate::gateway::{Gateway, Shared};
use crate::problem::Problem;

/// What one row of the table asks of a request.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) shared: Arc<Shared>,
    pub(crate) access: Access,
    pub(crate) class: RateClass,
    pub(crate) query: &'static [Param],
    pub(crate) mutates: bool,
}

/// Sheds what is too much, ends what takes too long, and lets in what the row allows. A mutation that is cut off here may
/// still be carried out; its idempotency key finds out.
pub(crate) async fn guard(State(gate): State<Gate>, request: Request, next: Next) -> Result<Response, Problem> {
    if gate.access == Access::Probe {
        return admit(&gate, request, next).await;
    }
    let shared = &gate.shared;
    let _slot = shared
        .slots
        .try_acquire()
        .map_err(|_| Problem::unavailable("overloaded", "Too many requests at once; try again in a moment.", 1))?;
    timeout(shared.gateway.limits.request_time_max, admit(&gate, request, next)).await.unwrap_or_else(|_| {
        Err(Problem::new(
            StatusCode::GATEWAY_TIMEOUT,
            "timeout",
            "The request took too long. If it was to change something, repeat it with the same Idempotency-Key.",
        ))
    })
}

/// Lets in what the row allows, and hands on what was learned on the way.
async fn admit(gate: &Gate, mut request: Request, next: Next) -> Result<Response, Problem> {
    let Access::Key(scope) = gate.access else {
        return proceed(gate, request, next).await;
    };
    let session = Session::open(&gate.shared.gateway, request.headers()).await?;
    // Before it counts: a stolen key that is used from elsewhere must not use up its owner's requests.
    session.require_address(client_address(&gate.shared.gateway, &request)?)?;
    let caller = &session.caller;
    let limit = caller.rate_limits().of(gate.class);
    let standing = gate.shared.rates.take(caller.environment(), caller.tenant(), gate.class, limit);
    let answer = if !standing.admitted {
        Err(Problem::rate_limited(gate.class.name(), standing.frees_in_s))
    } else if let Err(forbidden) = session.require(scope) {
        Err(forbidden)
    } else {
        request.extensions_mut().insert(session);
        proceed(gate, request, next).await
    };
    // Whatever the answer, it tells how the tenant stands.
    let mut response = answer.into_response();
    standing.write(response.headers_mut());
    Ok(response)
}

fn client_address(gateway: &Gateway, request: &Request) -> Result<IpAddr, Problem> {
    let Some(Peer(peer)) = request.extensions().get::<Peer>() else {
        tracing::error!("a request came without the other end of its connection");
        return Err(Problem::internal());
    };
    Ok(address::client_address(*peer, request.headers(), &gateway.trusted_proxies))
}

async fn proceed(gate: &Gate, mut request: Request, next: Next) -> Result<Response, Problem> {
    let query = Query::strict(request.uri(), gate.query)?;
    request.extensions_mut().insert(query);
    if matches!(gate.access, Access::Key(_)) && gate.mutates {
        let key = IdempotencyKey::required(request.headers())?;
        request.extensions_mut().insert(key);
    }
    Ok(next.run(request).await)
}
