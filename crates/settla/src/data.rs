//! `settla data`: months of the tables that grow without bound, and taking one out.

use crate::dev::Home;
use crate::failure::Failure;
use crate::operator::{open, operator_name};
use crate::ui;
use settla_store::data::Partition;
use settla_store::{Store, StoreError, data};
use std::path::PathBuf;
use time::{Date, Month};

/// Options of `settla data`.
#[derive(clap::Args)]
pub struct Args {
    /// Folder of the local system.
    #[arg(long, default_value = ".settla", global = true)]
    dir: PathBuf,
    #[command(subcommand)]
    command: DataCommand,
}

#[derive(clap::Subcommand)]
enum DataCommand {
    /// List months with their sizes and for how long they are kept.
    List {
        /// For machines.
        #[arg(long)]
        json: bool,
    },
    /// Take a month out of a table, to be copied away and dropped. It is refused while anything needs the month.
    Detach {
        /// `outbox`, `events` or `audit_log`.
        table: String,
        /// The month, such as `2026-01`.
        month: String,
        /// The change ticket.
        #[arg(long)]
        ticket: String,
        /// Who you are [default: the USER of the shell].
        #[arg(long)]
        operator: Option<String>,
    },
}

/// Runs one of the commands.
pub async fn run(args: Args) -> Result<(), Failure> {
    let home = Home::existing(&args.dir)?;
    let db = open(&home).await?;
    match args.command {
        DataCommand::List { json } => list(&db, json).await,
        DataCommand::Detach { table, month, ticket, operator } => {
            let first = first_day(&month)?;
            if ticket.trim().is_empty() {
                return Err(Failure::new("no ticket").try_next("name the change ticket with --ticket"));
            }
            detach(&db, &table, first, &operator_name(operator.as_deref())?, &ticket).await
        }
    }
}

/// The first day of a month that is written `2026-01` and in no other way.
fn first_day(month: &str) -> Result<Date, Failure> {
    let wrong = || Failure::new(format!("{month} is no month")).try_next("write it as `2026-01`");
    let (year, number) = month.split_once('-').ok_or_else(wrong)?;
    let digits = |text: &str, length| text.len() == length && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(year, 4) || !digits(number, 2) {
        return Err(wrong());
    }
    let number: u8 = number.parse().map_err(|_| wrong())?;
    let month = Month::try_from(number).map_err(|_| wrong())?;
    Date::from_calendar_date(year.parse().map_err(|_| wrong())?, month, 1).map_err(|_| wrong())
}

async fn list(db: &Store, json: bool) -> Result<(), Failure> {
    let rows = data::partitions(&db.auditor).await?;
    if json {
        let rows: Vec<_> = rows
            .iter()
            .map(|r| {
                serde_json::json!({
                    "table": r.table, "month": r.month, "rows": r.rows, "bytes": r.bytes, "months_kept": r.months_kept,
                })
            })
            .collect();
        println!("{}", serde_json::Value::Array(rows));
        return Ok(());
    }
    let mut table = vec![["table", "month", "rows, about", "bytes", "kept for"].map(str::to_owned).to_vec()];
    table.extend(rows.into_iter().map(shown));
    ui::table(&table);
    Ok(())
}

fn shown(row: Partition) -> Vec<String> {
    let rows = row.rows.map_or_else(|| "not counted yet".to_owned(), |rows| rows.to_string());
    let kept = row.months_kept.map_or_else(|| "ever".to_owned(), |months| format!("{months} months"));
    vec![row.table, row.month, rows, row.bytes.to_string(), kept]
}

async fn detach(db: &Store, table: &str, month: Date, by: &str, ticket: &str) -> Result<(), Failure> {
    match data::detach(&db.operator, table, month, by, ticket).await {
        Ok(Ok(())) => {
            let name = format!("{table}_{}_{:02}", month.year(), u8::from(month.month()));
            println!("{} settla.{name} is a table of its own now: copy it away, then drop it", ui::green("taken out"));
            Ok(())
        }
        Ok(Err(why_not)) => {
            Err(Failure::new(format!("it is not taken out: {why_not}")).try_next("see `settla data list`"))
        }
        Err(StoreError::Retry(_)) => {
            Err(Failure::new("the table is busy; nothing has changed").try_next("try it again when less is going on"))
        }
        Err(error) => Err(error.into()),
    }
}
