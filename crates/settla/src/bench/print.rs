//! The report for people.

use super::report::Report;
use super::spread::Spread;
use crate::ui;
use std::collections::BTreeMap;

/// Prints the report as tables.
pub(super) fn print(report: &Report) {
    let r = report;
    println!("{}", ui::bold(&format!("{} transfers a second for {} s, {} tenants", r.rate, r.seconds, r.tenants)));
    let m = &r.machine;
    println!(
        "  {} cores, {} MiB, {}, {}; {} build, commit {}",
        m.cores,
        m.memory_mib,
        m.cpu,
        m.filesystem,
        r.profile,
        r.git_commit.as_deref().unwrap_or("unknown")
    );
    println!("  {}\n", r.settings);
    pairs(&[
        ("created", format!("{} ({}/s)", r.created, r.created_per_s)),
        (
            "completed",
            format!("{} ({}/s; {}/s while sending)", r.completed, r.completed_per_s, r.completed_per_s_while_sending),
        ),
        ("refused", counts(&r.refused)),
        ("without an answer", counts(&r.errors)),
        ("states at the end", counts(&r.states)),
        ("lost, stuck, duplicates", format!("{}, {}, {}", r.lost, r.stuck, r.duplicates)),
        (
            "webhooks",
            format!(
                "{} ended, {} missing, {} again, {} refused",
                r.webhooks.ended, r.webhooks.missing, r.webhooks.redelivered, r.webhooks.refused
            ),
        ),
        ("in flight", format!("{} at most (bound {}, held up {})", r.in_flight_peak, r.in_flight_bound, r.held_up)),
        (
            "on chain",
            format!(
                "{} transactions, {} per 1,000 transfers",
                r.on_chain_transactions, r.on_chain_transactions_per_1000
            ),
        ),
        (
            "batches",
            format!(
                "{} commands, {} s each; busy {} of the time; {} round trips at most",
                r.batches.commands_per_batch, r.batches.seconds_per_batch, r.batches.busy, r.batches.round_trips_max
            ),
        ),
        (
            "database",
            format!(
                "{} rows, {} commits, {} fsyncs and {} bytes of WAL a transfer",
                r.rows_per_transfer_total,
                r.database_commits_per_transfer,
                r.wal_fsyncs_per_transfer,
                r.wal_bytes_per_transfer
            ),
        ),
        ("warnings in the log", counts(&r.platform_log)),
    ]);
    let mut times = vec![["milliseconds", "p50", "p99", "max"].map(str::to_owned).to_vec()];
    let row = |name: &str, s: &Spread| {
        vec![name.to_owned(), s.p50_ms.to_string(), s.p99_ms.to_string(), s.max_ms.to_string()]
    };
    times.extend([
        row("create", &r.create),
        row("of it the transfer's request", &r.transfer_post),
        row("end to end", &r.end_to_end),
        row("of it added by Settla", &r.added_by_settla),
    ]);
    times.extend(r.added_parts.iter().map(|(part, spread)| row(part, spread)));
    times.extend(
        r.steps_ms.iter().map(|(kind, [p50, p99])| vec![format!("into {kind}"), p50.to_string(), p99.to_string()]),
    );
    table(&times);
    let mut cpu = vec![["CPU", "seconds", "ms a transfer", "cores"].map(str::to_owned).to_vec()];
    cpu.extend(r.cpu.iter().map(|(name, c)| {
        vec![(*name).to_owned(), c.seconds.to_string(), c.ms_per_transfer.to_string(), c.cores.to_string()]
    }));
    table(&cpu);
    let mut rows = vec![["table", "rows a transfer"].map(str::to_owned).to_vec()];
    rows.extend(
        r.rows_per_transfer.iter().filter(|(_, n)| **n != 0.0).map(|(table, n)| vec![table.clone(), n.to_string()]),
    );
    table(&rows);
    let books = if r.books_agree {
        ui::green("the books agree")
    } else {
        ui::red(&format!("the books differ: {}", r.books_differences.join("; ")))
    };
    println!("  {books}");
}

fn pairs(rows: &[(&str, String)]) {
    for (name, value) in rows {
        println!("  {name:<24} {value}");
    }
    println!();
}

fn table(rows: &[Vec<String>]) {
    ui::table(rows);
    println!();
}

fn counts(counts: &BTreeMap<String, u64>) -> String {
    let parts: Vec<String> = counts.iter().map(|(name, n)| format!("{n} {name}")).collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}
