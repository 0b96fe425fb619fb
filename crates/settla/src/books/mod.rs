//! placeholder
use crate::failure::Failure;
/// Options.
#[derive(clap::Args)]
pub struct Args {}
/// Runs.
pub async fn run(_args: Args) -> Result<(), Failure> { Ok(()) }
