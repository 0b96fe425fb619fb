//! The others' side, from their own statements. An entry that comes twice is kept twice, so that a double
//! payment shows.

use crate::failure::Failure;
use crate::local::{Facts, ServerFacts};
use settla_domain::money::{Currency, Money};
use settla_evm::{Address, Rpc};
use std::collections::BTreeMap;
use std::time::Duration;
use uuid::Uuid;

/// Statement pages read at most.
const PAGES_MAX: usize = 10_000;

/// Everything that the others keep.
#[derive(Default)]
pub struct Theirs {
    /// Balances of our account.
    pub balances: BTreeMap<Currency, i128>,
    /// What was paid in.
    pub incoming: BTreeMap<Currency, i128>,
    /// Direct debits, by order id.
    pub debits: Vec<(Uuid, Money)>,
    /// Payments out, by reference.
    pub payments: Vec<(String, Money)>,
    /// The on-ramps: order, fiat taken, tokens delivered.
    pub orders: Vec<(Uuid, Money, Money)>,
    /// The off-ramps: payouts made.
    pub payouts: Vec<(Uuid, Money)>,
    /// Tokens they got.
    pub tokens_received: i128,
    /// Tokens they gave back.
    pub tokens_returned: i128,
    /// The chain: what our wallet holds.
    pub wallet: i128,
    /// Tokens from the on-ramps' treasuries to our wallet.
    pub delivered: i128,
    /// Tokens from our wallet to the off-ramps.
    pub settled: i128,
    /// Tokens from the off-ramps to our wallet.
    pub returned: i128,
    /// Tokens between our wallet and anybody else.
    pub strangers: i128,
}

/// Reads it.
pub async fn read(facts: &Facts) -> Result<Theirs, Failure> {
    settla_rails::http::install_tls_provider();
    let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?;
    let mut theirs = Theirs::default();
    bank(&http, &facts.bank, &mut theirs).await?;
    for server in &facts.on_ramps {
        on_ramp(&http, server, &mut theirs).await?;
    }
    for server in &facts.off_ramps {
        off_ramp(&http, server, &mut theirs).await?;
    }
    chain(&http, facts, &mut theirs).await?;
    Ok(theirs)
}

async fn get(http: &reqwest::Client, server: &ServerFacts, path: &str) -> Result<serde_json::Value, Failure> {
    let response =
        http.get(format!("{}{path}", server.url)).bearer_auth(&server.key).send().await?.error_for_status()?;
    Ok(response.json().await?)
}

/// All entries of a statement.
async fn statement(
    http: &reqwest::Client,
    server: &ServerFacts,
    path: &str,
) -> Result<Vec<serde_json::Value>, Failure> {
    let (mut entries, mut after) = (Vec::new(), 0u64);
    for _ in 0..PAGES_MAX {
        let page = get(http, server, &format!("{path}?after={after}&limit=1000")).await?;
        let list = page["entries"].as_array().ok_or_else(|| bad(path))?;
        if list.is_empty() {
            return Ok(entries);
        }
        entries.extend(list.iter().cloned());
        after = page["next_after"].as_u64().ok_or_else(|| bad(path))?;
    }
    Err(Failure::new(format!("the statement {path} has no end")))
}

fn bad(what: &str) -> Failure {
    Failure::new(format!("the answer to {what} is not as documented"))
}

fn money(value: &serde_json::Value) -> Result<Money, Failure> {
    let currency: Currency =
        value["currency"].as_str().and_then(|c| c.parse().ok()).ok_or_else(|| bad("a currency"))?;
    let minor = value["amount"].as_str().and_then(|a| a.parse().ok()).ok_or_else(|| bad("an amount"))?;
    Ok(Money::new(currency, minor))
}

fn id(value: &serde_json::Value) -> Result<Uuid, Failure> {
    value.as_str().and_then(|v| v.parse().ok()).ok_or_else(|| bad("an id"))
}

async fn bank(http: &reqwest::Client, server: &ServerFacts, theirs: &mut Theirs) -> Result<(), Failure> {
    let account = get(http, server, &format!("/v1/accounts/{}", server.account)).await?;
    for balance in account["balances"].as_array().ok_or_else(|| bad("balances"))? {
        let balance = money(balance)?;
        theirs.balances.insert(balance.currency, balance.minor);
    }
    for entry in statement(http, server, &format!("/v1/accounts/{}/statement", server.account)).await? {
        let amount = money(&entry)?;
        let out = Money::new(amount.currency, -amount.minor);
        let reference = entry["reference"].as_str().unwrap_or_default();
        match entry["kind"].as_str() {
            Some("incoming") => *theirs.incoming.entry(amount.currency).or_default() += amount.minor,
            Some("direct_debit") => theirs.debits.push((id(&entry["reference"])?, out)),
            Some("payment") => theirs.payments.push((reference.to_owned(), out)),
            _ => return Err(bad("the bank's statement")),
        }
    }
    Ok(())
}

async fn on_ramp(http: &reqwest::Client, server: &ServerFacts, theirs: &mut Theirs) -> Result<(), Failure> {
    for entry in statement(http, server, "/v1/statement").await? {
        theirs.orders.push((
            id(&entry["client_order_id"])?,
            money(&entry["fiat_taken"])?,
            money(&entry["tokens_delivered"])?,
        ));
    }
    Ok(())
}

async fn off_ramp(http: &reqwest::Client, server: &ServerFacts, theirs: &mut Theirs) -> Result<(), Failure> {
    for entry in statement(http, server, "/v1/statement").await? {
        let amount = money(&entry)?;
        match entry["kind"].as_str() {
            Some("tokens_received") => theirs.tokens_received += amount.minor,
            Some("tokens_returned") => theirs.tokens_returned -= amount.minor,
            Some("paid") => theirs.payouts.push((id(&entry["id"])?, Money::new(amount.currency, -amount.minor))),
            _ => return Err(bad("the off-ramp's statement")),
        }
    }
    Ok(())
}

async fn chain(http: &reqwest::Client, facts: &Facts, theirs: &mut Theirs) -> Result<(), Failure> {
    let rpc = Rpc::connect(&facts.rpc_url, facts.chain_id).await?;
    let address = |terms: &serde_json::Value, field: &str| -> Result<Address, Failure> {
        terms[field].as_str().and_then(|a| a.parse().ok()).ok_or_else(|| bad(field))
    };
    let (mut treasuries, mut deposits) = (Vec::new(), Vec::new());
    for server in &facts.on_ramps {
        treasuries.push(address(&get(http, server, "/v1/terms").await?, "treasury_address")?);
    }
    for server in &facts.off_ramps {
        deposits.push(address(&get(http, server, "/v1/terms").await?, "deposit_address")?);
    }
    let small = |amount: u128| i128::try_from(amount).map_err(|_| bad("a token amount"));
    theirs.wallet = small(rpc.token_balance(facts.token, facts.wallet).await?)?;
    let head = rpc.block_number().await?;
    for transfer in rpc.token_transfers(facts.token, 0, head, None, Some(facts.wallet)).await? {
        let sum = match transfer.from {
            from if treasuries.contains(&from) => &mut theirs.delivered,
            from if deposits.contains(&from) => &mut theirs.returned,
            _ => &mut theirs.strangers,
        };
        *sum += small(transfer.amount)?;
    }
    for transfer in rpc.token_transfers(facts.token, 0, head, Some(facts.wallet), None).await? {
        let sum = if deposits.contains(&transfer.to) { &mut theirs.settled } else { &mut theirs.strangers };
        *sum += small(transfer.amount)?;
    }
    Ok(())
}
