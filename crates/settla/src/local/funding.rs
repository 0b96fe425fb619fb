//! Money for a tenant, as it comes in life: announced to us, then paid into our account at the bank.

use super::{ApiClient, ServerFacts};
use crate::failure::Failure;
use serde_json::json;
use settla_domain::money::Money;

/// Announces a top-up and has the bank receive it. The statement does the rest. With the same `key` the money
/// comes once.
pub async fn top_up(
    tenant: &ApiClient,
    bank: &ServerFacts,
    amount: Money,
    payer: &str,
    key: &str,
) -> Result<(), Failure> {
    let announced = json!({ "currency": amount.currency, "amount": amount.decimal() });
    let topup = tenant.post("/v1/treasury/topups", key, &announced).await?.success()?;
    let reference = topup["reference"].as_str().ok_or_else(|| Failure::new("the top-up has no reference"))?;
    let incoming = json!({
        "account": bank.account, "currency": amount.currency, "amount": amount.minor.to_string(), "reference": reference, "payer_name": payer,
    });
    ApiClient::new(&bank.url, &bank.key)?.post("/_control/incoming", key, &incoming).await?.success()?;
    Ok(())
}
