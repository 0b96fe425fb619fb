//! What must hold once nothing is broken any more.

use crate::common::Fixture;
use crate::load::Paid;
use settla::books;
use settla::local::{ApiClient, Facts};
use settla_evm::Rpc;
use sqlx::{Connection, PgConnection, Row};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

/// From the last blow until everything has ended.
const ENDED_WITHIN: Duration = Duration::from_secs(180);
/// From then on until the last findings are in everybody's books.
const BOOKED_WITHIN: Duration = Duration::from_secs(60);
/// Between two looks. The API has no call that waits for all of a tenant's payments.
const LOOK: Duration = Duration::from_millis(500);
/// States that nothing but people lead on from.
const ENDS: [&str; 5] = ["COMPLETED", "CANCELLED", "REFUNDED", "FAILED", "UNDER_REVIEW"];

/// Waits until all is at rest, then checks that every payment that was acknowledged is there once and has ended as
/// it must, that no other is there, and that everybody's books agree.
pub async fn settled(fixture: &Fixture, paid: Vec<Paid>) {
    let expected: HashMap<&str, &Paid> = paid.iter().map(|paid| (paid.id.as_str(), paid)).collect();
    assert_eq!(expected.len(), paid.len(), "two payments were acknowledged as one transfer");
    let begun = Instant::now();
    let states = loop {
        let mut states = HashMap::new();
        for tenant in 0..2 {
            states.extend(transfers(&fixture.system.client(tenant).unwrap()).await);
        }
        let open: BTreeMap<_, _> = states.iter().filter(|(_, state)| !ENDS.contains(&state.as_str())).collect();
        if open.is_empty() {
            break states;
        }
        assert!(begun.elapsed() < ENDED_WITHIN, "{} have not ended: {open:#?}", open.len());
        tokio::time::sleep(LOOK).await;
    };
    println!("all have ended after {:.1} s", begun.elapsed().as_secs_f64());
    for (id, paid) in &expected {
        assert_eq!(states.get(*id).map(String::as_str), Some(paid.ends), "{id} of tenant {}", paid.tenant);
    }
    assert_eq!(states.len(), paid.len(), "there are transfers that nobody was told of");
    at_rest(&fixture.system.facts).await;
    fixture.books_agree().await;
    one_payment_a_batch(&fixture.system.facts).await;
}

/// A tenant's transfers with their states.
async fn transfers(client: &ApiClient) -> HashMap<String, String> {
    let (mut states, mut cursor) = (HashMap::new(), String::new());
    loop {
        let page = client.get(&format!("/v1/transfers?limit=200{cursor}")).await.unwrap().success().unwrap();
        for transfer in page["data"].as_array().unwrap() {
            let text = |field: &str| transfer[field].as_str().unwrap().to_owned();
            assert!(states.insert(text("id"), text("state")).is_none(), "{} is listed twice", text("id"));
        }
        let Some(next) = page["next_cursor"].as_str() else { return states };
        cursor = format!("&cursor={next}");
    }
}

/// No work is left, none was set aside, and the last line of everybody's statement has been read.
async fn at_rest(facts: &Facts) {
    const LEFT: [(&str, &str); 3] = [
        ("effects", "SELECT count(*) FROM settla.outbox WHERE status NOT IN ('done', 'cancelled')"),
        ("effects set aside", "SELECT count(*) FROM settla.outbox WHERE set_aside IS NOT NULL"),
        ("batches", "SELECT count(*) FROM settla.settlements WHERE status NOT IN ('done', 'failed')"),
    ];
    let mut database = PgConnection::connect(&facts.database_url).await.unwrap();
    let begun = Instant::now();
    loop {
        let mut left = Vec::new();
        for (what, count) in LEFT {
            let count: i64 = sqlx::query_scalar(count).fetch_one(&mut database).await.unwrap();
            if count > 0 {
                left.push(format!("{what}: {count}"));
            }
        }
        left.extend(books::check(facts).await.unwrap().failures());
        if left.is_empty() {
            return;
        }
        assert!(begun.elapsed() < BOOKED_WITHIN, "{left:#?}");
        tokio::time::sleep(LOOK).await;
    }
}

/// Each batch that is done was paid by one transaction with one transfer of tokens, and nothing else has left our
/// wallet. No transfer is in two of them.
async fn one_payment_a_batch(facts: &Facts) {
    let mut database = PgConnection::connect(&facts.database_url).await.unwrap();
    let rows = sqlx::query("SELECT tx_hash FROM settla.settlements WHERE status = 'done'").fetch_all(&mut database);
    let done: Vec<String> = rows.await.unwrap().iter().map(|row| row.get("tx_hash")).collect();
    let rpc = Rpc::connect(&facts.rpc_url, facts.chain_id).await.unwrap();
    let head = rpc.block_number().await.unwrap();
    let sent = rpc.token_transfers(facts.token, 0, head, Some(facts.wallet), None).await.unwrap();
    let sent: Vec<String> = sent.iter().map(|transfer| transfer.tx_hash.to_string()).collect();
    let set = |list: &[String]| list.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(set(&sent), set(&done));
    assert_eq!((set(&sent).len(), set(&done).len()), (sent.len(), done.len()), "a batch was paid twice");
    let twice =
        "SELECT count(*) FROM (SELECT 1 FROM settla.settlement_members m JOIN settla.settlements s USING (batch)
        WHERE s.status = 'done' GROUP BY m.effect HAVING count(*) > 1) twice";
    assert_eq!(sqlx::query_scalar::<_, i64>(twice).fetch_one(&mut database).await.unwrap(), 0);
    assert!(!done.is_empty());
    println!("{} batches", done.len());
}
