//! The batch runner on a real Postgres: its answers, its contention, its cost on the wire, and what it makes of
//! lost answers and a killed database.

mod ground;
mod proxy;
#[path = "../../../settla-store/tests/support/mod.rs"]
mod support;

mod answers;
mod commits;
mod contention;
mod crash;
mod lanes;
mod one_batch;
mod pooler;
mod wire;
