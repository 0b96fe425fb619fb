//! `settla route`: how providers did lately, and what is switched on and off.

use crate::dev::Home;
use crate::failure::Failure;
use crate::operator::{open, operator_name};
use crate::ui;
use settla_domain::money::Currency;
use settla_server::route_facts::corridor;
use settla_store::Store;
use settla_store::routes::{self, SwitchKind};
use std::path::PathBuf;
use std::time::Duration;

/// What the router looks at.
const WINDOW: Duration = Duration::from_secs(3_600);

/// Options of `settla route`.
#[derive(clap::Args)]
pub struct Args {
    /// Folder of the local system.
    #[arg(long, default_value = ".settla", global = true)]
    dir: PathBuf,
    #[command(subcommand)]
    command: RouteCommand,
}

#[derive(clap::Subcommand)]
enum RouteCommand {
    /// How providers and chain did in the last hour, and what is switched off.
    List {
        /// For machines.
        #[arg(long)]
        json: bool,
    },
    /// Switch a provider (`harbour`) or a corridor (`GBP-NGN`) off: it gets nothing new, within a second or two.
    Off {
        /// The provider or corridor.
        name: String,
        /// Why, for everybody who wonders.
        #[arg(long)]
        reason: String,
        /// Who you are [default: the USER of the shell].
        #[arg(long)]
        operator: Option<String>,
    },
    /// Switch a provider or a corridor on again.
    On {
        /// The provider or corridor.
        name: String,
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
        RouteCommand::List { json } => list(&db, json).await,
        RouteCommand::Off { name, reason, operator } => {
            let (kind, name) = named(&home, &name)?;
            let by = operator_name(operator.as_deref())?;
            routes::switch_off(&db.operator, kind, &name, &reason, &by).await?;
            println!("{} {name}: it gets nothing new; what it has, goes on", ui::red("switched off"));
            Ok(())
        }
        RouteCommand::On { name, operator } => {
            let (kind, name) = named(&home, &name)?;
            if !routes::switch_on(&db.operator, kind, &name, &operator_name(operator.as_deref())?).await? {
                return Err(Failure::new(format!("{name} is not switched off")).try_next("see `settla route list`"));
            }
            println!("{} {name}", ui::green("switched on"));
            Ok(())
        }
    }
}

/// What a name stands for. A slip of the hand must not look like a provider that is off.
fn named(home: &Home, name: &str) -> Result<(SwitchKind, String), Failure> {
    if let Some((source, destination)) = name.split_once('-')
        && let (Ok(source), Ok(destination)) = (source.parse::<Currency>(), destination.parse::<Currency>())
    {
        return Ok((SwitchKind::Corridor, corridor(source, destination)));
    }
    let facts = home.facts()?;
    let sides = [&facts["on_ramps"], &facts["off_ramps"]];
    let known: Vec<&str> =
        sides.iter().filter_map(|side| side.as_array()).flatten().filter_map(|at| at["name"].as_str()).collect();
    if known.contains(&name) {
        return Ok((SwitchKind::Provider, name.to_owned()));
    }
    let hint = format!("a corridor is written GBP-NGN; the providers are {}", known.join(", "));
    Err(Failure::new(format!("{name} is no provider and no corridor")).try_next(hint))
}

async fn list(db: &Store, json: bool) -> Result<(), Failure> {
    let mut measured = routes::measured(&db.app, WINDOW).await?;
    measured.sort_by(|a, b| (a.step, &a.provider).cmp(&(b.step, &b.provider)));
    let off = routes::switched_off(&db.operator).await?;
    let mean_ms = |m: &routes::Measured| m.milliseconds.checked_div(m.succeeded);
    if json {
        let measured: Vec<_> = measured
            .iter()
            .map(|m| {
                serde_json::json!({
                    "name": m.provider, "step": m.step.name(), "succeeded": m.succeeded, "failed": m.failed,
                    "mean_ms": mean_ms(m),
                })
            })
            .collect();
        let off: Vec<_> = off
            .iter()
            .map(|o| {
                serde_json::json!({
                    "kind": o.kind.name(), "name": o.name, "reason": o.reason, "by": o.by, "at": o.at.to_rfc3339(),
                })
            })
            .collect();
        println!("{}", serde_json::json!({ "last_hour": measured, "switched_off": off }));
        return Ok(());
    }
    let mut table = vec![["provider", "step", "succeeded", "failed", "mean"].map(str::to_owned).to_vec()];
    table.extend(measured.iter().map(|m| {
        let mean = mean_ms(m).map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"));
        vec![m.provider.clone(), m.step.name().to_owned(), m.succeeded.to_string(), m.failed.to_string(), mean]
    }));
    println!("{}", ui::bold("the last hour"));
    if measured.is_empty() {
        println!("  nothing yet")
    } else {
        ui::table(&table)
    }
    if off.is_empty() {
        println!("everything is switched on");
        return Ok(());
    }
    println!("{}", ui::bold("switched off"));
    let mut table = vec![["what", "name", "since", "by", "reason"].map(str::to_owned).to_vec()];
    table.extend(off.into_iter().map(|o| vec![o.kind.name().to_owned(), o.name, o.at.to_rfc3339(), o.by, o.reason]));
    ui::table(&table);
    Ok(())
}
