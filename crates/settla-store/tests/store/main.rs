//! The store on a real Postgres: migrations, isolation, constraints, and the tables of work.

mod api_keys;
mod apply;
mod life;
#[path = "../support/mod.rs"]
mod support;

mod constraints;
mod data;
mod failures;
mod hand_over;
mod inbox;
mod isolation;
mod memory;
mod migrations;
mod outbox;
mod reads;
mod reconcile;
mod review;
mod routes;
mod set_aside;
mod settlement;
mod silence;
mod webhook;
