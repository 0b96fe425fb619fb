//! `settla key secret`: replacing the secret that API keys are hashed under, in three steps, each with a restart of all
//! processes behind it. At no moment is there a process that does not know a key.

use crate::dev::{Home, KeySecret};
use crate::failure::Failure;
use crate::ui;
use settla_store::{Store, operator as store};

/// Options of `settla key secret`.
#[derive(clap::Args)]
pub struct SecretArgs {
    #[command(subcommand)]
    command: SecretCommand,
}

#[derive(clap::Subcommand)]
enum SecretCommand {
    /// Which secrets there are, and how many good keys need each.
    Status {
        /// For machines.
        #[arg(long)]
        json: bool,
    },
    /// Take the next step: add a secret that only verifies; let it sign; drop the older one once no good key needs it.
    Next,
}

/// Carries it out.
pub(super) async fn run(args: SecretArgs, home: &Home, db: &Store) -> Result<(), Failure> {
    match args.command {
        SecretCommand::Status { json } => status(home, db, json).await,
        SecretCommand::Next => next(home, db).await,
    }
}

async fn status(home: &Home, db: &Store, json: bool) -> Result<(), Failure> {
    let needed = store::good_keys_by_secret(&db.operator).await?;
    let versions = home.key_hashers()?.into_iter().map(|hasher| hasher.version()).enumerate();
    let rows: Vec<(u16, &str, i64)> = versions
        .map(|(place, version)| {
            let keys = i16::try_from(version).ok().and_then(|version| needed.get(&version)).copied();
            (version, if place == 0 { "signs" } else { "verifies" }, keys.unwrap_or(0))
        })
        .collect();
    if json {
        let rows = rows
            .iter()
            .map(|(version, role, keys)| serde_json::json!({ "version": version, "role": role, "good_keys": keys }));
        println!("{}", serde_json::Value::Array(rows.collect()));
    } else {
        let mut table = vec![["secret", "does", "good keys"].map(str::to_owned).to_vec()];
        table.extend(
            rows.iter().map(|(version, role, keys)| vec![version.to_string(), (*role).to_owned(), keys.to_string()]),
        );
        ui::table(&table);
    }
    Ok(())
}

async fn next(home: &Home, db: &Store) -> Result<(), Failure> {
    // Nobody else changes the folder's secrets meanwhile.
    let _turn = home.turn().await?;
    let needed = store::good_keys_by_secret(&db.operator).await?;
    let mut said = String::new();
    home.change_key_secrets(|secrets| {
        (said, *secrets) = step(std::mem::take(secrets), |version| {
            i16::try_from(version).ok().and_then(|version| needed.get(&version)).copied().unwrap_or(0)
        })?;
        Ok(())
    })?;
    println!("{} {said}", ui::green("changed"));
    Ok(())
}

/// The next step, and what is to be said of it. The first secret signs.
fn step(secrets: Vec<KeySecret>, good_keys: impl Fn(u16) -> i64) -> Result<(String, Vec<KeySecret>), Failure> {
    const THEN: &str = "Restart every process, then take the next step.";
    let unusual = || Failure::new("there is not one secret, or two");
    let mut secrets = secrets.into_iter();
    match (secrets.next(), secrets.next(), secrets.next()) {
        (Some(only), None, None) => {
            let version = only.version.checked_add(1).ok_or_else(unusual)?;
            Ok((format!("secret {version} verifies. {THEN}"), vec![only, KeySecret::generate(version)]))
        }
        (Some(signs), Some(verifies), None) if signs.version < verifies.version => {
            let said = format!("secret {} signs, and {} verifies. {THEN}", verifies.version, signs.version);
            Ok((said, vec![verifies, signs]))
        }
        (Some(signs), Some(verifies), None) => match good_keys(verifies.version) {
            0 => Ok((format!("secret {} is gone. Restart every process.", verifies.version), vec![signs])),
            keys => Err(Failure::new(format!("{keys} good keys are hashed under secret {} still", verifies.version)).try_next(
                "a key is hashed anew some seconds after it is used; revoke those that nobody uses (`settla key list`)",
            )),
        },
        _ => Err(unusual()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(secrets: &[KeySecret]) -> Vec<u16> {
        secrets.iter().map(|secret| secret.version).collect()
    }

    #[test]
    fn a_secret_verifies_before_it_signs_and_goes_when_nobody_needs_it() {
        let first = vec![KeySecret::generate(1)];
        let text = first[0].secret.clone();
        let (_, both) = step(first, |_| unreachable!()).unwrap();
        assert_eq!(versions(&both), [1, 2], "the old one signs: not every process knows the new one");
        assert!(both[0].secret == text && both[1].secret != text);
        let (_, turned) = step(both, |_| unreachable!()).unwrap();
        assert_eq!(versions(&turned), [2, 1]);
        let refused = step(turned.clone(), |version| if version == 1 { 3 } else { 5 });
        assert!(refused.is_err_and(|failure| failure.to_string().contains("3 good keys")));
        let (_, last) = step(turned, |version| if version == 1 { 0 } else { 5 }).unwrap();
        assert_eq!(versions(&last), [2]);
        let (_, again) = step(last, |_| unreachable!()).unwrap();
        assert_eq!(versions(&again), [2, 3]);
        assert!(step(Vec::new(), |_| 0).is_err());
    }
}
