//! The sandbox against a real EVM node: what its contract promises, over HTTP only.

mod anvil;
mod hook;
mod world;

mod bank;
mod idempotency;
mod kill;
mod magic_offramp;
mod magic_onramp;
mod own_account;
mod providers;
mod restart;
mod settlement;
