//! `settla`: every role of the platform as a subcommand, and the only place where its parts are wired.
//!
//! A library besides, so that the end-to-end tests use the same local system, client and reconciliation as the
//! commands do.

pub mod bench;
pub mod data;
pub mod demo;
pub mod dev;
pub mod doctor;
pub mod failure;
pub mod incident;
pub mod ledger;
pub mod local;
mod logging;
pub mod operator;
pub mod outbox;
mod platform;
pub mod reconcile;
pub mod review;
pub mod route;
pub mod sandbox;
pub mod ui;
