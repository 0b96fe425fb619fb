//! Counters that alerts watch (`deploy/alerts/settla.yml`). They are there from the start, at zero: Prometheus
//! sees an increase only between two measurements, so a counter that is first seen at one has never increased.

use settla_evm::rpc::DISAGREEMENTS_METRIC;

/// Workers that ended without being told to.
pub(crate) const WORKERS_DIED: &str = "settla_workers_died_total";
/// Settlements whose nonce was used up at depth without moving tokens, by `failure`: [`FAILURES`].
pub(crate) const SETTLEMENTS_FAILED: &str = "settla_settlements_failed_total";
/// Reverted by the token, or the nonce was taken by a transaction that is none of ours.
pub(crate) const FAILURES: [&str; 2] = ["reverted", "nonce_taken"];
/// Fees raised for a settlement that got into no block.
pub(crate) const SETTLEMENTS_BUMPED: &str = "settla_settlements_bumped_total";
/// Settlements that were done and are no longer on chain.
pub(crate) const SETTLEMENTS_LOST: &str = "settla_settlements_lost";
/// 1 while batches wait because the wallet cannot pay for gas.
pub(crate) const SETTLEMENT_HELD: &str = "settla_settlement_held";
/// How many settlements the wallet can pay the gas of, at the present price.
pub(crate) const GAS_TRANSACTIONS_LEFT: &str = "settla_gas_transactions_left";
/// Successes that were reported of effects that had ended otherwise.
pub(crate) const CONTRADICTIONS: &str = "settla_contradictions_total";
/// When all of the bank's statement had been applied last, Unix seconds.
pub(crate) const STATEMENT_APPLIED: &str = "settla_statement_applied_timestamp_seconds";
/// Lines of the bank's statement that could not be read and wait for people.
pub(crate) const STATEMENT_LINES_SET_ASIDE: &str = "settla_statement_lines_set_aside";
/// Credits at the bank that no top-up announced.
pub(crate) const BANK_CREDITS_UNMATCHED: &str = "settla_bank_credits_unmatched_total";
/// Attempts to deliver a webhook, by `result`: [`DELIVERED`] or [`NOT_DELIVERED`].
pub(crate) const WEBHOOK_ATTEMPTS: &str = "settla_webhook_attempts_total";
/// See [`WEBHOOK_ATTEMPTS`].
pub(crate) const DELIVERED: &str = "delivered";
/// See [`WEBHOOK_ATTEMPTS`].
pub(crate) const NOT_DELIVERED: &str = "not_delivered";
/// When old rows had been swept and partitions looked after last, Unix seconds.
pub(crate) const DATA_TENDED: &str = "settla_data_tended_timestamp_seconds";
/// Rows swept because they need not be kept any more, by `table`.
pub(crate) const SWEPT_ROWS: &str = "settla_swept_rows_total";

/// Sets what has not been counted yet to zero.
pub(crate) fn start() {
    for name in [WORKERS_DIED, CONTRADICTIONS, SETTLEMENTS_BUMPED, BANK_CREDITS_UNMATCHED, DISAGREEMENTS_METRIC] {
        metrics::counter!(name).increment(0);
    }
    for failure in FAILURES {
        metrics::counter!(SETTLEMENTS_FAILED, "failure" => failure).increment(0);
    }
    for result in [DELIVERED, NOT_DELIVERED] {
        metrics::counter!(WEBHOOK_ATTEMPTS, "result" => result).increment(0);
    }
}
