//! The tenants that send: set up as an operator would, funded through the bank, each with an endpoint.

use super::Args;
use super::hooks::Hooks;
use super::load::AMOUNT_MINOR;
use super::share::Shares;
use crate::dev::Home;
use crate::failure::Failure;
use crate::local::{ApiClient, System, top_up};
use crate::operator::{self, NewKeyTerms, Terms};
use serde_json::json;
use settla_domain::limit::Limits;
use settla_domain::money::{Currency, Money};
use settla_store::Store;
use settla_store::operator::{RateOverrides, set_rate_limits};
use std::time::Duration;

/// Rate limits are on, as for everybody; these tenants have an agreement.
const UNHINDERED: RateOverrides = RateOverrides {
    quotes: Some(1_000_000),
    transfers: Some(1_000_000),
    treasury_reads: Some(1_000_000),
    other: Some(1_000_000),
};
const ACTOR: &str = "settla bench";
/// How long the top-ups may take to be credited.
const FUNDED_WITHIN: Duration = Duration::from_secs(60);
/// What a webhook tells the receiver: the money is there, or a transfer has ended.
const EVENTS: [&str; 6] = [
    "topup.credited",
    "transfer.completed",
    "transfer.refunded",
    "transfer.under_review",
    "transfer.failed",
    "transfer.cancelled",
];

/// Sets the tenants up and returns their clients, which share connections, once all are funded.
pub(super) async fn set_up(args: &Args, system: &System, db: &Store, hooks: &Hooks) -> Result<Vec<ApiClient>, Failure> {
    let home = Home::open(system.dir())?;
    let master = home.master_key()?;
    let hasher = home.signing_hasher()?;
    // With fees, and some more: whoever runs dry here would measure refusals.
    let shares = Shares::new(args.tenants, args.first_tenant_percent);
    let total = u64::from(args.rate) * u64::from(args.seconds);
    let shared = ApiClient::new(&system.facts.api, "")?;
    let mut clients = Vec::new();
    for number in 0..args.tenants {
        let transfers = i64::try_from(shares.at_most(number, total))?;
        let needed = transfers * AMOUNT_MINOR * 2;
        let limits = Limits { per_transfer: AMOUNT_MINOR * 2, per_day: needed, pending: needed };
        let terms = Terms { limits, ..Terms::default() };
        let slug = format!("bench-{number}");
        let tenant = operator::create_tenant(db, &master, &slug, &slug, &terms, ACTOR).await?;
        set_rate_limits(&db.operator, tenant.number, &UNHINDERED, ACTOR).await?;
        let (_, key) = operator::create_key(db, &hasher, &tenant, &NewKeyTerms::default(), "bench", ACTOR).await?;
        let client = shared.with_key(key.expose());
        let endpoint = json!({ "url": hooks.url(clients.len()), "events": EVENTS });
        let endpoint = client.post("/v1/webhook-endpoints", "bench-endpoint", &endpoint).await?.success()?;
        hooks.trust(endpoint["secret"].as_str().unwrap_or_default())?;
        let amount = Money::new(Currency::GBP, i128::from(needed));
        top_up(&client, &system.facts.bank, amount, &slug, &format!("{slug}-funds")).await?;
        clients.push(client);
    }
    if !hooks.funded(clients.len(), FUNDED_WITHIN).await {
        return Err(Failure::new(format!("the top-ups were not credited within {FUNDED_WITHIN:?}")));
    }
    Ok(clients)
}
