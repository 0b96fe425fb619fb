//! Settlement on a real database and a real chain whose blocks the test makes, one round at a time.

mod batches;
mod chain;
mod ground;
mod reorgs;
mod switched_off;

#[path = "../../../../settla-store/tests/support/mod.rs"]
#[allow(dead_code, reason = "shared with the tests of other crates; each uses its part")]
mod support;
