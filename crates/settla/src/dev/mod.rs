//! `settla dev`: the whole system on this machine, in one folder.
//!
//! Postgres, the chain and the sandbox are processes of their own. They outlive a kill of this one, as the
//! outside world does, and the next `settla dev` on the folder finds them again. Several may run at once: the
//! last one to end stops them.

mod banner;
mod home;
mod parts;
mod seed;

use crate::failure::Failure;
use crate::{logging, platform};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

pub use home::Home;
pub(crate) use parts::{BLOCK_TIME, DEPTH};
use parts::{Parts, Tuning};

/// Options of `settla dev`.
#[derive(clap::Args)]
pub struct Args {
    /// Folder for everything that this system keeps.
    #[arg(long, default_value = ".settla")]
    dir: PathBuf,
    /// Port of the API; 0 takes a free one.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Print one line of JSON when ready, instead of a page for people.
    #[arg(long)]
    json: bool,
    /// Median time the sandbox takes for an order, milliseconds.
    #[arg(long, default_value_t = 200)]
    latency_ms: u64,
    /// Of a thousand orders, so many never get an answer.
    #[arg(long, default_value_t = 0)]
    unknown_permille: u16,
}

/// Runs until Ctrl-C or SIGTERM.
pub async fn run(args: Args) -> Result<(), Failure> {
    let home = Home::open(&args.dir)?;
    logging::to_file(&home.log())?;
    let begun = std::time::Instant::now();
    let tuning = Tuning { latency_ms: args.latency_ms, unknown_permille: args.unknown_permille };
    let user = home.join()?;
    let (parts, running, tenants) = {
        // One process at a time brings things up: the chain's first transactions must come in their order.
        let _turn = home.turn().await?;
        let parts = Parts::start(&home, tuning).await?;
        let port = if args.port == 0 { settla_devkit::ports::free_port()? } else { args.port };
        let local = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let running = platform::start(parts.platform(&home, local(port), local(0))?).await?;
        parts.fund_wallet(running.wallet).await?;
        let tenants = seed::tenants(&home, &parts, running.api).await?;
        (parts, running, tenants)
    };
    let facts = banner::facts(&home, &parts, &running, &tenants);
    home.write_facts(&facts)?;
    if args.json {
        println!("{facts}");
    } else {
        banner::print(&facts, begun.elapsed());
    }
    platform::stopped().await;
    running.shutdown().await;
    if home.leave(user)? {
        parts.stop().await?;
    }
    Ok(())
}
