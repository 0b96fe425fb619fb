//! The REST gateway: who may ask for what, in which form, and how every answer looks.
//!
//! A request passes, in this order: request id and span, panic guard, load shedding and time limit, then what its row
//! of the [route table](routes) says (key, scope, query, `Idempotency-Key`), then its handler, which reads the body and
//! calls one method of [`settla_port::Platform`]. Every error leaves as an RFC 9457 problem document.
//!
//! **Costs**: one `authenticate` and one call of the port a request; no other I/O. Bodies are read whole, up to 64 KiB.
//!
//! **Bounds**: connections, requests at once, bytes of headers and bodies, time for headers, body, request, connection
//! and drain are all in [`Limits`]; nothing waits without one of them. Requests that are not HTTP (headers too large or
//! too slow) are cut or refused by the HTTP library, before anything here could word a problem document.
//!
//! **Never**: links the store, decides anything about money, takes a tenant from anywhere but the key, or puts a body,
//! a header or a query string into a log.

mod admission;
mod answer;
mod api;
mod body;
mod docs;
mod endpoint;
mod gateway;
mod limits;
mod observe;
mod openapi;
mod problem;
mod rate_limit;
mod request_id;
pub mod sample;
mod serve;
mod table;
mod telemetry;

pub use endpoint::{Access, RouteInfo};
pub use gateway::{Gateway, router};
pub use limits::Limits;
pub use openapi::openapi_json;
pub use serve::{Drained, serve};
pub use table::routes;
pub use telemetry::{LATENCY_BUCKETS_S, LATENCY_METRIC, REQUESTS_METRIC, metrics_router};
