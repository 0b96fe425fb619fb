//! What people decide about a payment that no machine can settle.

use crate::tenant::TenantNo;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The decision. Each stands for something that people have found out, and moves the money accordingly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum Decision {
    /// It can go on from where it stopped: the step is tried again under its own id, after asking whether it was done.
    Retry,
    /// It will not be paid: the tenant gets back what its money has become. What the other side owes us for it stays in
    /// our books as our claim.
    Refund,
    /// It was paid.
    Complete {
        /// The other side's reference of the payment, printable ASCII.
        reference: String,
    },
}

impl Decision {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Refund => "refund",
            Self::Complete { .. } => "complete",
        }
    }
}

/// A decision that two people stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// Whose payment.
    pub tenant: TenantNo,
    /// The transfer or withdrawal.
    pub subject: Uuid,
    /// What is to be done.
    pub decision: Decision,
    /// Who proposed it.
    pub proposed_by: String,
    /// Who agreed: somebody else.
    pub approved_by: String,
}
