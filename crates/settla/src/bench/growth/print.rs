//! The report for people.

use super::{Plan, Report};
use crate::ui;

/// Prints the report as tables; of plans only what did something.
pub(in super::super) fn print(report: &Report) {
    let r = report;
    println!("{}", ui::bold("cost by stored transfers"));
    let m = &r.machine;
    let commit = r.git_commit.as_deref().unwrap_or("unknown");
    println!(
        "  {} cores, {} MiB, {}, {}; {} build, commit {commit}",
        m.cores, m.memory_mib, m.cpu, m.filesystem, r.profile
    );
    let settings: Vec<String> = r.settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
    println!("  {}", settings.join(", "));
    let rows: Vec<String> = r.rows_per_transfer.iter().map(|(table, rows)| format!("{rows} {table}")).collect();
    println!("  a stored transfer: {}; {} rounds of each operation", rows.join(", "), r.rounds);
    for line in r.method {
        println!("  - {line}");
    }
    println!();
    let head = |first: &str| {
        let sizes = r.sizes.iter().map(|step| step.stored.to_string());
        std::iter::once(first.to_owned()).chain(sizes).collect::<Vec<_>>()
    };
    let mut table = vec![head("ms, p50 / p99")];
    for (position, first) in r.sizes.first().map_or(&[][..], |step| &step.operations).iter().enumerate() {
        let cells = r.sizes.iter().map(|step| {
            let spread = step.operations[position].spread;
            format!("{:.2} / {:.2}", spread.p50_ms, spread.p99_ms)
        });
        table.push(std::iter::once(first.operation.clone()).chain(cells).collect());
    }
    ui::table(&table);
    println!();
    let mut table = vec![head("rows, MiB")];
    for name in r.sizes.last().map(|step| step.tables.keys()).into_iter().flatten() {
        let cells = r.sizes.iter().map(|step| {
            step.tables.get(name).map_or_else(String::new, |size| format!("{}, {}", size.rows, size.bytes >> 20))
        });
        table.push(std::iter::once(name.clone()).chain(cells).collect());
    }
    ui::table(&table);
    println!();
    let loads = r.sizes.iter().map(|s| format!("{:.0} + {:.0} s", s.filled.load_s, s.filled.vacuum_s));
    println!("  load and vacuum: {}", loads.collect::<Vec<_>>().join(", "));
    for plan in &r.plans {
        print_plan(plan);
    }
}

fn print_plan(plan: &Plan) {
    println!("\n{}", ui::bold(&format!("{}, {} stored", plan.operation, plan.stored)));
    for explained in &plan.statements {
        println!("  {}", ui::dim(&explained.title()));
        for node in &explained.nodes {
            println!("    {node}");
        }
    }
}
