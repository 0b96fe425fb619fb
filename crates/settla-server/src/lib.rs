//! The server: the batch runner and the use cases behind the [`Platform`](settla_port::Platform) port.
//!
//! It resolves a key to its tenant, environment and scopes by itself and never trusts a tenant that it is
//! told. Personal data is sealed before a command is made; nothing slow happens inside a batch.

pub mod clock;
mod cursor;
pub mod keyring;
pub mod parties;
pub mod route_facts;
pub mod runner;
mod usecase;
mod view;

pub use usecase::{Corridors, Probe, Server, ServerConfig, WebhookRules, webhook_secret_label};
