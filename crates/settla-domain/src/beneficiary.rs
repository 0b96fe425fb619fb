//! Who is paid. Only the masked form exists in this crate; the clear one is sealed before a command is made.

use serde::{Deserialize, Serialize};

/// What may be shown of a beneficiary: `J***`, `****4567`, and the bank's code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaskedBeneficiary {
    /// First letter and asterisks.
    pub name: String,
    /// Asterisks and the last four digits.
    pub account: String,
    /// ISO 3166-1 alpha-2.
    pub country: String,
}
