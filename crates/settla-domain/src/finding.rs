//! What workers found out about an effect. There is no finding for "unknown": a time-out is followed by an
//! enquiry until one of these is known.

use crate::id::BatchId;
use crate::money::Money;
use crate::quote::SourcedRate;

/// The reason of a refusal that no provider has made: nothing was asked of it, because operators have switched it off.
pub const PROVIDER_OFF: &str = "provider_off";

/// What a provider would give for tokens at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaleOffer {
    /// The provider.
    pub provider: String,
    /// Its rate, from the stablecoin into the currency of the refund.
    pub rate: SourcedRate,
}

/// A fact about an effect, from the provider, the bank or the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The provider has taken the order; the result will follow.
    Accepted,
    /// The on-ramp's tokens are in our wallet, seen on chain at depth.
    Delivered {
        /// How much arrived for this order.
        amount: Money,
        /// The transaction.
        tx: String,
    },
    /// Our tokens are at the off-ramp, seen on chain at depth, and it knows which are for whom.
    Settled {
        /// The batch.
        batch: BatchId,
        /// The transaction.
        tx: String,
    },
    /// The off-ramp paid.
    PaidOut {
        /// What it paid.
        amount: Money,
        /// Its reference.
        reference: String,
    },
    /// The off-ramp will not pay and is sending the tokens back.
    Returning {
        /// Its reason, a stable code.
        reason: String,
    },
    /// The tokens of a refused payout are back in our wallet, seen on chain at depth.
    Returned {
        /// How much came back.
        amount: Money,
        /// The transaction.
        tx: String,
        /// The off-ramp's reason.
        reason: String,
        /// Who would buy the tokens now, if anybody.
        offer: Option<SaleOffer>,
    },
    /// The bank paid the withdrawal.
    PaymentExecuted,
    /// An attempt to start it was refused, or not made. That says nothing of other attempts: it counts only as long as
    /// this is the last one, since whoever comes later may have started it.
    NotStarted {
        /// The reason, a stable code.
        reason: String,
        /// The attempt's number, as it was claimed.
        attempt: i32,
    },
    /// Definitely refused, and nothing left our hands.
    Refused {
        /// The reason, a stable code.
        reason: String,
    },
    /// It cannot be settled by machine: attempts or time are used up with the outcome unclear.
    Unresolved {
        /// What is unclear, a stable code.
        reason: String,
    },
}
