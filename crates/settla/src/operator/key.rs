//! `settla key`.

use super::{NewKeyTerms, actor, create_key, find_tenant, open, secret};
use crate::dev::Home;
use crate::failure::Failure;
use crate::ui;
use ipnet::IpNet;
use settla_domain::id::KeyId;
use settla_domain::time::Timestamp;
use settla_port::api_key;
use settla_port::caller::Scope;
use settla_server::clock::now;
use settla_store::operator::{self as store, KeyRow};
use std::path::PathBuf;

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
        /// What it may be used for, several times or with commas between [usually everything but `pii`].
        #[arg(long = "scope", value_delimiter = ',', value_parser = scope)]
        scopes: Vec<Scope>,
        /// Network (CIDR) or address that it may be used from, several times or with commas between [usually any].
        #[arg(long = "from", value_delimiter = ',', value_parser = network)]
        networks: Vec<IpNet>,
        /// Days after which it is no key any more [usually never].
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..=3_650))]
        expires_in_days: Option<u16>,
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
    /// Replace the secret that keys are hashed under, without a key's becoming invalid.
    Secret(secret::SecretArgs),
}

fn scope(name: &str) -> Result<Scope, String> {
    let names = || Scope::ALL.map(Scope::name).join(", ");
    Scope::from_name(name).ok_or_else(|| format!("scopes are {}", names()))
}

fn network(text: &str) -> Result<IpNet, String> {
    api_key::network(text).ok_or_else(|| "an address, or a network such as 203.0.113.0/24".to_owned())
}

/// `settla key`.
pub async fn key(args: KeyArgs) -> Result<(), Failure> {
    let home = Home::existing(&args.dir)?;
    let db = open(&home).await?;
    match args.command {
        KeyCommand::Create { tenant, name, scopes, networks, expires_in_days } => {
            let row = find_tenant(&db, &tenant).await?;
            let usual = NewKeyTerms::default();
            let terms = NewKeyTerms {
                scopes: if scopes.is_empty() { usual.scopes } else { scopes },
                allowed_ips: networks.iter().map(IpNet::to_string).collect(),
                expires_at: expires_in_days.map(|days| now().plus_ms(i64::from(days) * 86_400_000)),
            };
            let (id, key) = create_key(&db, &home.signing_hasher()?, &row, &terms, &name, &actor()).await?;
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
                println!("{}", serde_json::Value::Array(rows.iter().map(machine_row).collect()));
            } else {
                let columns = ["key", "tenant", "id", "name", "scopes", "from", "last used", "state"];
                let mut table = vec![columns.map(str::to_owned).to_vec()];
                table.extend(rows.into_iter().map(row));
                ui::table(&table);
            }
        }
        KeyCommand::Secret(args) => secret::run(args, &home, &db).await?,
    }
    Ok(())
}

fn state(key: &KeyRow) -> &'static str {
    match key.expires_at {
        _ if key.revoked => "revoked",
        Some(at) if at <= now() => "expired",
        _ => "active",
    }
}

fn row(key: KeyRow) -> Vec<String> {
    let until = key.expires_at.filter(|_| state(&key) == "active").map(|at| format!(" until {}", at.to_rfc3339()));
    let state = format!("{}{}", state(&key), until.unwrap_or_default());
    let from = if key.allowed_ips.is_empty() { "anywhere".to_owned() } else { key.allowed_ips.join(" ") };
    let used = key.last_used_at.map_or_else(|| "never".to_owned(), Timestamp::to_rfc3339);
    vec![key.hint, key.tenant, key.id.to_string(), key.name, key.scopes.join(" "), from, used, state]
}

fn machine_row(key: &KeyRow) -> serde_json::Value {
    serde_json::json!({
        "id": key.id, "tenant": key.tenant, "environment": key.environment, "hint": key.hint, "name": key.name,
        "scopes": key.scopes, "allowed_ips": key.allowed_ips, "secret_version": key.hash_version,
        "created_at": key.created_at.to_rfc3339(), "expires_at": key.expires_at.map(Timestamp::to_rfc3339),
        "last_used_at": key.last_used_at.map(Timestamp::to_rfc3339), "revoked": key.revoked, "state": state(key),
    })
}
