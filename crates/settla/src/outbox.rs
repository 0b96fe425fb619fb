//! `settla outbox`: work that failed again and again, and lines of the bank's statement that cannot be read, set aside.

use crate::dev::Home;
use crate::failure::Failure;
use crate::operator::{open, operator_name};
use crate::platform::BANK_ACCOUNT;
use crate::ui;
use settla_domain::id::EffectId;
use settla_domain::tenant::TenantNo;
use settla_store::set_aside::LineMoved;
use settla_store::{Store, operator, set_aside};
use std::path::PathBuf;

/// How the name of a line of the statement begins.
const LINE: &str = "line_";

/// Options of `settla outbox`.
#[derive(clap::Args)]
pub struct Args {
    /// Folder of the local system.
    #[arg(long, default_value = ".settla", global = true)]
    dir: PathBuf,
    #[command(subcommand)]
    command: OutboxCommand,
}

#[derive(clap::Subcommand)]
enum OutboxCommand {
    /// List what is set aside, with the reason.
    List {
        /// For machines.
        #[arg(long)]
        json: bool,
    },
    /// Put it back: it is due at once.
    Replay {
        /// The effect, `ef_…`, or the line of the statement, `line_…`.
        id: String,
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
        OutboxCommand::List { json } => list(&db, json).await,
        OutboxCommand::Replay { id, ticket, operator } => {
            replay(&db, &id, &ticket, &operator_name(operator.as_deref())?).await
        }
    }
}

/// What is set aside, as it is shown.
struct Shown {
    id: String,
    kind: String,
    reason: String,
    since: String,
}

async fn list(db: &Store, json: bool) -> Result<(), Failure> {
    let effects = set_aside::list(&db.worker).await?.into_iter().map(|r| Shown {
        id: r.id.to_string(),
        kind: r.kind,
        reason: r.reason,
        since: r.created_at.to_rfc3339(),
    });
    let lines = set_aside::lines(&db.worker, BANK_ACCOUNT).await?.into_iter().map(|line| Shown {
        id: format!("{LINE}{}", line.sequence),
        kind: "bank_statement".to_owned(),
        reason: "unreadable".to_owned(),
        since: line.set_aside_at.to_rfc3339(),
    });
    let rows: Vec<Shown> = effects.chain(lines).collect();
    if json {
        let rows: Vec<_> = rows
            .iter()
            .map(|r| serde_json::json!({ "id": r.id, "kind": r.kind, "reason": r.reason, "since": r.since }))
            .collect();
        println!("{}", serde_json::Value::Array(rows));
    } else if rows.is_empty() {
        println!("nothing is set aside");
    } else {
        let mut table = vec![["id", "kind", "reason", "since"].map(str::to_owned).to_vec()];
        table.extend(rows.into_iter().map(|r| vec![r.id, r.kind, r.reason, r.since]));
        ui::table(&table);
    }
    Ok(())
}

async fn replay(db: &Store, id: &str, ticket: &str, operator: &str) -> Result<(), Failure> {
    let nothing = || Failure::new(format!("{id} is not set aside")).try_next("see `settla outbox list`");
    // Said before it is done: what is done and not said could not be found.
    let say = async |tenant, action: &str| {
        operator::note(&db.operator, tenant, operator, action, &format!("{id} {ticket}")).await
    };
    if let Some(sequence) = id.strip_prefix(LINE) {
        let sequence: u64 = sequence.parse().map_err(|_| nothing())?;
        say(TenantNo::PLATFORM, "statement.replay").await?;
        if !set_aside::move_line(&db.worker, BANK_ACCOUNT, sequence, LineMoved::Replay).await? {
            return Err(nothing());
        }
        println!("{} {id}: it is read again in a moment", ui::green("put back"));
        return Ok(());
    }
    let effect: EffectId = id.parse()?;
    let aside = set_aside::list(&db.worker).await?.into_iter().find(|aside| aside.id == effect);
    let aside = aside.ok_or_else(nothing)?;
    say(aside.tenant, "outbox.replay").await?;
    if set_aside::replay(&db.worker, &aside).await? {
        println!("{} {id}: it is due now", ui::green("put back"));
    }
    Ok(())
}
