//! Limits of a tenant in one source currency, and what has been used of them.

use serde::{Deserialize, Serialize};

/// Bounds on the money a tenant may send, in minor units of one source currency, fees included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The most that one transfer may debit.
    pub per_transfer: i64,
    /// The most that the transfers created on one UTC day may debit. Cancelled ones are given back.
    pub per_day: i64,
    /// The most that transfers which have not ended may debit together.
    pub pending: i64,
}

/// What has been used. Kept with the position and changed under the tenant's lock, so it is exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Days since the epoch (UTC) that `day_total` is about.
    pub day: i32,
    /// Debits of transfers created on `day`, minor units.
    pub day_total: i128,
    /// Debits of transfers that have not ended, minor units.
    pub pending: i128,
}

impl Usage {
    /// The total of `day`: zero when the stored one is of another day.
    pub fn on_day(&self, day: i32) -> i128 {
        if self.day == day { self.day_total } else { 0 }
    }
}
