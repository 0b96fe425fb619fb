//! The store on a real Postgres: migrations, isolation, constraints, and the tables of work.

mod apply;
#[path = "../support/mod.rs"]
mod support;

mod migrations;
