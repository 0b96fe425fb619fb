//! `settla tenant`.

use super::{Terms, actor, create_tenant, find_tenant, open, per_minute, terms};
use crate::dev::Home;
use crate::failure::Failure;
use crate::ui;
use settla_domain::tenant::TenantStatus;
use settla_store::operator::{self as store, RateOverrides};
use std::path::PathBuf;

/// Options of `settla tenant`.
#[derive(clap::Args)]
pub struct TenantArgs {
    /// Folder of the local system.
    #[arg(long, default_value = ".settla", global = true)]
    dir: PathBuf,
    #[command(subcommand)]
    command: TenantCommand,
}

#[derive(clap::Subcommand)]
enum TenantCommand {
    /// Set a tenant up, active, with the usual fees and limits.
    Create {
        /// Short name: lower-case letters, digits and dashes.
        slug: String,
        /// Name for people.
        name: String,
        /// It may read and manage its keys and webhooks, but move no money until `settla tenant activate`.
        #[arg(long)]
        onboarding: bool,
    },
    /// Let a tenant that is being set up move money.
    Activate(terms::Whose),
    /// Take no new money from a tenant; what is in flight completes, and it can read and call off.
    Suspend(terms::Whose),
    /// Let a suspended tenant move money again.
    Resume(terms::Whose),
    /// End a suspended tenant, for good: its keys are none any more. Refused while any money of it is with us.
    Close(terms::Whose),
    /// Change what a tenant pays in one source currency. What is not named stays.
    Fees(terms::FeesArgs),
    /// Change how much a tenant may move in one source currency. What is not named stays.
    Limits(terms::LimitsArgs),
    /// Change how many requests a minute a tenant may make. What is not named gets the usual number again.
    Requests {
        /// The tenant's short name.
        tenant: String,
        #[command(flatten)]
        limits: RateArgs,
    },
    /// List tenants.
    List {
        /// For machines.
        #[arg(long)]
        json: bool,
    },
}

/// Requests a minute by class.
#[derive(clap::Args)]
struct RateArgs {
    /// Quotes made [usually 1,000].
    #[arg(long, value_parser = per_minute())]
    quotes: Option<u32>,
    /// Transfers started or cancelled [usually 500].
    #[arg(long, value_parser = per_minute())]
    transfers: Option<u32>,
    /// Positions, top-ups, withdrawals and ledger read [usually 2,000].
    #[arg(long, value_parser = per_minute())]
    treasury_reads: Option<u32>,
    /// Everything else [usually 1,000].
    #[arg(long, value_parser = per_minute())]
    other: Option<u32>,
}

/// `settla tenant`.
pub async fn tenant(args: TenantArgs) -> Result<(), Failure> {
    let home = Home::existing(&args.dir)?;
    let db = open(&home).await?;
    match args.command {
        TenantCommand::Create { slug, name, onboarding } => {
            let status = if onboarding { TenantStatus::Onboarding } else { TenantStatus::Active };
            let terms = Terms { status, ..Terms::default() };
            let tenant = create_tenant(&db, &home.master_key()?, &slug, &name, &terms, &actor()).await.map_err(|failure| {
                failure.try_next("a short name is 2 to 39 lower-case letters, digits and dashes, and not taken; see `settla tenant list`")
            })?;
            println!("{} {}\nnext: settla key create {slug}", ui::green("created"), tenant.id);
        }
        TenantCommand::Activate(whose) => {
            terms::status(&db, &whose, &[TenantStatus::Onboarding], TenantStatus::Active).await?;
        }
        TenantCommand::Suspend(whose) => {
            terms::status(&db, &whose, &[TenantStatus::Active], TenantStatus::Suspended).await?;
        }
        TenantCommand::Resume(whose) => {
            terms::status(&db, &whose, &[TenantStatus::Suspended], TenantStatus::Active).await?;
        }
        TenantCommand::Close(whose) => terms::close(&db, &whose).await?,
        TenantCommand::Fees(args) => terms::fees(&db, args).await?,
        TenantCommand::Limits(args) => terms::limits(&db, args).await?,
        TenantCommand::Requests { tenant, limits } => {
            let row = find_tenant(&db, &tenant).await?;
            let RateArgs { quotes, transfers, treasury_reads, other } = limits;
            let limits = RateOverrides { quotes, transfers, treasury_reads, other };
            store::set_rate_limits(&db.operator, row.number, &limits, &actor()).await?;
            println!("{} from the next request on", ui::green("changed"));
        }
        TenantCommand::List { json } => {
            let rows = store::tenants(&db.operator).await?;
            if json {
                let rows: Vec<_> = rows
                    .iter()
                    .map(|t| {
                        let r = &t.rate_limits;
                        serde_json::json!({
                            "id": t.id, "slug": t.slug, "name": t.name, "status": t.status,
                            "requests_per_minute": {
                                "quotes": r.quotes, "transfers": r.transfers,
                                "treasury_reads": r.treasury_reads, "other": r.other,
                            },
                        })
                    })
                    .collect();
                println!("{}", serde_json::Value::Array(rows));
            } else {
                let mut table =
                    vec![vec!["tenant".to_owned(), "name".to_owned(), "status".to_owned(), "id".to_owned()]];
                table.extend(rows.into_iter().map(|t| vec![t.slug, t.name, t.status, t.id.to_string()]));
                ui::table(&table);
            }
        }
    }
    Ok(())
}
