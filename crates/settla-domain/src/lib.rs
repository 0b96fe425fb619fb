//! The vocabulary and the rules of settlement: money, ids, quotes, transfers, positions, postings, and
//! [`decide`], the only place where a transfer changes state.
//!
//! It costs microseconds and allocates little. It never does I/O, is never async, and knows neither a clock
//! nor randomness: time and ids come in as arguments, so the same command on the same state always gives the
//! same decision.

pub mod account;
pub mod bank_id;

pub mod beneficiary;
pub mod decide;
pub mod effect;
pub mod event;
pub mod fee;
pub mod finding;
pub mod id;
pub mod limit;
pub mod money;
pub mod position;
pub mod posting;
pub mod quote;
pub mod rate;
pub mod refusal;
pub mod review;
pub mod tenant;
pub mod time;
pub mod topup;
pub mod trail;
pub mod transfer;
pub mod withdrawal;
pub mod world;
