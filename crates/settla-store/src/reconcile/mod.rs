//! Reconciliation's side of the database: one consistent look at our books ([`Snapshot`]), and what it keeps of its own
//! ([`Turn`]): folds of the ledger, what waits for its other side, and breaks.

mod breaks;
mod keep;
mod snapshot;
mod turn;

pub use breaks::{BreakRow, Listed, compared, list, open_by_kind};
pub use keep::{Checkpoint, Fold, Item, Kept, Side, load};
pub use snapshot::{Effect, LedgerRow, Snapshot, Stuck};
pub use turn::{Turn, Update, claim};
