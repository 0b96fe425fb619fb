//! `settla demo`: payments on a fresh system, every step shown, every result checked, all books compared.
//!
//! It uses the system as its tenants do: over the API, with webhooks telling what happens. Whatever is not as it
//! has to be ends the demo with a failure.

mod api;
mod books;
mod duplicate;
mod insufficient;
mod live;
mod main_job;
mod off_ramp_rejects;
mod off_ramp_silent;
mod on_ramp_refuses;
mod outcome;
mod show;
mod stage;
mod story;

use crate::failure::Failure;
use crate::local::{ScratchFolder, System};
use crate::platform;
use live::Live;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Options of `settla demo`.
#[derive(clap::Args)]
pub struct Args {}

/// The demo's own folder is made in here.
const PARENT: &str = ".settla";
/// Within this an interrupt of all our processes has reached this one, too.
const INTERRUPT_GRACE: Duration = Duration::from_millis(200);

/// Runs the demo on a system of its own, and stops that whatever happens.
pub async fn run(_args: Args) -> Result<(), Failure> {
    if std::env::var_os("SETTLA_TRANSFER_DB_URL").is_some() {
        return Err(Failure::new("the demo brings its own database").try_next("unset SETTLA_TRANSFER_DB_URL"));
    }
    let begun = Instant::now();
    let live = Arc::new(Live::start());
    let mut folder = ScratchFolder::below(Path::new(PARENT), "demo")?;
    let mut interrupted = pin!(platform::stop_signal()?);
    let told = tokio::select! {
        told = perform(folder.path(), &live) => told,
        () = &mut interrupted => return Err(interruption()),
    };
    live.clear();
    let Err(failure) = told else {
        drop(folder);
        show::summary(begun.elapsed());
        return Ok(());
    };
    // Ctrl-C on a terminal reaches all our processes: what fails then, fails because of it.
    if tokio::time::timeout(INTERRUPT_GRACE, interrupted).await.is_ok() {
        return Err(interruption());
    }
    folder.keep();
    let kept = format!("its logs are kept in {}", folder.path().display());
    Err(Failure::new(format!("the demo failed: {failure}")).try_next(kept))
}

fn interruption() -> Failure {
    Failure::new("interrupted; everything is stopped and removed")
}

/// Starts the system, tells the story on it, and stops it.
async fn perform(dir: &Path, live: &Arc<Live>) -> Result<(), Failure> {
    let begun = Instant::now();
    show::opening();
    live.waiting_for("everything to start");
    let system = System::start(&std::env::current_exe()?, dir, &[]).await?;
    live.clear();
    show::cast(&system.facts, begun.elapsed());
    // In a task of its own, so that even a panic ends with everything stopped. Dropping the set ends it.
    let mut story = JoinSet::new();
    story.spawn(story::tell(system.facts.clone(), dir.to_owned(), Arc::clone(live)));
    let told = story.join_next().await.ok_or_else(|| Failure::new("there was no story to tell"))??;
    live.clear();
    live.waiting_for("everything to stop");
    let stopped = system.stop().await;
    told.and(stopped)
}
