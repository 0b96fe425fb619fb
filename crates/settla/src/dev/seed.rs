//! Two tenants to try things with: made as an operator would, and funded through the bank.

use super::home::{Home, TenantCredentials};
use super::parts::Parts;
use crate::failure::Failure;
use crate::operator::{self, Terms};
use crate::platform::BANK_ACCOUNT;
use settla_rails::http::install_tls_provider;
use settla_store::{Store, StoreConfig};
use settla_vault::{Environment, KeyHasher};
use std::net::SocketAddr;
use std::time::Duration;

const TENANTS: [(&str, &str); 2] = [("acme", "Acme Remit Ltd"), ("globex", "Globex Pay GmbH")];
/// What each tenant is given in each currency, in minor units.
const TOPUP_MINOR: &str = "10000000000";

/// Makes the tenants at first start; returns them at every start.
pub async fn tenants(home: &Home, parts: &Parts, api: SocketAddr) -> Result<Vec<TenantCredentials>, Failure> {
    let mut known = home.credentials()?;
    if known.len() == TENANTS.len() {
        return Ok(known);
    }
    install_tls_provider();
    let store = Store::open(&StoreConfig::new(parts.database_url.clone())).await?;
    let master = home.master_key()?;
    let hasher = KeyHasher::new(1, home.api_key_hmac_secret()?.expose())?;
    for (slug, name) in TENANTS.iter().skip(known.len()) {
        // A start that was cut short may have made the tenant and not noted its key: it gets another one.
        let tenant = match settla_store::operator::find_tenant(&store.operator, slug).await? {
            Some(tenant) => tenant,
            None => operator::create_tenant(&store, &master, slug, name, &Terms::default(), "settla dev").await?,
        };
        let (_, key) = operator::create_key(&store, &hasher, &tenant, Environment::Test, "dev", "settla dev").await?;
        let credentials = TenantCredentials { slug: (*slug).to_owned(), name: (*name).to_owned(), tenant_id: tenant.id.to_string(), api_key: key.expose().to_owned() };
        for currency in ["GBP", "EUR", "USD"] {
            topup(home, parts, api, &credentials, currency).await?;
        }
        known.push(credentials);
        home.keep_credentials(&known)?;
    }
    store.close().await;
    Ok(known)
}

/// Announces a top-up and has the bank receive it. The statement does the rest.
async fn topup(home: &Home, parts: &Parts, api: SocketAddr, tenant: &TenantCredentials, currency: &str) -> Result<(), Failure> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?;
    let topup: serde_json::Value = client
        .post(format!("http://{api}/v1/treasury/topups"))
        .bearer_auth(&tenant.api_key)
        .header("idempotency-key", format!("dev-seed-{}-{currency}", tenant.slug))
        .json(&serde_json::json!({ "currency": currency, "amount": "100000000.00" }))
        .send()
        .await?
        .error_for_status()?
        .json()
        .await?;
    let reference = topup["reference"].as_str().ok_or_else(|| Failure::new("the top-up has no reference"))?;
    client
        .post(format!("{}/_control/incoming", parts.sandbox_url(0)))
        .bearer_auth(&home.sandbox_keys().bank)
        .header("idempotency-key", format!("dev-seed-{}-{currency}", tenant.slug))
        .json(&serde_json::json!({
            "account": BANK_ACCOUNT, "currency": currency, "amount": TOPUP_MINOR, "reference": reference, "payer_name": tenant.name,
        }))
        .send()
        .await?
        .error_for_status()?;
    Ok(())
}
