//! `settla tenant` and `settla key`: what operators do.

use crate::dev::Home;
use crate::failure::Failure;
use crate::{platform, ui};
use settla_domain::fee::FeeSchedule;
use settla_domain::id::{KeyId, TenantId};
use settla_domain::limit::Limits;
use settla_domain::money::Currency;
use settla_port::caller::Scope;
use settla_store::operator::{self as store, NewKey, NewTenant, RateOverrides, TenantRow};
use settla_store::{Store, StoreConfig};
use settla_vault::{ApiKey, Environment, KeyHasher, MasterKey};
use std::path::PathBuf;
use uuid::Uuid;

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
    },
    /// Change how many requests a minute a tenant may make. What is not named gets the usual number again.
    Limit {
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

/// What a limit of requests a minute can be.
pub(crate) fn per_minute() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=10_000_000)
}

/// Options of `settla key`.
#[derive(clap::Args)]
pub struct KeyArgs {
    /// Folder of the local system.
    #[arg(long, default_value = ".settla", global = true)]
    dir: PathBuf,
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(clap::Subcommand)]
enum KeyCommand {
    /// Make a key. It is shown once, here, and never again.
    Create {
        /// The tenant's short name.
        tenant: String,
        /// Name for people.
        #[arg(long, default_value = "key")]
        name: String,
    },
    /// Revoke a key, for good.
    Revoke {
        /// The key's id, `key_…`.
        id: String,
    },
    /// List keys, without the keys themselves.
    List {
        /// Only this tenant's.
        tenant: Option<String>,
        /// For machines.
        #[arg(long)]
        json: bool,
    },
}

/// Fees and limits of a new tenant, the same numbers in every source currency.
pub(crate) struct Terms {
    pub(crate) spread_bps: u16,
    pub(crate) fees: FeeSchedule,
    pub(crate) limits: Limits,
}

impl Default for Terms {
    /// 0.40 % and 0.35 %, from 0.50 to 2,500.00; 1 million a transfer, 50 million a day and in progress.
    fn default() -> Self {
        Self {
            spread_bps: 30,
            fees: FeeSchedule { on_ramp_bps: 40, off_ramp_bps: 35, minimum: 50, maximum: 250_000 },
            limits: Limits { per_transfer: 100_000_000, per_day: 5_000_000_000, pending: 5_000_000_000 },
        }
    }
}

const SOURCES: [Currency; 3] = [Currency::GBP, Currency::EUR, Currency::USD];

/// Sets a tenant up.
pub(crate) async fn create_tenant(
    db: &Store,
    master: &MasterKey,
    slug: &str,
    name: &str,
    terms: &Terms,
    actor: &str,
) -> Result<TenantRow, Failure> {
    let id = TenantId(Uuid::now_v7());
    let currencies: Vec<_> = SOURCES.iter().map(|c| (*c, terms.fees, terms.limits)).collect();
    let new = NewTenant { id, slug, name, spread_bps: terms.spread_bps, currencies: &currencies, actor };
    let number =
        store::create_tenant(&db.operator, &new, |number| master.wrap(&settla_vault::Dek::generate(), number.0))
            .await?;
    Ok(TenantRow {
        number,
        id,
        slug: slug.to_owned(),
        name: name.to_owned(),
        status: "active".to_owned(),
        rate_limits: RateOverrides::default(),
    })
}

/// Makes a key with every scope but personal data.
pub(crate) async fn create_key(
    db: &Store,
    hasher: &KeyHasher,
    tenant: &TenantRow,
    environment: Environment,
    name: &str,
    actor: &str,
) -> Result<(KeyId, ApiKey), Failure> {
    let key = ApiKey::generate(environment);
    let hash = hasher.hash(&key);
    let scopes: Vec<&str> = Scope::ALL.into_iter().filter(|s| *s != Scope::Pii).map(Scope::name).collect();
    let id = KeyId(Uuid::now_v7());
    let new = NewKey {
        id,
        tenant: tenant.number,
        environment: environment.as_str(),
        hash: hash.as_bytes(),
        hash_version: hash.version(),
        hint: &key.hint(),
        name,
        scopes: &scopes,
        actor,
    };
    store::create_key(&db.operator, &new).await?;
    Ok((id, key))
}

/// The database of the system in this folder, or the one that `SETTLA_TRANSFER_DB_URL` names.
pub(crate) async fn open(home: &Home) -> Result<Store, Failure> {
    let url = match std::env::var("SETTLA_TRANSFER_DB_URL") {
        Ok(url) => url,
        Err(_) => home.facts()?["database_url"].as_str().unwrap_or_default().to_owned(),
    };
    let store = Store::open(&StoreConfig::new(url))
        .await
        .map_err(|error| Failure::from(error).try_next("is the system running? start it with `settla dev`"))?;
    // What is made with other secrets than the platform's would never work.
    let hasher = KeyHasher::new(1, home.api_key_hmac_secret()?.expose())?;
    platform::agree(&store, &hasher, &home.master_key()?).await?;
    Ok(store)
}

async fn find_tenant(db: &Store, slug: &str) -> Result<TenantRow, Failure> {
    let row = store::find_tenant(&db.operator, slug).await?;
    row.ok_or_else(|| Failure::new(format!("no tenant {slug}")).try_next("see `settla tenant list`"))
}

/// Who acts, for decisions that need two people.
pub(crate) fn operator_name(given: Option<&str>) -> Result<String, Failure> {
    let name = given.map(str::to_owned).or_else(|| std::env::var("USER").ok()).filter(|name| !name.is_empty());
    name.ok_or_else(|| Failure::new("nobody says who you are").try_next("name yourself with --operator"))
}

fn actor() -> String {
    format!("cli:{}", std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned()))
}

/// `settla tenant`.
pub async fn tenant(args: TenantArgs) -> Result<(), Failure> {
    let home = Home::existing(&args.dir)?;
    let db = open(&home).await?;
    match args.command {
        TenantCommand::Create { slug, name } => {
            let tenant = create_tenant(&db, &home.master_key()?, &slug, &name, &Terms::default(), &actor()).await.map_err(|failure| {
                failure.try_next("a short name is 2 to 39 lower-case letters, digits and dashes, and not taken; see `settla tenant list`")
            })?;
            println!("{} {}\nnext: settla key create {slug}", ui::green("created"), tenant.id);
        }
        TenantCommand::Limit { tenant, limits } => {
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

/// `settla key`.
pub async fn key(args: KeyArgs) -> Result<(), Failure> {
    let home = Home::existing(&args.dir)?;
    let db = open(&home).await?;
    match args.command {
        KeyCommand::Create { tenant, name } => {
            let row = find_tenant(&db, &tenant).await?;
            let hasher = KeyHasher::new(1, home.api_key_hmac_secret()?.expose())?;
            let (id, key) = create_key(&db, &hasher, &row, Environment::Test, &name, &actor()).await?;
            println!("{}  {id}\n{}", ui::bold(key.expose()), ui::dim("This is the only time that the key is shown."));
        }
        KeyCommand::Revoke { id } => {
            let id: KeyId = id.parse()?;
            if !store::revoke_key(&db.operator, id, &actor()).await? {
                return Err(Failure::new(format!("{id} is not an active key")).try_next("see `settla key list`"));
            }
            println!("{} {id}", ui::green("revoked"));
        }
        KeyCommand::List { tenant, json } => {
            let rows = store::keys(&db.operator, tenant.as_deref()).await?;
            if json {
                let rows: Vec<_> = rows
                    .iter()
                    .map(|k| serde_json::json!({"id": k.id, "tenant": k.tenant, "hint": k.hint, "name": k.name, "scopes": k.scopes, "created_at": k.created_at.to_rfc3339(), "revoked": k.revoked}))
                    .collect();
                println!("{}", serde_json::Value::Array(rows));
            } else {
                let mut table = vec![["key", "tenant", "id", "name", "created", "state"].map(str::to_owned).to_vec()];
                for k in rows {
                    let state = if k.revoked { "revoked" } else { "active" };
                    table.push(vec![
                        k.hint,
                        k.tenant,
                        k.id.to_string(),
                        k.name,
                        k.created_at.to_rfc3339(),
                        state.to_owned(),
                    ]);
                }
                ui::table(&table);
            }
        }
    }
    Ok(())
}
