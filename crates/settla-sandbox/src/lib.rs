//! The outside world, for demo and tests: a bank, on-ramps, off-ramps and an FX feed, each a real HTTP server.
//!
//! **For:** whatever settles real money against banks and providers can be run against these instead, over the same
//! kind of wire: its own storage and books a server, idempotency keys, signed webhooks, tokens on a real chain, and
//! every unhappy outcome on demand. The contract, with the magic amounts, is `docs/sandbox.md`.
//!
//! **Costs:** a start is one share of an `fdatasync` before its answer (group commit), an order two or three more in the
//! background; a delivery or return is one transaction for up to a thousand members. All state is in memory and is
//! rebuilt from the journals at start.
//!
//! **Never:** moves money twice or forgets that it moved, whenever it is killed; pays for tokens that it has not seen;
//! is linked in a production role.

mod bank;
mod book;
mod chain;
mod clock;
mod config;
mod control;
mod error;
mod fx;
mod http;
mod lock;
mod magic;
mod money;
mod offramp;
mod onramp;
mod provider;
mod sandbox;
mod schedule;
mod setup;
mod stop;
mod webhook;

pub use config::{Funder, Keys, Ports, SandboxConfig};
pub use error::{SandboxError, StoreError};
pub use provider::{ProviderSettings, Side};
pub use sandbox::{Running, RunningProvider, Sandbox};
