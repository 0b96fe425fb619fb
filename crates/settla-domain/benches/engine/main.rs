//! What the engine costs, on one processor and without a database: `cargo bench -p settla-domain`.
//!
//! Whatever is measured has first been done at the desk of the engine's tests, which audits books, positions, limits and
//! effects; what the measured code makes of it has to be the same. So no refusal is measured by accident.

// The desk names the engine's modules as it does within the engine: `crate::…`.
use settla_domain::*;

#[path = "../../src/decide/tests/audit.rs"]
mod audit;
#[expect(dead_code, reason = "the engine's tests need more of it")]
#[path = "../../src/decide/tests/books.rs"]
mod books;
#[expect(dead_code, reason = "the engine's tests need more of it")]
#[path = "../../src/decide/tests/commands.rs"]
mod commands;
#[expect(dead_code, reason = "the engine's tests need more of it")]
#[path = "../../src/decide/tests/desk.rs"]
mod desk;
#[path = "../../src/decide/tests/explained.rs"]
mod explained;
#[path = "../../src/decide/tests/guard.rs"]
mod guard;

mod applied;
mod decided;
mod payment;
mod reserved;

/// The platform's.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    divan::main();
}
