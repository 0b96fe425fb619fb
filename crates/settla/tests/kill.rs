//! kill -9 of the platform at random instants, while bank, providers and chain live on. Afterwards everything
//! has ended, nothing was paid twice, and everybody's books agree to the minor unit.

mod common;

use common::Fixture;
use common::instants::Instants;
use common::persist::post_until_answered;
use settla::local::{Amount, ApiClient, transfer_body};
use std::collections::HashSet;
use std::time::Duration;

/// Pays once; returns the transfer's id.
async fn pay(client: ApiClient, n: usize) -> String {
    let amount = format!("{}.{:02}", 100 + n % 50, n % 100);
    let ask = serde_json::json!({ "source_currency": "GBP", "destination_currency": "NGN", "source_amount": amount });
    let quote = post_until_answered(std::slice::from_ref(&client), "/v1/quotes", &format!("quote-{n}"), &ask).await;
    let body = transfer_body(quote["id"].as_str().unwrap(), &format!("kill-{n}"));
    let transfer =
        post_until_answered(std::slice::from_ref(&client), "/v1/transfers", &format!("transfer-{n}"), &body).await;
    transfer["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_at_ten_random_instants_loses_and_doubles_nothing() {
    const TRANSFERS: usize = 200;
    let kills = settla_devkit::rounds(10, 100);
    let mut instants = Instants::new();
    let mut fixture = Fixture::start("kill", &["--unknown-permille", "20"]).await;
    let clients = [fixture.system.client(0).unwrap(), fixture.system.client(1).unwrap()];

    let payers: Vec<_> = (0..TRANSFERS)
        .map(|n| {
            let client = clients[n % 2].clone();
            // Spread over the time of the kills, so that each finds transfers in every state.
            let delay = Duration::from_millis(n as u64 * 120);
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                (n % 2, pay(client, n).await)
            })
        })
        .collect();
    for _ in 0..kills {
        tokio::time::sleep(Duration::from_millis(instants.next_ms(50, 2_500))).await;
        fixture.system.kill_platform().await.unwrap();
        fixture.system.restart_platform().await.unwrap_or_else(|failure| panic!("{failure}"));
    }

    let mut ids = HashSet::new();
    for payer in payers {
        let (tenant, id) = payer.await.unwrap();
        assert!(ids.insert(id.clone()), "two requests, one transfer: {id}");
        let transfer = clients[tenant]
            .wait_for(&id, &["COMPLETED"], Duration::from_secs(120))
            .await
            .unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!(transfer["state"], "COMPLETED");
    }
    // No transfer beside those that were acknowledged.
    let mut listed = 0;
    for client in &clients {
        let mut cursor = String::new();
        loop {
            let page = client.get(&format!("/v1/transfers?limit=200{cursor}")).await.unwrap().success().unwrap();
            listed += page["data"].as_array().unwrap().len();
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
    }
    assert_eq!(listed, TRANSFERS);
    fixture.books_agree().await;
    fixture.stop().await;
}

/// The seeded tenants' first payment after a kill in the middle of nothing: the system carries on where it was.
#[tokio::test]
async fn a_killed_system_is_found_again() {
    let mut fixture = Fixture::start("found", &[]).await;
    let before = fixture.system.facts.clone();
    fixture.system.kill_platform().await.unwrap();
    fixture.system.restart_platform().await.unwrap_or_else(|failure| panic!("{failure}"));
    let after = &fixture.system.facts;
    assert_eq!(
        (before.pids.anvil, before.pids.sandbox, before.pids.postgres),
        (after.pids.anvil, after.pids.sandbox, after.pids.postgres)
    );
    assert_ne!(before.pids.platform, after.pids.platform);
    assert_eq!((&before.wallet, &before.token), (&after.wallet, &after.token));
    let client = fixture.system.client(0).unwrap();
    let transfer = client.pay(Amount::Source("10.00"), "after").await.unwrap();
    client.wait_for(transfer["id"].as_str().unwrap(), &["COMPLETED"], Duration::from_secs(30)).await.unwrap();
    fixture.books_agree().await;
    fixture.stop().await;
}
