//! What `settla dev` tells when it is ready.

use super::home::{Home, TenantCredentials};
use super::parts::{CHAIN_ID, Parts};
use crate::platform::{BANK_ACCOUNT, Running};
use crate::ui;
use std::time::Duration;

/// Everything another command needs to work with this system.
pub fn facts(home: &Home, parts: &Parts, running: &Running, tenants: &[TenantCredentials]) -> serde_json::Value {
    let keys = home.sandbox_keys();
    serde_json::json!({
        "api": format!("http://{}", running.api),
        "metrics": format!("http://{}/metrics", running.metrics),
        "database_url": parts.database_url,
        "rpc_url": parts.rpc_url(),
        "chain_id": CHAIN_ID,
        "token": parts.token,
        "wallet": running.wallet,
        "bank": { "url": parts.sandbox_url(0), "key": keys.bank, "account": BANK_ACCOUNT },
        "on_ramp": { "url": parts.sandbox_url(1), "key": keys.on_ramp },
        "off_ramp": { "url": parts.sandbox_url(2), "key": keys.off_ramp },
        "fx": { "url": parts.sandbox_url(3), "key": keys.fx },
        "tenants": tenants,
        "pids": parts.pids(),
        "log": home.log(),
    })
}

/// For people: where things are, keys, and three requests to try.
pub fn print(facts: &serde_json::Value, took: Duration) {
    let text = |pointer: &str| facts.pointer(pointer).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
    let api = text("/api");
    println!("{} in {:.1} s\n", ui::green("Settla is ready"), took.as_secs_f64());
    let rows = [
        ("API", api.clone()),
        ("API documentation", format!("{api}/docs")),
        ("metrics", text("/metrics")),
        ("chain (JSON-RPC)", text("/rpc_url")),
        ("bank", text("/bank/url")),
        ("on-ramp", text("/on_ramp/url")),
        ("off-ramp", text("/off_ramp/url")),
        ("price feed", text("/fx/url")),
        ("log", text("/log")),
    ];
    for (name, value) in rows {
        println!("  {name:<18} {value}");
    }
    println!();
    for tenant in facts["tenants"].as_array().into_iter().flatten() {
        println!(
            "  {:<18} {}",
            tenant["slug"].as_str().unwrap_or_default(),
            ui::bold(tenant["api_key"].as_str().unwrap_or_default())
        );
    }
    let key = text("/tenants/0/api_key");
    println!("\nTry:\n");
    println!("  curl -s {api}/v1/treasury/positions -H 'Authorization: Bearer {key}'\n");
    println!(
        "  curl -s {api}/v1/quotes -H 'Authorization: Bearer {key}' -H \"Idempotency-Key: $(uuidgen)\" \\\n    -H 'Content-Type: application/json' -d '{{\"source_currency\":\"GBP\",\"destination_currency\":\"NGN\",\"source_amount\":\"1250.00\"}}'\n"
    );
    println!("  curl -s {api}/v1/transfers -H 'Authorization: Bearer {key}'\n");
    println!("{}", ui::dim("Ctrl-C stops it; everything is kept for the next start."));
}
