//! `settla ledger`: the ledger by itself.

use crate::dev::Home;
use crate::failure::Failure;
use crate::operator::open;
use crate::ui;
use settla_node::reconcile;
use std::path::PathBuf;

/// Options of `settla ledger`.
#[derive(clap::Args)]
pub struct Args {
    /// Folder of the local system.
    #[arg(long, default_value = ".settla", global = true)]
    dir: PathBuf,
    #[command(subcommand)]
    command: LedgerCommand,
}

#[derive(clap::Subcommand)]
enum LedgerCommand {
    /// Replay every posting from the beginning and name each kind of error.
    Check {
        /// For machines.
        #[arg(long)]
        json: bool,
    },
}

/// Runs one of the commands.
pub async fn run(args: Args) -> Result<(), Failure> {
    let store = open(&Home::existing(&args.dir)?).await?;
    let LedgerCommand::Check { json } = args.command;
    let checked = reconcile::check(&store).await?;
    store.close().await;
    if json {
        let faults: Vec<_> = checked
            .faults
            .iter()
            .map(|f| serde_json::json!({ "kind": f.kind.name(), "tenant": f.tenant.0, "at": f.at, "detail": f.detail }))
            .collect();
        let counts: serde_json::Map<_, _> =
            checked.counts.iter().map(|(kind, count)| (kind.name().to_owned(), (*count).into())).collect();
        let report = serde_json::json!({
            "postings": checked.postings, "payments": checked.payments, "counts": counts, "faults": faults,
        });
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("  {} postings replayed, {} payments looked at", checked.postings, checked.payments);
        if !checked.faults.is_empty() {
            let mut rows = vec![["error", "tenant", "at", "what"].map(str::to_owned).to_vec()];
            rows.extend(
                checked
                    .faults
                    .iter()
                    .map(|f| vec![ui::red(f.kind.name()), f.tenant.0.to_string(), f.at.clone(), f.detail.clone()]),
            );
            ui::table(&rows);
        }
        for (kind, count) in &checked.counts {
            println!("  {}: {count}", kind.name());
        }
    }
    if checked.counts.is_empty() {
        if !json {
            println!("  {}", ui::green("the ledger is sound"));
        }
        return Ok(());
    }
    Err(Failure::new("the ledger has errors").try_next("each kind of error is in docs/operations.md"))
}
