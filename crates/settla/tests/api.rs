//! The API end to end, as a tenant's backend meets it.

mod common;

use common::{Fixture, minor, positions, program};
use futures_util::future::join_all;
use serde_json::{Value, json};
use settla::local::{Amount, ApiClient, Receiver, System};
use settla_devkit::TestFolder;
use std::collections::HashSet;
use std::time::{Duration, Instant};
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(60);

/// The bank receives money for us.
async fn incoming(fixture: &Fixture, currency: &str, minor_units: &str, reference: &str) {
    let bank = &fixture.system.facts.bank;
    let body = json!({ "account": bank.account, "currency": currency, "amount": minor_units, "reference": reference, "payer_name": "Somebody" });
    let response = reqwest::Client::new()
        .post(format!("{}/_control/incoming", bank.url))
        .bearer_auth(&bank.key)
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status().as_u16(), 201);
}

#[tokio::test]
async fn the_tenants_server_hears_of_its_payment() {
    let fixture = Fixture::start("api", &[]).await;
    let client = fixture.system.client(0).unwrap();
    let receiver = Receiver::start().await.unwrap();
    let ask = json!({ "url": receiver.url, "events": ["transfer.completed", "topup.credited", "withdrawal.paid"] });
    let endpoint = client.post("/v1/webhook-endpoints", "endpoint", &ask).await.unwrap().success().unwrap();
    receiver.trust(endpoint["secret"].as_str().unwrap()).unwrap();
    let again = client.post("/v1/webhook-endpoints", "endpoint", &ask).await.unwrap();
    assert!(again.replayed && again.body["secret"].is_null(), "a replay does not show the secret: {}", again.body);

    // The main job.
    let transfer = client.pay(Amount::Source("1250.00"), "INV-1").await.unwrap();
    let id = transfer["id"].as_str().unwrap().to_owned();
    let told = receiver.wait_for(|r| r.body["data"]["transfer_id"] == id.as_str(), SOON).await.expect("a webhook");
    assert_eq!((&told.body["type"], &told.body["data"]["state"]), (&json!("transfer.completed"), &json!("COMPLETED")));
    let done = client.transfer_by_id(&id).await.unwrap();
    assert_eq!(done["paid"], done["price"]["destination"]);
    assert_eq!(done["settlement_tx"], told.body["data"]["settlement_tx"]);

    // Money in: what the bank credits counts, not what was announced.
    let before = positions(&client).await.get("GBP", "available");
    let topup = client
        .post("/v1/treasury/topups", "topup", &json!({ "currency": "GBP", "amount": "500.00" }))
        .await
        .unwrap()
        .success()
        .unwrap();
    assert_eq!(positions(&client).await.get("GBP", "available"), before, "an announcement moves no money");
    let reference = topup["reference"].as_str().unwrap();
    incoming(&fixture, "GBP", "12345", reference).await;
    receiver.wait_for(|r| r.body["type"] == "topup.credited", SOON).await.expect("a webhook");
    assert_eq!(positions(&client).await.get("GBP", "available"), before + 12_345);
    // In another currency, or with a reference nobody knows, it is nobody's yet; the books still agree.
    incoming(&fixture, "USD", "777", reference).await;
    incoming(&fixture, "GBP", "888", "who knows").await;

    // Money out.
    let ask = json!({
        "currency": "GBP", "amount": "100.00", "reference": "WD-1",
        "account": { "name": "Acme Remit Ltd", "type": "uk_account", "sort_code": "20-00-00", "account_number": "55779911" },
    });
    let withdrawal = client.post("/v1/treasury/withdrawals", "wd-1", &ask).await.unwrap().success().unwrap();
    assert_eq!((&withdrawal["state"], &withdrawal["account"]), (&json!("PENDING"), &json!("****9911")));
    receiver.wait_for(|r| r.body["type"] == "withdrawal.paid", SOON).await.expect("a webhook");
    let repeated = client.post("/v1/treasury/withdrawals", "another-key", &ask).await.unwrap();
    assert_eq!((repeated.status, repeated.code()), (422, "reference_used"), "a reference is unique for ever");
    assert_eq!(positions(&client).await.get("GBP", "available"), before + 12_345 - 10_000);

    assert_eq!(receiver.refused(), 0);
    // The statement's last entries may be on their way into our books.
    let deadline = std::time::Instant::now() + SOON;
    while !settla::reconcile::check(&fixture.system.facts).await.unwrap().ok() && std::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    fixture.books_agree().await;
    fixture.stop().await;
}

#[tokio::test]
async fn duplicates_refusals_and_strangers_change_nothing() {
    let fixture = Fixture::start("dup", &[]).await;
    let (client, other) = (fixture.system.client(0).unwrap(), fixture.system.client(1).unwrap());

    // 32 concurrent requests with one key: one transfer, one answer.
    let quote = client.quote("GBP", "NGN", Amount::Source("20.00")).await.unwrap().success().unwrap();
    let quote_id = quote["id"].as_str().unwrap().to_owned();
    let answers = join_all((0..32).map(|_| client.transfer("one-key", &quote_id, "dup"))).await;
    let ids: HashSet<String> =
        answers.iter().map(|a| a.as_ref().unwrap().body["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(answers.iter().filter(|a| !a.as_ref().unwrap().replayed).count(), 1);
    let id = ids.into_iter().next().unwrap();
    let other_body = client.transfer("one-key", &quote_id, "another reference").await.unwrap();
    assert_eq!((other_body.status, other_body.code()), (422, "idempotency_conflict"));
    let used = client.transfer("another-key", &quote_id, "dup").await.unwrap();
    assert_eq!((used.status, used.code()), (422, "quote_used"));

    // The first answer stays the first answer after the transfer has moved on.
    client.wait_for(&id, &["COMPLETED"], SOON).await.unwrap();
    let replay = client.transfer("one-key", &quote_id, "dup").await.unwrap();
    assert_eq!((replay.replayed, &replay.body["state"]), (true, &json!("FUNDED")));
    let late = client.post(&format!("/v1/transfers/{id}/cancel"), "cancel", &Value::Null).await.unwrap();
    assert_eq!((late.status, late.code()), (409, "not_cancellable"));

    // Another tenant finds nothing of it, and cannot use the quote.
    let quote = client.quote("GBP", "NGN", Amount::Source("20.00")).await.unwrap().success().unwrap();
    let quote_id = quote["id"].as_str().unwrap();
    for path in [format!("/v1/transfers/{id}"), format!("/v1/transfers/{id}/events"), format!("/v1/quotes/{quote_id}")]
    {
        assert_eq!(other.get(&path).await.unwrap().status, 404, "{path}");
    }
    let postings = other.get(&format!("/v1/ledger/postings?transfer_id={id}")).await.unwrap();
    assert_eq!(postings.body["data"], json!([]));
    let stolen = other.transfer("stolen", quote_id, "stolen").await.unwrap();
    assert_eq!((stolen.status, stolen.code()), (422, "quote_not_found"));
    let page = client.get("/v1/transfers?limit=1").await.unwrap().success().unwrap();
    if let Some(cursor) = page["next_cursor"].as_str() {
        assert_eq!(other.get(&format!("/v1/transfers?limit=1&cursor={cursor}")).await.unwrap().status, 400);
    }

    // Limits: one transfer, and what is not there.
    let before = positions(&client).await;
    let quote = client.quote("GBP", "NGN", Amount::Source("1000001.00")).await.unwrap().success().unwrap();
    let refused = client.transfer(&Uuid::now_v7().to_string(), quote["id"].as_str().unwrap(), "big").await.unwrap();
    assert_eq!((refused.status, refused.code()), (422, "limit_per_transfer"));
    let ask = json!({
        "currency": "GBP", "amount": "99999000.00", "reference": "all of it",
        "account": { "name": "Acme Remit Ltd", "type": "iban", "iban": "GB82WEST12345698765432" },
    });
    let refusal = client
        .post(
            "/v1/treasury/withdrawals",
            "all",
            &json!({ "currency": "GBP", "amount": "100000001.00", "reference": "more", "account": ask["account"] }),
        )
        .await
        .unwrap();
    assert_eq!((refusal.status, refusal.code()), (422, "insufficient_funds"));
    let listed = client.get("/v1/transfers").await.unwrap().success().unwrap();
    assert_eq!(listed["data"].as_array().unwrap().len(), 1, "a refused create leaves no transfer");
    assert_eq!(positions(&client).await.get("GBP", "available"), before.get("GBP", "available"));

    // Beneficiaries as a bank would check them.
    for (account, field) in [
        (
            json!({ "type": "nuban", "bank_code": "011", "account_number": "0000014570" }),
            "beneficiary/account/account_number",
        ),
        (json!({ "type": "iban", "iban": "DE89370400440532013001" }), "beneficiary/account/type"),
    ] {
        let mut body = settla::local::transfer_body(quote_id, "bad");
        body["beneficiary"]["account"] = account;
        let answer = client.post("/v1/transfers", &Uuid::now_v7().to_string(), &body).await.unwrap();
        assert_eq!((answer.status, answer.body["field"].as_str()), (400, Some(field)), "{}", answer.body);
    }
    fixture.books_agree().await;
    fixture.stop().await;
}

#[tokio::test]
async fn a_tenant_gets_no_more_through_than_was_agreed() {
    let fixture = Fixture::start("rate", &[]).await;
    let limit =
        async |options: &[&str]| drop(settla(&fixture, &[&["tenant", "requests", "acme"], options].concat()).await);
    let (client, other) = (fixture.system.client(0).unwrap(), fixture.system.client(1).unwrap());
    // Terms that are changed hold for every process within a second.
    let holds = async |quotes: u64, transfers: u64| {
        let begun = Instant::now();
        loop {
            let me = client.get("/v1/me").await.unwrap().success().unwrap();
            let shown: Vec<_> =
                me["rate_limits"].as_array().unwrap().iter().map(|l| l["per_minute"].as_u64()).collect();
            if shown == [Some(quotes), Some(transfers), Some(2_000), Some(1_000)] {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(1), "{shown:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    limit(&["--quotes", "3", "--transfers", "1"]).await;
    holds(3, 1).await;
    let mut codes = Vec::new();
    for _ in 0..4 {
        let quote = client.quote("GBP", "NGN", Amount::Source("20.00")).await.unwrap();
        codes.push((quote.status, quote.code().to_owned()));
    }
    assert_eq!(codes.iter().filter(|(status, _)| *status == 201).count(), 3, "{codes:?}");
    assert_eq!(codes[3], (429, "rate_limited".to_owned()));
    // Not the other classes (the key's owner has just seen what holds), nor the other tenant.
    other.quote("GBP", "NGN", Amount::Source("20.00")).await.unwrap().success().unwrap();
    // The usual limits again, without waiting for the minute to end.
    limit(&[]).await;
    holds(1_000, 500).await;
    client.quote("GBP", "NGN", Amount::Source("20.00")).await.unwrap().success().unwrap();
    fixture.stop().await;
}

/// What a command on the fixture's folder prints.
async fn settla(fixture: &Fixture, args: &[&str]) -> String {
    let mut command = tokio::process::Command::new(program());
    let output = command.args(args).arg("--dir").arg(fixture.system.dir()).output().await.unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn two_processes_share_a_database_and_one_takes_over() {
    let mut fixture = Fixture::start("two", &[]).await;
    let second =
        System::start(program(), fixture.system.dir(), &[]).await.unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(fixture.system.facts.database_url, second.facts.database_url);
    assert_ne!(fixture.system.facts.api, second.facts.api);
    let (first, other) = (fixture.system.client(0).unwrap(), second.client(0).unwrap());
    // One key at both: one transfer.
    let quote = first.quote("GBP", "NGN", Amount::Source("30.00")).await.unwrap().success().unwrap();
    let quote_id = quote["id"].as_str().unwrap();
    let answers = join_all((0..20).map(|n| {
        if n % 2 == 0 { first.transfer("both", quote_id, "both") } else { other.transfer("both", quote_id, "both") }
    }))
    .await;
    let ids: HashSet<String> =
        answers.into_iter().map(|a| a.unwrap().success().unwrap()["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 1);
    let mut paid: Vec<String> = ids.into_iter().collect();
    for n in 0..10 {
        let client = if n % 2 == 0 { &first } else { &other };
        paid.push(
            client.pay(Amount::Source("15.00"), &format!("two-{n}")).await.unwrap()["id"].as_str().unwrap().to_owned(),
        );
    }
    // A key that is revoked is refused by both within a second, also by one that knows it from before.
    let made = settla(&fixture, &["key", "create", "acme", "--name", "brief"]).await;
    let key = made.split_whitespace().find(|word| word.starts_with("sk_test_")).unwrap();
    let gateways = [first.with_key(key), other.with_key(key)];
    for gateway in &gateways {
        gateway.get("/v1/me").await.unwrap().success().unwrap();
    }
    let keys: Value = serde_json::from_str(&settla(&fixture, &["key", "list", "--json"]).await).unwrap();
    let id = keys.as_array().unwrap().iter().find(|key| key["name"] == "brief").unwrap()["id"].as_str().unwrap();
    settla(&fixture, &["key", "revoke", id]).await;
    let revoked = Instant::now();
    for gateway in &gateways {
        while gateway.get("/v1/me").await.unwrap().status != 401 {
            assert!(revoked.elapsed() < Duration::from_secs(1), "a revoked key works on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    // The first one has the signer. It dies; the second one settles what is open.
    fixture.system.kill_platform().await.unwrap();
    for id in &paid {
        let transfer = other.wait_for(id, &["COMPLETED"], SOON).await.unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!(minor(&transfer["paid"]), minor(&transfer["price"]["destination"]));
    }
    fixture.books_agree().await;
    second.stop().await.unwrap();
    fixture.stop().await;
}

#[tokio::test]
async fn a_different_hmac_secret_does_not_start() {
    let mut fixture = Fixture::start("hmac", &[]).await;
    fixture.system.kill_platform().await.unwrap();
    let file = fixture.system.dir().join("secrets.json");
    let good = std::fs::read_to_string(&file).unwrap();
    let mut secrets: Value = serde_json::from_str(&good).unwrap();
    secrets["api_key_hmac_secrets"][0]["secret"] = json!("ab".repeat(32));
    std::fs::write(&file, secrets.to_string()).unwrap();
    assert!(fixture.system.restart_platform().await.is_err());
    let said = std::fs::read_to_string(fixture.system.dir().join("platform.err")).unwrap();
    assert!(said.contains("a different SETTLA_API_KEY_HMAC_SECRET"), "{said}");
    std::fs::write(&file, good).unwrap();
    fixture.system.restart_platform().await.unwrap_or_else(|failure| panic!("{failure}"));
    fixture.stop().await;
}

#[tokio::test]
async fn a_start_that_fails_leaves_nothing_running() {
    let folder = TestFolder::new("taken").unwrap();
    let dir = folder.path().join("system");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let output = tokio::process::Command::new(program())
        .args(["dev", "--port", &taken.local_addr().unwrap().port().to_string(), "--dir"])
        .arg(&dir)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("choose another port with --port"), "{said}");
    for lock in ["postgres/postgres.lock", "chain/anvil.lock", "sandbox/sandbox.lock"] {
        // A part holds its lock for as long as it lives.
        std::fs::File::open(dir.join(lock)).unwrap().try_lock().unwrap_or_else(|error| panic!("{lock}: {error}"));
    }
}

/// A ledger account as it is, or as it was.
async fn account(client: &ApiClient, id: &str, at: &str) -> settla::local::Answer {
    client.get(&format!("/v1/ledger/accounts/{id}{at}")).await.unwrap()
}

#[tokio::test]
async fn a_balance_is_that_of_the_instant_that_is_asked_for() {
    let fixture = Fixture::start("instants", &[]).await;
    let (client, other) = (fixture.system.client(0).unwrap(), fixture.system.client(1).unwrap());
    let paid = client.pay(Amount::Source("75.00"), "instants").await.unwrap();
    client.wait_for(paid["id"].as_str().unwrap(), &["COMPLETED"], SOON).await.unwrap();
    let accounts = client.get("/v1/ledger/accounts").await.unwrap().success().unwrap();
    let accounts = accounts["data"].as_array().unwrap();
    let mut compared = 0;
    for shown in accounts {
        let id = shown["id"].as_str().unwrap();
        let postings = client.get(&format!("/v1/ledger/postings?account={id}&limit=200")).await.unwrap();
        let postings = postings.success().unwrap();
        let mut balance = 0;
        let mut oldest_first: Vec<&Value> = postings["data"].as_array().unwrap().iter().collect();
        oldest_first.reverse();
        for (place, posting) in oldest_first.iter().enumerate() {
            let kind = shown["kind"].as_str().unwrap();
            let amount = minor(&posting["amount"]);
            balance += if posting["credit"] == kind { amount } else { -amount };
            if oldest_first.get(place + 1).is_some_and(|next| next["at"] == posting["at"]) {
                continue;
            }
            let at = posting["at"].as_str().unwrap();
            let then = account(&client, id, &format!("?at={at}")).await.success().unwrap();
            assert_eq!((&then["at"], &then["kind"]), (&posting["at"], &shown["kind"]));
            let of = json!({ "currency": shown["currency"], "amount": then["balance"] });
            assert_eq!(minor(&of), balance, "{id} at {at}");
            compared += 1;
        }
        if let Some(last) = oldest_first.last() {
            let then = account(&client, id, &format!("?at={}", last["at"].as_str().unwrap())).await.success().unwrap();
            assert_eq!(then["balance"], shown["balance"]);
        }
        let before = account(&client, id, "?at=2020-01-01T00:00:00%2B02:00").await.success().unwrap();
        assert_eq!(minor(&json!({ "currency": shown["currency"], "amount": before["balance"] })), 0);
    }
    assert!(compared > 5, "{compared}");

    // Nobody else's, nor the platform's, nor what is yet to come.
    let mine = accounts[0]["id"].as_str().unwrap();
    let at = "?at=2026-01-01T00:00:00Z";
    for (client, id) in [(&other, mine), (&client, "GBP-00000000006500000000000000000000")] {
        let answer = account(client, id, at).await;
        assert_eq!((answer.status, answer.code()), (404, "ledger_account_not_found"), "{id}");
    }
    let answer = account(&client, mine, "?at=2999-01-01T00:00:00Z").await;
    assert_eq!((answer.status, answer.code()), (400, "invalid_parameter"));
    fixture.books_agree().await;
    fixture.stop().await;
}
