//! `settla dev`: the whole system on this machine, in one folder.
//!
//! Postgres, the chain and the sandbox are processes of their own. They outlive a kill of this one, as the
//! outside world does, and the next `settla dev` on the folder finds them again. Several may run at once: the
//! last one to end stops them.

mod banner;
mod home;
mod parts;
mod reach;
mod seed;

use crate::failure::Failure;
use crate::operator::per_minute;
use crate::{logging, platform};
use ipnet::IpNet;
use settla_node::reconcile::ReconcileConfig;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::platform::Running;
use home::TenantCredentials;
pub use home::{Home, KeySecret};
pub(crate) use parts::{BLOCK_TIME, DEPTH};
use parts::{Parts, Tuning};
use reach::Reach;

/// How long the sandbox may take to learn where its events go.
const INTRODUCED_WITHIN: Duration = Duration::from_secs(60);

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
    /// Seconds between two comparisons of the books.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    reconcile_every_s: u64,
    /// Seconds for which a difference may be money on its way, at most; each book has its own bound besides.
    #[arg(long, default_value_t = 3_600)]
    reconcile_grace_s: u64,
    /// Requests a minute that each seeded tenant may make, of every class, instead of what it has.
    #[arg(long, value_parser = per_minute())]
    requests_per_minute: Option<u32>,
    /// Network of a proxy of yours, several times or with commas between: what it says of a client's address
    /// (`X-Forwarded-For`) is believed.
    #[arg(long = "trusted-proxy", env = "SETTLA_TRUSTED_PROXIES", value_delimiter = ',')]
    trusted_proxies: Vec<IpNet>,
    #[command(flatten)]
    reach: Reach,
}

/// Runs until Ctrl-C or SIGTERM.
pub async fn run(args: Args) -> Result<(), Failure> {
    let home = Home::open(&args.dir)?;
    logging::to_file(&home.log())?;
    let begun = std::time::Instant::now();
    let user = home.join()?;
    let system = match bring_up(&home, &args).await {
        Ok(system) => system,
        Err(failure) => {
            // Nobody is there to stop what has been started already.
            if home.leave(user)? {
                settla_devkit::stop_recorded(home.dir())?;
            }
            return Err(failure);
        }
    };
    let stopped = platform::stop_signal()?;
    let facts = banner::facts(&home, &system.parts, &system.platform, &system.tenants)?;
    home.write_facts(&facts)?;
    if args.json {
        println!("{facts}");
    } else {
        banner::print(&facts, begun.elapsed());
    }
    stopped.await;
    system.platform.shutdown().await;
    if home.leave(user)? {
        system.parts.stop().await?;
    }
    Ok(())
}

struct System {
    parts: Parts,
    platform: Running,
    tenants: Vec<TenantCredentials>,
}

async fn bring_up(home: &Home, args: &Args) -> Result<System, Failure> {
    // One process at a time brings things up: the chain's first transactions must come in their order.
    let _turn = home.turn().await?;
    let tuning = Tuning { latency_ms: args.latency_ms, unknown_permille: args.unknown_permille };
    let parts = Parts::start(home, tuning).await?;
    let port = if args.port == 0 { settla_devkit::ports::free_port()? } else { args.port };
    let local = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let reconcile = ReconcileConfig {
        every: Duration::from_secs(args.reconcile_every_s),
        grace_at_most: Duration::from_secs(args.reconcile_grace_s),
    };
    let mut platform = platform::start(parts.platform(
        home,
        &args.reach,
        local(port),
        local(0),
        reconcile,
        args.trusted_proxies.clone(),
    )?)
    .await?;
    // Who is told that the system is ready gets the money at the bank and hears of it.
    tokio::time::timeout(INTRODUCED_WITHIN, platform.introduced()).await.map_err(|_| {
        Failure::new("the sandbox does not take our address for its events").try_next("see sandbox/sandbox.log")
    })?;
    parts.fund_wallet(platform.wallet).await?;
    let tenants = seed::tenants(home, &parts, platform.api).await?;
    if let Some(limit) = args.requests_per_minute {
        seed::limit_requests(&parts, &tenants, limit).await?;
    }
    Ok(System { parts, platform, tenants })
}
