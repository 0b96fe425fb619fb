//! Counters that alerts watch (`deploy/alerts/settla.yml`). They are there from the start, at zero: Prometheus
//! sees an increase only between two measurements, so a counter that is first seen at one has never increased.

/// Workers that ended without being told to.
pub(crate) const WORKERS_DIED: &str = "settla_workers_died_total";
/// Settlements that were reverted on chain, at depth.
pub(crate) const SETTLEMENTS_REVERTED: &str = "settla_settlements_reverted_total";
/// Credits at the bank that no top-up announced.
pub(crate) const BANK_CREDITS_UNMATCHED: &str = "settla_bank_credits_unmatched_total";
/// Attempts to deliver a webhook, by `result`: [`DELIVERED`] or [`NOT_DELIVERED`].
pub(crate) const WEBHOOK_ATTEMPTS: &str = "settla_webhook_attempts_total";
/// See [`WEBHOOK_ATTEMPTS`].
pub(crate) const DELIVERED: &str = "delivered";
/// See [`WEBHOOK_ATTEMPTS`].
pub(crate) const NOT_DELIVERED: &str = "not_delivered";

/// Sets what has not been counted yet to zero.
pub(crate) fn start() {
    for name in [WORKERS_DIED, SETTLEMENTS_REVERTED, BANK_CREDITS_UNMATCHED] {
        metrics::counter!(name).increment(0);
    }
    for result in [DELIVERED, NOT_DELIVERED] {
        metrics::counter!(WEBHOOK_ATTEMPTS, "result" => result).increment(0);
    }
}
