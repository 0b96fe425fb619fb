//! What holds when everything has ended: no work is left, everybody's books agree, nothing was paid twice.

use settla::local::Facts;
use settla::reconcile;
use settla_evm::Rpc;
use sqlx::{Connection, PgConnection, Row};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// From the end of the last payment until the last findings are in everybody's books.
const BOOKED_WITHIN: Duration = Duration::from_secs(60);
/// Between two looks. Nothing tells when the last line of a statement has been read.
const LOOK: Duration = Duration::from_millis(500);

/// No work is left, none was set aside, and the last line of everybody's statement has been read.
pub async fn at_rest(facts: &Facts) {
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
        let report = reconcile::check(facts).await.unwrap();
        left.extend(report.breaks.iter().map(|found| format!("{found:?}")));
        left.extend(report.unread.iter().map(|book| format!("{book} cannot be read")));
        if left.is_empty() {
            break;
        }
        assert!(begun.elapsed() < BOOKED_WITHIN, "{left:#?}");
        tokio::time::sleep(LOOK).await;
    }
    one_payment_a_batch(facts, &mut database).await;
}

/// Each batch that is done was paid by one transaction with one transfer of tokens, and nothing else has left our
/// wallet. No transfer is in two of them.
async fn one_payment_a_batch(facts: &Facts, database: &mut PgConnection) {
    let rows = sqlx::query("SELECT tx_hash FROM settla.settlements WHERE status = 'done'").fetch_all(&mut *database);
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
    assert_eq!(sqlx::query_scalar::<_, i64>(twice).fetch_one(database).await.unwrap(), 0);
    assert!(!done.is_empty());
    println!("{} batches", done.len());
}
