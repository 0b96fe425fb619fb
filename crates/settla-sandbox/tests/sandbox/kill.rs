//! kill -9 of a sandbox in a process of its own, again and again.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use settla_sandbox::{Funder, Sandbox, SandboxConfig};
use uuid::Uuid;

use crate::{
    anvil::CHAIN_ID,
    world::{
        ACCOUNT, Client, Ground,
        Server::{Bank, Fx, Offramp, Onramp},
        Urls, balance_in, keys, manifest, providers, server, sum,
    },
};

const CHILD: &str = "SETTLA_SANDBOX_TEST_CHILD";
const LATENCY_MS: u64 = 250;
const ORDERS: usize = 40;
const TOP_UP: u128 = 10_000_000;
const GBP: u128 = 10_000;
const USDC: u128 = 1_000_000;
const NGN: u128 = 150_000;
const SOLD: u128 = 77;

/// Not a test: the program that the test kills. Does nothing unless it is asked to.
#[test]
fn sandbox_process() {
    let Ok(settings) = std::env::var(CHILD) else { return };
    let settings: Value = serde_json::from_str(&settings).unwrap();
    let text = |name: &str| settings[name].as_str().unwrap().to_owned();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let token = text("token").parse().unwrap();
        let mut config = SandboxConfig::new(text("dir").into(), keys(), providers(), text("rpc"), CHAIN_ID, token);
        config.latency_ms = LATENCY_MS;
        config.funder = Some(Funder::default());
        let running = Sandbox::start(config).await.unwrap();
        let providers = running.providers.iter().map(|one| json!([one.name, one.url, one.address]));
        let providers: Vec<Value> = providers.collect();
        let ready = json!({ "bank": running.bank_url, "fx": running.fx_url, "providers": providers });
        println!("\nREADY {ready}");
        // Ends with the test that started it.
        let _ = tokio::task::spawn_blocking(|| std::io::stdin().lines().count()).await;
    });
}

struct Process {
    child: Child,
    client: Client,
    deposit: settla_evm::Address,
}

impl Process {
    fn start(ground: &Ground) -> Self {
        let settings = json!({
            "dir": ground.dir.path().join("sandbox"),
            "rpc": ground.anvil.url,
            "token": ground.token.address(),
        });
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::sandbox_process", "--nocapture"])
            .env(CHILD, settings.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let ready = lines.into_iter().find_map(|line| line.strip_prefix("READY ").map(str::to_owned));
        let ready: Value = serde_json::from_str(&ready.expect("the sandbox did not start")).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let providers = ready["providers"].as_array().unwrap();
        let mut urls: Urls = providers.iter().map(|one| (server(&text(&one[0])), text(&one[1]))).collect();
        urls.extend([(Bank, text(&ready["bank"])), (Fx, text(&ready["fx"]))]);
        let meridian = providers.iter().find(|one| one[0] == "meridian").unwrap();
        let deposit = text(&meridian[2]).parse().unwrap();
        Self { child, client: Client::new(urls), deposit }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a start until it is answered: the sandbox may be killed under it, and is then another process.
async fn start(client: &Client, server: crate::world::Server, path: &str, id: Uuid, body: &Value) -> bool {
    matches!(client.try_post(server, path, &id.to_string(), body).await, Ok((status, _)) if status == 202)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_done_twice() {
    let ground = Ground::new().await;
    ground.mint(USDC * ORDERS as u128).await;
    let mut process = Process::start(&ground);
    process.client.open_account().await;
    process.client.top_up("GBP", TOP_UP).await;
    let asked = process.client.usdc_for_gbp(GBP).await;

    let payouts: Vec<(Uuid, u128)> = (0..ORDERS).map(|_| (Uuid::now_v7(), USDC)).collect();
    let batch_id = Uuid::now_v7();
    let tx_hash = ground.send(process.deposit, batch_id, &payouts).await;
    process.client.post(Offramp, "/v1/settlements", "s", &manifest(tx_hash, batch_id, &payouts)).await;
    let mut waiting: Vec<(bool, Uuid, Value)> = Vec::new();
    for (n, (payout, _)) in payouts.iter().enumerate() {
        let order = Uuid::now_v7();
        let body = json!({
            "client_order_id": order,
            "source": { "currency": "GBP", "amount": GBP.to_string() },
            "destination": { "currency": "USDC", "amount": asked.to_string() },
            "wallet_address": ground.wallet, "bank_account": ACCOUNT,
        });
        waiting.push((true, order, body));
        // Of four: one is rejected, one goes to our own account, two go to somebody.
        let (currency, amount, account) = match n % 4 {
            0 => ("NGN", 400_000_001, "0123456789"),
            1 => ("GBP", SOLD, ACCOUNT),
            _ => ("NGN", NGN, "0123456789"),
        };
        let body = json!({
            "client_payout_id": payout,
            "source": { "currency": "USDC", "amount": USDC.to_string() },
            "destination": { "currency": currency, "amount": amount.to_string() },
            "beneficiary": { "name": "Ada", "account_number": account, "bank_code": "058", "country": "NG" },
            "settlement_tx_hash": tx_hash, "return_address": ground.wallet,
        });
        waiting.push((false, *payout, body));
    }

    // Starts go on while the sandbox is killed: at each kill some are in the air.
    for kill_after_ms in [40, 150, 260, 370, 90, 480, 200] {
        let deadline = tokio::time::sleep(Duration::from_millis(kill_after_ms));
        tokio::pin!(deadline);
        let client = process.client.clone();
        while let Some((is_order, id, body)) = waiting.last() {
            let (server, path) = if *is_order { (Onramp, "/v1/orders") } else { (Offramp, "/v1/payouts") };
            tokio::select! {
                () = &mut deadline => break,
                answered = start(&client, server, path, *id, body) => if answered { waiting.pop(); },
            }
            // Not all in the first window.
            tokio::task::yield_now().await;
        }
        if waiting.is_empty() {
            deadline.await;
        }
        drop(process);
        process = Process::start(&ground);
    }
    let client = process.client.clone();
    for (is_order, id, body) in &waiting {
        let (server, path) = if *is_order { (Onramp, "/v1/orders") } else { (Offramp, "/v1/payouts") };
        assert!(start(&client, server, path, *id, body).await);
    }

    let onramp = client.until(Onramp, "/v1/summary", |summary| summary["orders"]["completed"] == ORDERS).await;
    let rejected = ORDERS.div_ceil(4);
    let (paid, sold) = (ORDERS - rejected, ORDERS / 4);
    let done = |summary: &Value| summary["payouts"]["paid"] == paid && summary["payouts"]["rejected"] == rejected;
    let offramp = client.until(Offramp, "/v1/summary", done).await;

    let count = i128::try_from(ORDERS).unwrap();
    let taken = count * i128::try_from(GBP).unwrap();
    let entries = client.statement(Bank, &format!("/v1/accounts/{ACCOUNT}/statement")).await;
    assert_eq!(entries.len(), ORDERS + 1 + sold);
    let balance = i128::try_from(TOP_UP + SOLD * sold as u128).unwrap() - taken;
    assert_eq!(sum(&entries, "GBP"), balance);
    assert_eq!(client.balance("GBP").await, balance);
    assert_eq!(balance_in(&onramp["fiat_taken"], "GBP"), taken);
    assert_eq!(balance_in(&onramp["tokens_delivered"], "USDC"), count * i128::try_from(asked).unwrap());
    assert_eq!(balance_in(&offramp["paid"], "NGN"), i128::try_from(NGN * (paid - sold) as u128).unwrap());
    assert_eq!(balance_in(&offramp["paid"], "GBP"), i128::try_from(SOLD * sold as u128).unwrap());
    assert_eq!(balance_in(&offramp["tokens_returned"], "USDC"), i128::try_from(USDC * rejected as u128).unwrap());
    assert_eq!(ground.tokens(process.deposit).await, USDC * paid as u128);
    assert_eq!(ground.tokens(ground.wallet).await, asked * ORDERS as u128 + USDC * rejected as u128);
}
