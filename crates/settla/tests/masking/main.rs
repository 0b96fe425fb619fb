//! Personal data and keys stay where they belong. A system logs everything it can (`SETTLA_LOG=trace`) while
//! canaries go through every personal field, on good ways and bad ones; afterwards they are searched for in
//! everything that the platform wrote, said and kept.

mod backend;
#[path = "../common/mod.rs"]
mod common;
mod log;
mod people;
mod places;

use backend::Backend;
use common::Fixture;
use common::search::{Canary, Finder, Place};
use log::check_log;
use people::{People, word};
use places::{files, named, tables};
use serde_json::{Value, json};
use settla::local::{Receiver, System};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

/// Transfers that complete, and such that are refused on the way.
async fn transfers(backend: &Backend, people: &People, receiver: &Receiver, reference: &str) {
    let ways = [
        ("NGN", "source_amount", "25.00", people.in_nigeria(), "transfer.completed"),
        ("EUR", "source_amount", "25.00", people.in_germany(), "transfer.completed"),
        ("NGN", "source_amount", "4000.01", people.in_nigeria(), "transfer.refunded"),
        ("NGN", "destination_amount", "4000000.01", people.in_nigeria(), "transfer.refunded"),
    ];
    let mut expected = Vec::new();
    for (to, which, amount, beneficiary, end) in ways {
        let quote = backend.quote(to, which, amount).await;
        let transfer = backend.post("/v1/transfers", &people.transfer(&quote, reference, beneficiary.clone())).await;
        assert_eq!(transfer.status, 201, "{}", transfer.body);
        let used = backend.post("/v1/transfers", &people.transfer(&quote, reference, beneficiary)).await;
        assert_eq!((used.status, used.text("code").as_str()), (422, "quote_used"));
        expected.push((transfer.text("id"), end));
    }
    for (id, end) in expected {
        let told =
            receiver.wait_for(|r| r.body["data"]["transfer_id"] == id.as_str() && r.body["type"] == end, SOON).await;
        assert!(told.is_some(), "{id} is not {end}: {}", backend.get(&format!("/v1/transfers/{id}")).await.body);
        for path in [
            format!("/v1/transfers/{id}"),
            format!("/v1/transfers/{id}/events"),
            format!("/v1/ledger/postings?transfer_id={id}"),
        ] {
            assert_eq!(backend.get(&path).await.status, 200, "{path}");
        }
    }
}

/// Money in with a payer's name, announced and not; money out to accounts of the tenant's own.
async fn treasury(backend: &Backend, people: &People, receiver: &Receiver, system: &System) {
    let topup = backend.post("/v1/treasury/topups", &json!({ "currency": "GBP", "amount": "5.00" })).await;
    let bank = &system.facts.bank;
    for reference in [topup.text("reference").as_str(), "whoever"] {
        let body = json!({ "account": bank.account, "currency": "GBP", "amount": "500", "reference": reference, "payer_name": people.payer_name });
        let url = format!("{}/_control/incoming", bank.url);
        let response = reqwest::Client::new().post(url).bearer_auth(&bank.key).json(&body).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 201);
    }
    receiver.wait_for(|r| r.body["type"] == "topup.credited", SOON).await.expect("a top-up");
    let accounts = [
        json!({ "name": people.holder_name, "type": "uk_account", "sort_code": "99-73-91", "account_number": people.holder_account }),
        json!({ "name": people.holder_name, "type": "iban", "iban": people.holder_iban }),
    ];
    for (n, account) in accounts.into_iter().enumerate() {
        let ask = json!({ "currency": "GBP", "amount": "10.00", "reference": format!("WD-{n}"), "account": account });
        let made = backend.post("/v1/treasury/withdrawals", &ask).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let id = made.text("id");
        let paid = receiver
            .wait_for(|r| r.body["type"] == "withdrawal.paid" && r.body["data"]["withdrawal_id"] == id.as_str(), SOON)
            .await;
        assert!(paid.is_some(), "{id} is not paid");
        let again = backend.post("/v1/treasury/withdrawals", &ask).await;
        assert_eq!((again.status, again.text("code").as_str()), (422, "reference_used"));
    }
    assert_eq!(backend.get("/v1/treasury/withdrawals").await.status, 200);
}

/// The same in wrong places and forms: errors, some of which name the field.
async fn mistakes(backend: &Backend, people: &People) {
    let quote = backend.quote("NGN", "source_amount", "25.00").await;
    let good = people.transfer(&quote, "mistake", people.in_nigeria());
    let with = |pointer: &str, value: Value| {
        let mut body = good.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    let wrong_iban = format!("GB00{}", &people.sender_account[4..]);
    let wrong = [
        with("/beneficiary/country", json!(people.payee_name)),
        with("/beneficiary/account/type", json!(people.nuban)),
        with("/beneficiary/account/account_number", json!(people.nuban.parse::<u64>().unwrap())),
        with("/beneficiary/account/account_number", json!([people.nuban])),
        with("/beneficiary/account/account_number", json!({ people.nuban: people.nuban })),
        with("/beneficiary/account/account_number", json!(format!("{}-", people.nuban))),
        with("/beneficiary/account/bank_code", json!(people.payee_name)),
        with("/beneficiary/account", json!({ "type": "iban", "iban": wrong_iban })),
        with("/beneficiary/account", json!(people.payee_iban)),
        with("/beneficiary/name", json!(people.payee_name.repeat(20))),
        with("/beneficiary/name", json!(format!("{}\u{7}", people.payee_name))),
        with("/beneficiary", json!(people.payee_name)),
        with("/sender/account", json!(wrong_iban)),
        with("/sender/name", json!(null)),
        with("/reference", json!(format!("{}\n", people.sender_name))),
        with("/reference", json!(people.nuban.parse::<u64>().unwrap())),
        with("/quote_id", json!(people.sender_name)),
        with("/sender", json!({ "name": people.sender_name, "phone": people.sender_account })),
    ];
    for body in &wrong {
        let told = backend.post("/v1/transfers", body).await;
        assert!(matches!(told.status, 400 | 422), "{} {}", told.status, told.body);
    }
    let text = good.to_string();
    for body in [
        text[..text.len() - 2].to_owned(),
        format!("{text}{}", people.sender_name),
        text.replace(':', "="),
        people.sender_name.clone(),
    ] {
        assert_eq!(backend.send(backend.mutation("/v1/transfers", body)).await.status, 400);
    }
    assert_eq!(backend.send(backend.mutation_as("text/plain", "/v1/transfers", text.clone())).await.status, 415);
    assert_eq!(backend.send(backend.mutation("/v1/transfers", text.repeat(2_000))).await.status, 413);

    // In paths, queries and headers, where they have no business.
    let payee = people.payee_name.replace(' ', "%20");
    for path in [
        format!("/v1/transfers/{payee}"),
        format!("/v1/transfers?state={payee}"),
        format!("/v1/transfers?cursor={}", people.nuban),
        format!("/v1/nothing/{payee}"),
        format!("/v1/me?api_key={}", backend.key),
    ] {
        let told = backend.get(&path).await;
        assert!(matches!(told.status, 400 | 404), "{path}: {} {}", told.status, told.body);
    }
    let keyed = backend
        .request("POST", "/v1/transfers")
        .bearer_auth(&backend.key)
        .header("idempotency-key", people.sender_name.repeat(20));
    assert_eq!(backend.send(keyed.json(&good)).await.status, 400);
    for authorization in [
        format!("Basic {}", backend.key),
        format!("Bearer {}0", backend.key),
        format!("Bearer {}", backend.key.replace("test", "live")),
    ] {
        assert_eq!(
            backend.send(backend.request("GET", "/v1/me").header("authorization", authorization)).await.status,
            401
        );
    }
    // A webhook that pretends to be the bank's.
    let forged = backend
        .request("POST", "/webhooks/providers/sandbank")
        .header("webhook-id", "m1")
        .header("webhook-timestamp", "1");
    let forged = forged
        .header("webhook-signature", "v1,AAAA")
        .json(&json!({ "data": { "entry": { "counterparty": people.payer_name } } }));
    assert_eq!(backend.send(forged).await.status, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_personal_and_no_key_leaves_its_place() {
    let fixture = Fixture::start_with_env("masking", &[], &[("SETTLA_LOG", "trace")]).await;
    let system = &fixture.system;
    let (backend, people) = (Backend::new(system), People::new());
    let receiver = Receiver::start().await.unwrap();
    // Its answer shows the secret, once and on purpose.
    let made = backend
        .send_as("endpoint", backend.mutation("/v1/webhook-endpoints", json!({ "url": receiver.url }).to_string()))
        .await;
    let secret = made.text("secret");
    receiver.trust(&secret).unwrap();

    // These do travel: what the searches must find.
    let (reference, request_id) = (word("planted"), word("asked"));
    transfers(&backend, &people, &receiver, &reference).await;
    treasury(&backend, &people, &receiver, system).await;
    mistakes(&backend, &people).await;
    backend.send_as(&request_id, backend.request("GET", "/v1/me").bearer_auth(&backend.key)).await;
    assert_eq!(backend.get("/v1/webhook-deliveries").await.status, 200);
    fixture.books_agree().await;

    let webhooks: Vec<String> =
        receiver.received().iter().map(|r| format!("{} {} {}", r.id, r.signature, r.body)).collect();
    let mut places = vec![
        Place { name: "webhooks".to_owned(), bytes: webhooks.join("\n").into_bytes() },
        Place { name: "metrics".to_owned(), bytes: common::metrics::scrape(system).await.text.into_bytes() },
        Place { name: "answers".to_owned(), bytes: backend.told.lock().unwrap().clone() },
    ];
    places.extend(tables(&system.facts.database_url).await);
    files(system.dir(), &mut places);
    assert!(named(&places, "platform.log").bytes.len() > 100_000, "it does not log everything");
    check_log(named(&places, "platform.log"), &backend);

    let mut canaries = people.canaries();
    canaries.push(Canary::new("the API key", &backend.key));
    canaries.push(Canary::new("the API key's digits", &backend.key["sk_test_".len()..]));
    canaries.push(Canary::new("the API key's bytes", hex::decode(&backend.key["sk_test_".len()..]).unwrap()));
    canaries.push(Canary::new("the webhook secret", &secret));
    canaries
        .push(Canary::new("the webhook secret's bytes", settla_vault::WebhookSecret::parse(&secret).unwrap().bytes()));
    let finder = Finder::new(canaries);
    let found: Vec<String> = places.iter().flat_map(|place| finder.find(place)).collect();
    assert!(found.is_empty(), "{} found:\n{}", found.len(), found.join("\n"));

    // The same search does find what is there.
    let planted =
        Finder::new(vec![Canary::new("the reference", &reference), Canary::new("the request id", &request_id)]);
    for place in ["webhooks", "answers", "table settla.transfers", "platform.log"] {
        assert!(!planted.find(named(&places, place)).is_empty(), "{place} is searched in vain");
    }
    let log_of_database = places.iter().filter(|place| place.name.contains("/pg_wal/"));
    assert!(
        log_of_database.map(|place| planted.find(place).len()).sum::<usize>() > 0,
        "the database's files are searched in vain"
    );
    for place in ["webhooks", "metrics", "answers", "table settla.events", "platform.log", "platform.err"] {
        let place = named(&places, place);
        let middle = place.bytes.len() / 2;
        for (form, bytes) in finder.canaries().iter().flat_map(Canary::forms) {
            // Set apart, as values are.
            let spoilt = [
                &place.bytes[middle.saturating_sub(200)..middle],
                b"\"",
                &bytes,
                b"\"",
                &place.bytes[middle..(middle + 200).min(place.bytes.len())],
            ]
            .concat();
            let spoilt = Place { name: place.name.clone(), bytes: spoilt };
            assert!(
                !finder.find(&spoilt).is_empty(),
                "{} is not found in {} as {form}",
                String::from_utf8_lossy(&bytes),
                place.name
            );
        }
    }
    fixture.stop().await;
}
