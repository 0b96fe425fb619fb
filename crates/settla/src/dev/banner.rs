//! What `settla dev` tells when it is ready.

use super::home::{Home, TenantCredentials};
use super::parts::{CHAIN_ID, Parts};
use crate::failure::Failure;
use crate::platform::{BANK_ACCOUNT, Running};
use crate::sandbox;
use crate::ui;
use serde_json::{Value, json};
use std::time::Duration;

/// Everything another command needs to work with this system.
pub fn facts(home: &Home, parts: &Parts, running: &Running, tenants: &[TenantCredentials]) -> Result<Value, Failure> {
    let server = |name: &str| -> Result<Value, Failure> {
        Ok(json!({ "name": name, "url": parts.sandbox_url(name), "key": home.sandbox_key(name)? }))
    };
    let all = |names: Vec<String>| names.iter().map(|name| server(name)).collect::<Result<Vec<_>, _>>();
    let (on_ramps, off_ramps) = (all(sandbox::on_ramps())?, all(sandbox::off_ramps())?);
    let mut bank = server(sandbox::BANK)?;
    bank["account"] = BANK_ACCOUNT.into();
    Ok(json!({
        "api": format!("http://{}", running.api),
        "metrics": format!("http://{}/metrics", running.metrics),
        "database_url": parts.database_url,
        "rpc_url": parts.rpc_url(),
        "chain_id": CHAIN_ID,
        "token": parts.token,
        "wallet": running.wallet,
        "bank": bank,
        "on_ramps": on_ramps,
        "off_ramps": off_ramps,
        // The first of each, for whoever needs only one.
        "on_ramp": on_ramps.first(),
        "off_ramp": off_ramps.first(),
        "fx": server(sandbox::FX)?,
        "tenants": tenants,
        "pids": parts.pids(),
        "log": home.log(),
    }))
}

/// For people: where things are, keys, and three requests to try.
pub fn print(facts: &Value, took: Duration) {
    let text = |pointer: &str| facts.pointer(pointer).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
    let api = text("/api");
    println!("{} in {:.1} s\n", ui::green("Settla is ready"), took.as_secs_f64());
    let rows = [
        ("API", api.clone()),
        ("API documentation", format!("{api}/docs")),
        ("metrics", text("/metrics")),
        ("chain (JSON-RPC)", text("/rpc_url")),
        ("bank", text("/bank/url")),
        ("price feed", text("/fx/url")),
        ("log", text("/log")),
    ];
    for (name, value) in rows {
        println!("  {name:<18} {value}");
    }
    for (side, list) in [("on-ramp", "on_ramps"), ("off-ramp", "off_ramps")] {
        for one in facts[list].as_array().into_iter().flatten() {
            let name = format!("{side} {}", one["name"].as_str().unwrap_or_default());
            println!("  {name:<18} {}", one["url"].as_str().unwrap_or_default());
        }
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
