//! Why the engine says no. Every refusal has a stable code and changes nothing.

use serde::{Deserialize, Serialize};

/// A business refusal. The text is for the caller and names no internals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The tenant is not active.
    #[error("this account cannot start new payments")]
    TenantNotActive,
    /// The tenant has no price or no limit for this currency, or the pair is not served.
    #[error("this currency pair is not offered to you")]
    CorridorNotOffered,
    /// The price feed is too old to quote from.
    #[error("no current exchange rate; try again in a moment")]
    RateStale,
    /// No provider can carry this at the moment: switched off, without answer, or without enough of a currency.
    #[error("no provider can carry this at the moment")]
    RouteNotAvailable,
    /// The amount comes to less than one minor unit on the other side.
    #[error("the amount is too small to convert")]
    AmountTooSmall,
    /// The amount is above what can be counted.
    #[error("the amount is out of range")]
    AmountOutOfRange,
    /// No such quote.
    #[error("no such quote")]
    QuoteNotFound,
    /// The quote's currency is not paid out in the beneficiary's country.
    #[error("the quote's destination currency is not paid out in this country")]
    CurrencyNotPaidHere,
    /// The quote's time is over.
    #[error("the quote has expired; ask for a new one")]
    QuoteExpired,
    /// Another transfer has used the quote.
    #[error("the quote has been used")]
    QuoteUsed,
    /// The available position does not cover the debit.
    #[error("the available balance does not cover the debit")]
    InsufficientFunds,
    /// Above the limit of one transfer.
    #[error("above your limit for one transfer")]
    LimitPerTransfer,
    /// Above the limit of one day.
    #[error("above your limit for one day")]
    LimitPerDay,
    /// Above the limit of transfers that have not ended.
    #[error("above your limit for transfers in progress")]
    LimitPending,
    /// No such transfer.
    #[error("no such transfer")]
    TransferNotFound,
    /// The on-ramp may have been instructed, or the transfer has ended.
    #[error("the transfer can no longer be cancelled")]
    NotCancellable,
    /// It waits for nobody's decision.
    #[error("this payment is not under review")]
    NotUnderReview,
    /// What is known of the payment does not allow this decision.
    #[error("this decision does not fit what is known of the payment")]
    DecisionNotPossible,
    /// A decision needs two different people.
    #[error("a decision needs the agreement of a second person")]
    SecondPersonNeeded,
    /// The reference has been used before.
    #[error("this reference has been used before")]
    ReferenceUsed,
    /// The same idempotency key came with another request.
    #[error("this Idempotency-Key was used for a different request")]
    IdempotencyConflict,
    /// Withdrawals are paid in currencies that our bank keeps.
    #[error("this currency cannot be withdrawn")]
    NotWithdrawable,
    /// Nothing is delivered to a webhook endpoint that is disabled or deleted.
    #[error("the webhook endpoint is not enabled")]
    EndpointDisabled,
    /// The event is on its way to the webhook endpoint already.
    #[error("the event is pending for this webhook endpoint already")]
    DeliveryPending,
}

impl Refusal {
    /// The stable code in problem documents.
    pub fn code(self) -> &'static str {
        match self {
            Self::TenantNotActive => "tenant_not_active",
            Self::CorridorNotOffered => "corridor_not_offered",
            Self::RateStale => "rate_stale",
            Self::RouteNotAvailable => "route_not_available",
            Self::AmountTooSmall => "amount_too_small",
            Self::AmountOutOfRange => "amount_out_of_range",
            Self::QuoteNotFound => "quote_not_found",
            Self::CurrencyNotPaidHere => "currency_not_paid_here",
            Self::QuoteExpired => "quote_expired",
            Self::QuoteUsed => "quote_used",
            Self::InsufficientFunds => "insufficient_funds",
            Self::LimitPerTransfer => "limit_per_transfer",
            Self::LimitPerDay => "limit_per_day",
            Self::LimitPending => "limit_pending",
            Self::TransferNotFound => "transfer_not_found",
            Self::NotCancellable => "not_cancellable",
            Self::NotUnderReview => "not_under_review",
            Self::DecisionNotPossible => "decision_not_possible",
            Self::SecondPersonNeeded => "second_person_needed",
            Self::ReferenceUsed => "reference_used",
            Self::IdempotencyConflict => "idempotency_conflict",
            Self::NotWithdrawable => "not_withdrawable",
            Self::EndpointDisabled => "endpoint_disabled",
            Self::DeliveryPending => "delivery_pending",
        }
    }
}
