//! Two tenants to try things with: made as an operator would, and funded through the bank.

use super::home::{Home, TenantCredentials};
use super::parts::Parts;
use crate::failure::Failure;
use crate::local::{ApiClient, ServerFacts, top_up};
use crate::operator::{self, NewKeyTerms, Terms};
use crate::platform::{BANK, BANK_ACCOUNT};
use crate::sandbox;
use settla_domain::money::{Currency, Money};
use settla_store::operator::{RateOverrides, set_rate_limits};
use settla_store::{Store, StoreConfig};
use std::net::SocketAddr;
use std::time::Duration;

const TENANTS: [(&str, &str); 2] = [("acme", "Acme Remit Ltd"), ("globex", "Globex Pay GmbH")];
/// What each tenant is given in each currency, in minor units.
const TOPUP_MINOR: i128 = 10_000_000_000;

/// Makes the tenants at first start; returns them at every start.
pub async fn tenants(home: &Home, parts: &Parts, api: SocketAddr) -> Result<Vec<TenantCredentials>, Failure> {
    let mut known = home.credentials()?;
    if known.len() == TENANTS.len() {
        return Ok(known);
    }
    let store = Store::open(&StoreConfig::new(parts.database_url.clone())).await?;
    let master = home.master_key()?;
    let bank = ServerFacts {
        name: BANK.to_owned(),
        url: parts.sandbox_url(sandbox::BANK),
        key: home.sandbox_key(sandbox::BANK)?.to_owned(),
        account: BANK_ACCOUNT.to_owned(),
    };
    let hasher = home.signing_hasher()?;
    for (slug, name) in TENANTS.iter().skip(known.len()) {
        // A start that was cut short may have made the tenant and not noted its key: it gets another one.
        let tenant = match settla_store::operator::find_tenant(&store.operator, slug).await? {
            Some(tenant) => tenant,
            None => operator::create_tenant(&store, &master, slug, name, &Terms::default(), "settla dev").await?,
        };
        let (_, key) =
            operator::create_key(&store, &hasher, &tenant, &NewKeyTerms::default(), "dev", "settla dev").await?;
        let credentials = TenantCredentials {
            slug: (*slug).to_owned(),
            name: (*name).to_owned(),
            tenant_id: tenant.id.to_string(),
            api_key: key.expose().to_owned(),
        };
        let client = ApiClient::new(&format!("http://{api}"), &credentials.api_key)?;
        for currency in [Currency::GBP, Currency::EUR, Currency::USD] {
            top_up(&client, &bank, Money::new(currency, TOPUP_MINOR), name, &format!("dev-seed-{slug}-{currency}"))
                .await?;
        }
        credited(&client).await?;
        known.push(credentials);
        home.keep_credentials(&known)?;
    }
    store.close().await;
    Ok(known)
}

/// Changes how many requests a minute the seeded tenants may make.
pub async fn limit_requests(parts: &Parts, tenants: &[TenantCredentials], limit: u32) -> Result<(), Failure> {
    let store = Store::open(&StoreConfig::new(parts.database_url.clone())).await?;
    let every = Some(limit);
    let limits = RateOverrides { quotes: every, transfers: every, treasury_reads: every, other: every };
    for tenant in tenants {
        if let Some(row) = settla_store::operator::find_tenant(&store.operator, &tenant.slug).await? {
            set_rate_limits(&store.operator, row.number, &limits, "settla dev").await?;
        }
    }
    store.close().await;
    Ok(())
}

/// Waits until the statement has been applied: who is told that the system is ready can spend.
async fn credited(client: &ApiClient) -> Result<(), Failure> {
    for _ in 0..300 {
        let positions = client.get("/v1/treasury/positions").await?.success()?;
        let full = |p: &&serde_json::Value| p["available"] == Money::new(Currency::GBP, TOPUP_MINOR).decimal().as_str();
        if positions["data"].as_array().is_some_and(|rows| rows.iter().filter(full).count() == 3) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(Failure::new("the seeded money does not arrive").try_next("see the log in the system's folder"))
}
