//! `settla reconcile`: our books with themselves and with everybody else's, now; and what the platform has found so far.
//!
//! It reads everything from the beginning and trusts no sums but its own: it takes as long as the books are long, which
//! is why the platform itself compares only what is new.

mod report;

use crate::dev::{DEPTH, Home};
use crate::failure::Failure;
use crate::local::{Facts, ServerFacts};
use crate::operator::open;
use settla_domain::money::Currency;
use settla_evm::Nodes;
use settla_node::reconcile::{Book, Depth, Grace, Outside, State, round};
use settla_rails::bank::HttpBank;
use settla_rails::chain::Chain;
use settla_rails::http::{Endpoint, Http};
use settla_rails::off_ramp::{HttpOffRamp, OffRamp};
use settla_rails::on_ramp::{HttpOnRamp, OnRamp};
use settla_store::reconcile::{self as kept, Listed};
use settla_store::{Store, StoreConfig};
use settla_vault::Secret;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use report::{BreakView, Report};

/// A page of a statement may take a while on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at what is on its way.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// What the platform has seen so long ago may have gone and come back.
const UNSEEN_AT_MOST: Duration = Duration::from_secs(300);

/// Options of `settla reconcile`.
#[derive(clap::Args)]
pub struct Args {
    /// Folder of the local system.
    #[arg(long, default_value = ".settla", global = true)]
    dir: PathBuf,
    /// For machines.
    #[arg(long, global = true)]
    json: bool,
    /// Seconds for which money may be on its way between two books; 0 for a system at rest.
    #[arg(long, default_value_t = 120)]
    grace_s: u64,
    #[command(subcommand)]
    command: Option<ReconcileCommand>,
}

#[derive(clap::Subcommand)]
enum ReconcileCommand {
    /// List the breaks that the platform has found.
    List {
        /// Those that are gone.
        #[arg(long)]
        resolved: bool,
    },
}

/// Runs it.
pub async fn run(args: Args) -> Result<(), Failure> {
    let home = Home::existing(&args.dir)?;
    if let Some(ReconcileCommand::List { resolved }) = args.command {
        let store = open(&home).await?;
        let listed = if resolved { Listed::Resolved } else { Listed::Open };
        return report::list(&kept::list(&store.auditor, listed).await?, args.json);
    }
    let facts: Facts = serde_json::from_value(home.facts()?)?;
    let report = compare(&facts, Duration::from_secs(args.grace_s)).await?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        report.print();
    }
    report.verdict()
}

/// Compares all books of a system at rest.
pub async fn check(facts: &Facts) -> Result<Report, Failure> {
    compare(facts, Duration::ZERO).await
}

/// Compares all books. What differs and may be on its way is looked at again until it has arrived, or for as long as the
/// grace.
async fn compare(facts: &Facts, grace: Duration) -> Result<Report, Failure> {
    let outside = outside(facts).await?;
    let store = Store::open(&StoreConfig::new(&facts.database_url)).await?;
    let longest = Book::OUTSIDE.into_iter().map(|book| book.grace().min(grace)).max().unwrap_or_default();
    let grace = Grace { at_most: grace, unseen_at_most: UNSEEN_AT_MOST };
    let mut state = State::fresh(kept::load(&store.auditor).await?);
    let begun = Instant::now();
    let report = loop {
        let done = round(&store, &outside, &mut state, Depth::Whole, grace).await?;
        // A statement longer than a round may read goes on with the next one.
        let decided = done.behind.is_empty() && (state.on_their_way().next().is_none() || begun.elapsed() >= longest);
        if decided || !done.unread.is_empty() {
            break Report::new(&state, &done);
        }
        if done.behind.is_empty() {
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    };
    store.close().await;
    Ok(report)
}

async fn outside(facts: &Facts) -> Result<Outside, Failure> {
    let http = |at: &ServerFacts| {
        let key = Secret::new(at.key.clone());
        Http::new(Endpoint { name: at.name.clone(), base_url: at.url.clone(), key, timeout: PATIENCE })
    };
    let mut on_ramps: Vec<Arc<dyn OnRamp>> = Vec::new();
    for at in &facts.on_ramps {
        on_ramps.push(Arc::new(HttpOnRamp::new(http(at)?)));
    }
    let mut off_ramps: Vec<Arc<dyn OffRamp>> = Vec::new();
    for at in &facts.off_ramps {
        off_ramps.push(Arc::new(HttpOffRamp::new(http(at)?)));
    }
    let chain = Chain {
        name: format!("eip155:{}", facts.chain_id),
        rpc: Nodes::connect(std::slice::from_ref(&facts.rpc_url), facts.chain_id).await?,
        currency: Currency::USDC,
        token: facts.token,
        depth: DEPTH,
    };
    Ok(Outside {
        bank: Arc::new(HttpBank::new(http(&facts.bank)?, facts.bank.account.clone())),
        on_ramps,
        off_ramps,
        chain: Arc::new(chain),
        wallet: facts.wallet,
    })
}
