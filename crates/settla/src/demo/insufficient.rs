//! A new tenant tops up 100 pounds and wants to send a thousand.

use super::outcome::{Change, Outcome, ensure};
use super::show;
use super::stage::{Stage, Track, fresh_key};
use crate::failure::Failure;
use crate::local::{Amount, top_up};
use settla_domain::money::{Currency, Money};
use std::process::Stdio;
use std::time::Instant;
use tokio::process::Command;

const SLUG: &str = "initech";
const NAME: &str = "Initech Ltd";
const REFERENCE: &str = "INV-TOO-MUCH";
/// What it has, in minor units.
const TOPPED_UP: i128 = 10_000;

/// Tells it.
pub(super) async fn tell(stage: &Stage, since: Instant) -> Result<Outcome, Failure> {
    let track = Track { label: "not enough", since };
    operator(stage, &["tenant", "create", SLUG, NAME]).await?;
    let key = operator(stage, &["key", "create", SLUG]).await?;
    let key = key.split_whitespace().next().unwrap_or_default();
    let tenant = stage.tenant(key).await?;
    stage.tell(
        track,
        Instant::now(),
        &format!("a new tenant, {NAME}, made by `settla tenant create` and `settla key create`"),
    );

    let amount = Money::new(Currency::GBP, TOPPED_UP);
    top_up(&tenant.api, &stage.facts.bank, amount, NAME, &fresh_key()).await?;
    stage.funded(&tenant).await?;
    stage.tell(track, Instant::now(), &format!("{} came in at the bank for it", show::money(amount)));

    let before = tenant.position(Currency::GBP).await?;
    ensure(before.available == amount, || format!("{} are available, not {amount}", before.available))?;
    let quote = tenant.quote("GBP", Amount::Source("1000.00")).await?;
    let answer = tenant.api.transfer(&fresh_key(), &quote.id.to_string(), REFERENCE).await?;
    ensure((answer.status, answer.code()) == (422, "insufficient_funds"), || {
        format!("a transfer without the money for it got {} {}", answer.status, answer.body)
    })?;
    stage.tell(track, Instant::now(), &format!("{} refused: {}", show::money(quote.price.debit), answer.code()));
    let left = tenant.transfers(REFERENCE).await?.len();
    ensure(left == 0, || "a refused transfer is in the list".to_owned())?;
    let change = Change { before, after: tenant.position(Currency::GBP).await? };
    change.ensure(0)?;

    Ok(Outcome {
        title: "The position does not cover the debit",
        facts: vec![
            format!("new tenant {NAME}, topped up through the bank with {}", show::money(amount)),
            format!("{} asked: HTTP 422 `insufficient_funds`, \"{}\"", show::money(quote.price.debit), answer.detail()),
            "no transfer came to be, and nothing is held".to_owned(),
        ],
        positions: vec![change],
    })
}

/// Runs an operator's command on the system, as a person would.
async fn operator(stage: &Stage, args: &[&str]) -> Result<String, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(args).arg("--dir").arg(&stage.dir).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await?;
    ensure(output.status.success(), || {
        format!("`settla {}` failed: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim())
    })?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
