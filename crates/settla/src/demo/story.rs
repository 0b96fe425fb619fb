//! The story, in its order.

use super::live::Live;
use super::stage::Stage;
use super::{books, duplicate, insufficient, main_job, off_ramp_rejects, off_ramp_silent, on_ramp_refuses, show};
use crate::failure::Failure;
use crate::local::Facts;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// Tells it all.
pub(super) async fn tell(facts: Facts, dir: PathBuf, live: Arc<Live>) -> Result<(), Failure> {
    let stage = Stage::set(facts, dir, live).await?;
    let acme = stage.seeded("acme").await?;
    let globex = stage.seeded("globex").await?;

    show::heading("1", "GBP 1,250.00 for a supplier in Lagos");
    main_job::tell(&stage, &acme).await?;

    show::heading("2", "Five things that go wrong, at the same time");
    show::note("Magic amounts make the simulated providers misbehave (docs/sandbox.md). Each payment by its webhooks:");
    // Each has a tenant and a currency of its own, so that every change of a position is its alone.
    let since = Instant::now();
    let outcomes = tokio::try_join!(
        on_ramp_refuses::tell(&stage, &acme, since),
        off_ramp_silent::tell(&stage, &acme, since),
        insufficient::tell(&stage, since),
        duplicate::tell(&stage, &globex, since),
        off_ramp_rejects::tell(&stage, &globex, since),
    )?;
    let outcomes = [outcomes.0, outcomes.1, outcomes.2, outcomes.3, outcomes.4];
    for (outcome, number) in outcomes.iter().zip(1..) {
        outcome.show(&format!("2.{number}"));
    }

    show::heading("3", "The books: ours against those of the bank, the providers and the chain");
    books::agree(&stage).await
}
