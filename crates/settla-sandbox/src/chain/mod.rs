//! Tokens out of a provider's wallet: members are collected into batches, one token transfer a batch.

mod courier;
mod outflow;
mod wallet;

pub(crate) use courier::Courier;
pub(crate) use outflow::{Outflow, OutflowRecord, Outflowing};
pub(crate) use wallet::{Chain, Wallet};
