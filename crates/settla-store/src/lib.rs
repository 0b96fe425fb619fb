//! Postgres: migrations, roles, tenant-scoped transactions, repositories, and the batch runner's SQL.
//!
//! Each kind of work has a database role of its own and so a pool of its own ([`Store`]); what a role may see
//! is decided by row-level security, not by the care of a query. This crate decides nothing: it loads what a
//! decision needs and writes down what was decided.

pub mod batch;
pub mod books;
mod bounded;
pub mod data;
mod error;
pub mod inbox;
pub mod operator;
pub mod outbox;
pub mod pace;
mod pool;
pub mod read;
pub mod reconcile;
pub mod review;
pub mod routes;
mod row;
pub mod set_aside;
pub mod settlement;
pub mod tenant_tx;
pub mod together;
pub mod webhook;

pub use bounded::BoundedPool;
pub use error::StoreError;
pub use pool::{Store, StoreConfig};
