//! The alert rules: each fires by its own measurements and by no others', and a transfer that is really stuck
//! makes the one of its state fire.

mod common;

use common::Fixture;
use common::metrics::{scrape, wait_until};
use common::promtool::{self, Case, rules};
use settla::local::{Amount, System};
use settla_domain::effect::EffectKind;
use settla_domain::transfer::TransferState;
use sqlx::{Connection, PgConnection, Row};
use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

/// What every healthy node reports.
const ALIVE: (&str, &str) = ("settla_gauges_read_timestamp_seconds", "0+30x40");
const READY_5XX: &str = r#"settla_http_requests_total{route="/health/ready",method="GET",status="5xx"}"#;
const ANSWERED: &str = r#"settla_http_requests_total{route="/v1/quotes",method="POST",status="2xx"}"#;
const ANSWERED_5XX: &str = r#"settla_http_requests_total{route="/v1/quotes",method="POST",status="5xx"}"#;
const DELIVERED: &str = r#"settla_webhook_attempts_total{result="delivered"}"#;
const NOT_DELIVERED: &str = r#"settla_webhook_attempts_total{result="not_delivered"}"#;

/// Series with their values over 20 minutes.
type Measured = &'static [(&'static str, &'static str)];

/// By alert: measurements that are just good enough, and such that are not.
const BOUNDS: [(&str, Measured, Measured); 40] = [
    (
        "SettlaTransferStuckInCreated",
        &[(r#"settla_transfer_oldest_seconds{state="CREATED"}"#, "60+0x40")],
        &[(r#"settla_transfer_oldest_seconds{state="CREATED"}"#, "61+0x40")],
    ),
    (
        "SettlaTransferStuckInFunded",
        &[(r#"settla_transfer_oldest_seconds{state="FUNDED"}"#, "300+0x40")],
        &[(r#"settla_transfer_oldest_seconds{state="FUNDED"}"#, "301+0x40")],
    ),
    (
        "SettlaTransferStuckInOnRamping",
        &[(r#"settla_transfer_oldest_seconds{state="ON_RAMPING"}"#, "1800+0x40")],
        &[(r#"settla_transfer_oldest_seconds{state="ON_RAMPING"}"#, "1801+0x40")],
    ),
    (
        "SettlaTransferStuckInSettling",
        &[(r#"settla_transfer_oldest_seconds{state="SETTLING"}"#, "600+0x40")],
        &[(r#"settla_transfer_oldest_seconds{state="SETTLING"}"#, "601+0x40")],
    ),
    (
        "SettlaTransferStuckInOffRamping",
        &[(r#"settla_transfer_oldest_seconds{state="OFF_RAMPING"}"#, "3600+0x40")],
        &[(r#"settla_transfer_oldest_seconds{state="OFF_RAMPING"}"#, "3601+0x40")],
    ),
    (
        "SettlaTransferStuckInRefunding",
        &[(r#"settla_transfer_oldest_seconds{state="REFUNDING"}"#, "1800+0x40")],
        &[(r#"settla_transfer_oldest_seconds{state="REFUNDING"}"#, "1801+0x40")],
    ),
    (
        "SettlaTransferStuckInUnderReview",
        &[(r#"settla_transfer_oldest_seconds{state="UNDER_REVIEW"}"#, "7200+0x40")],
        &[(r#"settla_transfer_oldest_seconds{state="UNDER_REVIEW"}"#, "7201+0x40")],
    ),
    (
        "SettlaWithdrawalUnderReview",
        &[(r#"settla_withdrawal_oldest_seconds{state="UNDER_REVIEW"}"#, "7200+0x40")],
        &[(r#"settla_withdrawal_oldest_seconds{state="UNDER_REVIEW"}"#, "7201+0x40")],
    ),
    (
        "SettlaOutboxOnRampOld",
        &[(r#"settla_outbox_oldest_seconds{kind="on_ramp"}"#, "2400+0x40")],
        &[(r#"settla_outbox_oldest_seconds{kind="on_ramp"}"#, "2401+0x40")],
    ),
    (
        "SettlaOutboxSettleOld",
        &[(r#"settla_outbox_oldest_seconds{kind="settle"}"#, "900+0x40")],
        &[(r#"settla_outbox_oldest_seconds{kind="settle"}"#, "901+0x40")],
    ),
    (
        "SettlaOutboxOffRampOld",
        &[(r#"settla_outbox_oldest_seconds{kind="off_ramp"}"#, "4500+0x40")],
        &[(r#"settla_outbox_oldest_seconds{kind="off_ramp"}"#, "4501+0x40")],
    ),
    (
        "SettlaOutboxBankPaymentOld",
        &[(r#"settla_outbox_oldest_seconds{kind="bank_payment"}"#, "3600+0x40")],
        &[(r#"settla_outbox_oldest_seconds{kind="bank_payment"}"#, "3601+0x40")],
    ),
    (
        "SettlaOutboxSellBackOld",
        &[(r#"settla_outbox_oldest_seconds{kind="sell_back"}"#, "7200+0x40")],
        &[(r#"settla_outbox_oldest_seconds{kind="sell_back"}"#, "7201+0x40")],
    ),
    (
        "SettlaPricesRefused",
        &[(r#"settla_prices_refused_total{provider="solano"}"#, "3+0x40")],
        &[(r#"settla_prices_refused_total{provider="solano"}"#, "0+0x20 1+0x20")],
    ),
    (
        "SettlaOutboxSetAside",
        &[(r#"settla_outbox_set_aside{kind="settle"}"#, "0+0x40")],
        &[(r#"settla_outbox_set_aside{kind="settle"}"#, "1+0x40")],
    ),
    (
        "SettlaStatementLineSetAside",
        &[("settla_statement_lines_set_aside", "0+0x40")],
        &[("settla_statement_lines_set_aside", "1+0x40")],
    ),
    (
        "SettlaCircuitOpen",
        &[(r#"settla_circuit_open{provider="harbour"}"#, "0+0x40")],
        &[(r#"settla_circuit_open{provider="harbour"}"#, "1+0x40")],
    ),
    // What has happened long ago does not count for ever.
    (
        "SettlaCommandFailed",
        &[("settla_commands_failed_total", "5+0x40")],
        &[("settla_commands_failed_total", "0+0x20 1+0x20")],
    ),
    (
        "SettlaSettlementFailed",
        &[(r#"settla_settlements_failed_total{failure="reverted"}"#, "5+0x40")],
        &[(r#"settla_settlements_failed_total{failure="reverted"}"#, "0+0x20 1+0x20")],
    ),
    ("SettlaSettlementLost", &[("settla_settlements_lost", "0+0x40")], &[("settla_settlements_lost", "1+0x40")]),
    ("SettlaSettlementHeld", &[("settla_settlement_held", "0+0x40")], &[("settla_settlement_held", "1+0x40")]),
    ("SettlaGasLow", &[("settla_gas_transactions_left", "200+0x40")], &[("settla_gas_transactions_left", "199+0x40")]),
    (
        "SettlaSettlementFeesRaised",
        &[("settla_settlements_bumped_total", "5+0x20 14+0x20")],
        &[("settla_settlements_bumped_total", "5+0x20 16+0x20")],
    ),
    (
        "SettlaRpcDisagreement",
        &[("settla_rpc_disagreements_total", "5+0x40")],
        &[("settla_rpc_disagreements_total", "0+0x20 1+0x20")],
    ),
    (
        "SettlaContradiction",
        &[("settla_contradictions_total", "5+0x40")],
        &[("settla_contradictions_total", "0+0x20 1+0x20")],
    ),
    (
        "SettlaBooksDiffer",
        &[(r#"settla_reconciliation_breaks_open{kind="position_differs",book="ledger"}"#, "0+0x40")],
        &[(r#"settla_reconciliation_breaks_open{kind="position_differs",book="ledger"}"#, "1+0x40")],
    ),
    (
        "SettlaWorkBroken",
        &[(r#"settla_reconciliation_breaks_open{kind="effect_overdue",book="work"}"#, "0+0x40")],
        &[(r#"settla_reconciliation_breaks_open{kind="effect_overdue",book="work"}"#, "1+0x40")],
    ),
    (
        "SettlaReconciliationStale",
        &[(r#"settla_reconciliation_compared_timestamp_seconds{book="bank"}"#, "-900+30x40")],
        &[(r#"settla_reconciliation_compared_timestamp_seconds{book="bank"}"#, "-901+30x40")],
    ),
    (
        "SettlaStatementStale",
        &[("settla_statement_applied_timestamp_seconds", "-120+30x40")],
        &[("settla_statement_applied_timestamp_seconds", "-121+30x40")],
    ),
    (
        "SettlaBankCreditUnmatched",
        &[("settla_bank_credits_unmatched_total", "5+0x40")],
        &[("settla_bank_credits_unmatched_total", "0+0x20 1+0x20")],
    ),
    // But a dead worker stays dead.
    ("SettlaWorkerDead", &[("settla_workers_died_total", "0+0x40")], &[("settla_workers_died_total", "1+0x40")]),
    (
        "SettlaWebhooksFailing",
        &[(DELIVERED, "0+50x40"), (NOT_DELIVERED, "0+49x40")],
        &[(DELIVERED, "0+49x40"), (NOT_DELIVERED, "0+50x40")],
    ),
    (
        "SettlaWebhooksNeglected",
        &[("settla_webhook_neglected_seconds", "300+0x40")],
        &[("settla_webhook_neglected_seconds", "301+0x40")],
    ),
    ("SettlaNotReady", &[(READY_5XX, "5+0x40")], &[(READY_5XX, "0+1x40")]),
    (
        "SettlaServerErrors",
        &[(ANSWERED, "0+98x40"), (ANSWERED_5XX, "0+2x40")],
        &[(ANSWERED, "0+97x40"), (ANSWERED_5XX, "0+3x40")],
    ),
    (
        "SettlaGaugesStale",
        &[("settla_gauges_read_timestamp_seconds", "-60+30x40")],
        &[("settla_gauges_read_timestamp_seconds", "-61+30x40")],
    ),
    (
        "SettlaPartitionsShort",
        &[(r#"settla_partitions_ahead{table="events"}"#, "2+0x40")],
        &[(r#"settla_partitions_ahead{table="events"}"#, "1+0x40")],
    ),
    (
        "SettlaPartitionStrays",
        &[(r#"settla_partition_strays{table="outbox"}"#, "0+0x40")],
        &[(r#"settla_partition_strays{table="outbox"}"#, "1+0x40")],
    ),
    (
        "SettlaDataUntended",
        &[("settla_data_tended_timestamp_seconds", "-3600+30x40")],
        &[("settla_data_tended_timestamp_seconds", "-3601+30x40")],
    ),
    ("SettlaGaugesAbsent", &[ALIVE], &[]),
];

fn case(what: String, measured: Measured, firing: &[&str]) -> Case {
    let absent = what.starts_with("SettlaGaugesAbsent");
    let reports = measured.iter().any(|(series, _)| *series == ALIVE.0);
    let alive = (!reports && !absent).then_some(&ALIVE);
    let series =
        measured.iter().chain(alive).map(|(series, values)| ((*series).to_owned(), (*values).to_owned())).collect();
    Case { what, series, firing: firing.iter().map(|alert| (*alert).to_owned()).collect() }
}

#[test]
fn every_alert_fires_beyond_its_bound_and_by_nothing_else() {
    promtool::check_rules();
    let known: BTreeSet<String> = rules().into_iter().map(|rule| rule.alert).collect();
    let covered: BTreeSet<String> = BOUNDS.iter().map(|(alert, _, _)| (*alert).to_owned()).collect();
    assert_eq!(known, covered);
    let mut cases = Vec::new();
    for (alert, good, bad) in BOUNDS {
        cases.push(case(format!("{alert} within its bound"), good, &[]));
        cases.push(case(format!("{alert} beyond its bound"), bad, &[alert]));
    }
    promtool::check(&cases);
}

#[test]
fn every_alert_says_whose_it_is_and_what_to_do() {
    for rule in rules() {
        for part in ["expr:", "for:", "severity: P", "owner:", "summary:", "runbook:"] {
            assert!(rule.text.contains(part), "{} has no {part}", rule.alert);
        }
    }
}

#[test]
fn no_state_and_no_kind_of_work_is_left_unwatched() {
    let text: String = rules().into_iter().map(|rule| rule.text).collect();
    for state in TransferState::ALL.into_iter().filter(|state| !state.is_terminal()) {
        assert!(
            text.contains(&format!("settla_transfer_oldest_seconds{{state=\"{}\"}}", state.name())),
            "{state:?} has no age bound"
        );
    }
    for kind in EffectKind::ALL {
        assert!(
            text.contains(&format!("settla_outbox_oldest_seconds{{kind=\"{}\"}}", kind.name())),
            "{kind:?} has no age bound"
        );
    }
}

/// The sandbox, stopped in the middle of whatever it does; it goes on when this is dropped.
struct Frozen(u32);

impl Frozen {
    fn new(system: &System) -> Self {
        let pid = system.facts.pids.sandbox;
        signal(pid, "STOP");
        Self(pid)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        signal(self.0, "CONT");
    }
}

fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().unwrap();
    assert!(status.success());
}

/// Has the only open transfer be in its state since two hours before it came there. Returns the state.
async fn age(system: &System) -> TransferState {
    let mut database = PgConnection::connect(&system.facts.database_url).await.unwrap();
    let statement = "UPDATE settla.transfers SET updated_at = updated_at - interval '2 hours' WHERE state <> 'COMPLETED' RETURNING state";
    let rows = sqlx::query(statement).fetch_all(&mut database).await.unwrap();
    assert_eq!(rows.len(), 1);
    TransferState::from_name(rows[0].get("state")).unwrap()
}

#[tokio::test]
async fn a_stuck_transfer_fires_the_alert_of_its_state_and_no_other() {
    let fixture = Fixture::start("alerts", &[]).await;
    let system = &fixture.system;
    let client = system.client(0).unwrap();
    let quote = client.quote("GBP", "NGN", Amount::Source("25.00")).await.unwrap().success().unwrap();

    // The wallet gets its gas money when the workers run already.
    wait_until(system, "settla_gas_transactions_left", |left| left > 200.0).await;
    let healthy = wait_until(system, "settla_gauges_read_timestamp_seconds", |at| at > 0.0).await;
    for metric in rules().iter().flat_map(promtool::Rule::metrics) {
        assert!(
            healthy.series().any(|(series, _)| series.split('{').next() == Some(&metric)),
            "{metric} is not measured"
        );
    }
    promtool::check(&[Case::held("healthy", &healthy, &[])]);

    let frozen = Frozen::new(system);
    let transfer = client.transfer("stuck", quote["id"].as_str().unwrap(), "stuck").await.unwrap().success().unwrap();
    let open = wait_until(system, r#"settla_transfers_open{state="FUNDED"}"#, |open| open == 1.0).await;
    promtool::check(&[Case::held("open, and not for long", &open, &[])]);

    let state = age(system).await;
    assert_eq!(state, TransferState::Funded, "the on-ramp does not answer");
    let stuck = wait_until(system, r#"settla_transfer_oldest_seconds{state="FUNDED"}"#, |age| age > 7_200.0).await;
    promtool::check(&[Case::held("stuck", &stuck, &["SettlaTransferStuckInFunded"])]);

    drop(frozen);
    client.wait_for(transfer["id"].as_str().unwrap(), &["COMPLETED"], Duration::from_secs(60)).await.unwrap();
    let gone = wait_until(system, r#"settla_transfer_oldest_seconds{state="FUNDED"}"#, |age| age == 0.0).await;
    promtool::check(&[Case::held("gone on", &gone, &[])]);
    assert!(scrape(system).await.get("settla_workers_died_total") == Some(0.0));
    fixture.books_agree().await;
    fixture.stop().await;
}
