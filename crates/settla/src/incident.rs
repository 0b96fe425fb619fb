//! `settla incident`: the first step when something is in wrong hands.

use crate::dev::Home;
use crate::failure::Failure;
use crate::operator::{actor, find_tenant, open, reason};
use crate::ui;
use settla_domain::id::KeyId;
use settla_domain::time::Timestamp;
use settla_store::operator::{Contained, Reason, contain_key, contain_tenant};
use settla_store::{Store, books};
use std::path::PathBuf;

/// Options of `settla incident`.
#[derive(clap::Args)]
pub struct Args {
    /// Folder of the local system.
    #[arg(long, default_value = ".settla", global = true)]
    dir: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Revoke a key with all keys made with it, or all keys of a tenant, which takes no new money then; within a second
    /// everywhere. What is in flight completes. Say what for; it is printed and kept in the audit log.
    Contain {
        /// A tenant's short name.
        #[arg(long, required_unless_present = "key", conflicts_with = "key")]
        tenant: Option<String>,
        /// A key's id, `key_…`.
        #[arg(long)]
        key: Option<KeyId>,
        /// Why.
        #[arg(long, value_parser = reason)]
        reason: String,
        /// For machines.
        #[arg(long)]
        json: bool,
    },
}

/// `settla incident`.
pub async fn run(args: Args) -> Result<(), Failure> {
    let home = Home::existing(&args.dir)?;
    let db = open(&home).await?;
    let Command::Contain { tenant, key, reason, json } = args.command;
    let actor = actor();
    match (tenant, key) {
        (Some(slug), _) => {
            let tenant = find_tenant(&db, &slug).await?;
            let why = Reason { tenant: tenant.number, actor: &actor, reason: &reason };
            let (before, keys) = contain_tenant(&db.operator, &why).await?;
            let now = find_tenant(&db, &slug).await?.status;
            let left = books::left_of(&db.auditor, tenant.number).await?;
            if json {
                println!(
                    "{}",
                    serde_json::json!({ "tenant": slug, "status_before": before.name(), "status": now, "revoked": machine(&keys), "left": left })
                );
            } else {
                println!(
                    "{} {slug} was {} and is {now}: it starts no new payment",
                    ui::green("contained"),
                    before.name()
                );
                print(&keys);
                let left = if left.is_empty() { "nothing".to_owned() } else { left.join(", ") };
                println!(
                    "of it is with us: {left}; what is in flight completes\nnext: settla tenant resume {slug} --reason …, and settla key create {slug}"
                );
            }
        }
        (None, Some(key)) => contain(&db, key, &actor, &reason, json).await?,
        (None, None) => return Err(Failure::new("neither a tenant nor a key")),
    }
    Ok(())
}

async fn contain(db: &Store, key: KeyId, actor: &str, reason: &str, json: bool) -> Result<(), Failure> {
    let keys = contain_key(&db.operator, key, actor, reason).await?;
    if keys.is_empty() {
        return Err(Failure::new(format!("{key} is no key that is not revoked, nor is any that was made with it"))
            .try_next("see `settla key list`"));
    }
    if json {
        println!("{}", serde_json::json!({ "revoked": machine(&keys) }));
    } else {
        println!("{} the key and all that were made with it", ui::green("contained"));
        print(&keys);
        println!("next: give the tenant another one, settla key create <tenant>");
    }
    Ok(())
}

fn machine(keys: &[Contained]) -> serde_json::Value {
    let row = |key: &Contained| {
        let used = key.last_used_at.map(Timestamp::to_rfc3339);
        serde_json::json!({ "id": key.id, "hint": key.hint, "name": key.name, "last_used_at": used })
    };
    serde_json::Value::Array(keys.iter().map(row).collect())
}

fn print(keys: &[Contained]) {
    let mut table = vec![["revoked", "id", "name", "last used"].map(str::to_owned).to_vec()];
    table.extend(keys.iter().map(|key| {
        let used = key.last_used_at.map_or_else(|| "never".to_owned(), Timestamp::to_rfc3339);
        vec![key.hint.clone(), key.id.to_string(), key.name.clone(), used]
    }));
    ui::table(&table);
}
