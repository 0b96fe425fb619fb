//! A member is in one live batch, whoever gathers and whatever is said twice.

use crate::apply::{apply, transfer};
use crate::life::{find, lane, settle};
use crate::support::{check::assert_books, findings_to_completion, funding, open, report, tenant};
use settla_devkit::TestDatabase;
use settla_domain::effect::EffectKind;
use settla_domain::finding::Finding;
use settla_domain::id::BatchId;
use settla_domain::transfer::Transfer;
use settla_store::settlement::{self, Member};
use settla_store::{Store, StoreError, outbox};
use sqlx::{Connection, PgConnection, Row};
use std::collections::BTreeSet;
use uuid::Uuid;

/// So many transfers whose tokens are ours.
async fn ground(transfers: usize) -> (TestDatabase, Store, Vec<Transfer>) {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let tenant = tenant(&store, "acme").await;
    apply(&store, tenant, &funding(tenant, 10_000_000)).await;
    let mut made = Vec::new();
    for _ in 0..transfers {
        let transfer = transfer(&store, tenant, 10_000).await;
        find(&store, &findings_to_completion(&transfer)[..2]).await;
        made.push(transfer);
    }
    (database, store, made)
}

async fn status(store: &Store, batch: Uuid) -> String {
    let row = sqlx::query("SELECT status FROM settlements WHERE batch = $1").bind(batch).fetch_one(&store.worker).await;
    row.unwrap().get(0)
}

fn effects(members: &[Member]) -> BTreeSet<Uuid> {
    members.iter().map(|member| member.effect.0).collect()
}

#[tokio::test]
async fn a_batch_goes_from_closed_to_done() {
    let (_database, store, transfers) = ground(3).await;
    let (batch, members) = settle(&store).await;
    let settles = transfers.iter().map(|t| EffectKind::Settle.id_for(t.id.0).0).collect();
    assert_eq!(effects(&members), settles);
    let open = settlement::open(&store.worker, 10).await.unwrap().pop().unwrap();
    assert_eq!((open.batch, open.lane, open.status.as_str()), (batch, lane(), "closed"));
    assert_eq!(i128::from(open.total), transfers.iter().map(|t| t.terms.sent.minor).sum::<i128>());
    assert_eq!(open.manifest_hash, [7; 32]);
    let stored = settlement::members(&store.worker, batch).await.unwrap();
    assert_eq!(effects(&stored), effects(&members));
    assert!(stored.is_sorted_by_key(|member| member.effect));

    settlement::moved(&store.worker, batch, "done").await.unwrap();
    assert_eq!(status(&store, batch).await, "closed", "done before it was signed");
    for _ in 0..2 {
        settlement::signed(&store.worker, batch, 4, "0xaa", &[1, 2]).await.unwrap();
    }
    let open = settlement::open(&store.worker, 10).await.unwrap().pop().unwrap();
    assert_eq!(
        (open.status.as_str(), open.tx_hash.as_deref(), open.raw.as_deref()),
        ("signed", Some("0xaa"), Some(&[1, 2][..]))
    );
    let another = settlement::signed(&store.worker, batch, 5, "0xbb", &[3]).await;
    assert!(matches!(another, Err(StoreError::Corrupt("settlement"))), "{another:?}");

    settlement::moved(&store.worker, batch, "confirmed").await.unwrap();
    for transfer in &transfers {
        let settled = Finding::Settled { batch: BatchId(batch), tx: "0xaa".to_owned() };
        find(&store, &[report(transfer, EffectKind::Settle, settled)]).await;
    }
    settlement::moved(&store.worker, batch, "done").await.unwrap();
    for said_late in ["confirmed", "signed", "closed"] {
        settlement::moved(&store.worker, batch, said_late).await.unwrap();
    }
    settlement::failed(&store.worker, batch, 0).await.unwrap();
    assert_eq!(status(&store, batch).await, "done");
    assert!(settlement::open(&store.worker, 10).await.unwrap().is_empty());
    assert!(settlement::gather(&store.worker, 10).await.unwrap().claims.is_empty());
    assert_books(&store).await;
}

#[tokio::test]
async fn what_one_gathers_another_does_not_and_what_is_not_closed_is_due_again() {
    let (database, store, _) = ground(4).await;
    let first = settlement::gather(&store.worker, 3).await.unwrap();
    let second = settlement::gather(&store.worker, 3).await.unwrap();
    assert_eq!((first.claims.len(), second.claims.len()), (3, 1));
    let ids: BTreeSet<Uuid> = first.claims.iter().chain(&second.claims).map(|claim| claim.id.0).collect();
    assert_eq!(ids.len(), 4);
    // The process dies: its transaction ends with it.
    drop(first);
    second.commit().await.unwrap();
    let mut superuser = PgConnection::connect(database.url()).await.unwrap();
    let until_it_has = "SELECT FROM settla.outbox FOR UPDATE";
    sqlx::query(until_it_has).execute(&mut superuser).await.unwrap();
    assert_eq!(effects(&settle(&store).await.1), ids);
}

#[tokio::test]
async fn a_member_is_in_one_live_batch() {
    let (_database, store, _) = ground(2).await;
    let mut gathering = settlement::gather(&store.worker, 10).await.unwrap();
    let members: Vec<Member> = gathering
        .claims
        .iter()
        .map(|c| Member { effect: c.id, tenant: c.tenant, subject: c.subject, amount: 1 })
        .collect();
    gathering.close(Uuid::now_v7(), &lane(), &members, &[]).await.unwrap();
    let twice = gathering.close(Uuid::now_v7(), &lane(), &members[..1], &[]).await;
    assert!(matches!(&twice, Err(StoreError::Constraint(name)) if name == "settlement_members_once"), "{twice:?}");
}

#[tokio::test]
async fn members_of_a_failed_batch_join_another_and_stay_there() {
    let (_database, store, transfers) = ground(2).await;
    let (first, members) = settle(&store).await;
    settlement::signed(&store.worker, first, 1, "0xaa", &[1]).await.unwrap();
    settlement::failed(&store.worker, first, 0).await.unwrap();
    assert_eq!(status(&store, first).await, "failed");
    let (second, again) = settle(&store).await;
    assert_eq!(effects(&again), effects(&members));
    // Said again, by a process that was late.
    settlement::failed(&store.worker, first, 0).await.unwrap();
    assert!(settlement::gather(&store.worker, 10).await.unwrap().claims.is_empty(), "freed from a live batch");
    assert_eq!(settlement::open(&store.worker, 10).await.unwrap().len(), 1);
    let settled = Finding::Settled { batch: BatchId(second), tx: "0xbb".to_owned() };
    find(&store, &transfers.iter().map(|t| report(t, EffectKind::Settle, settled.clone())).collect::<Vec<_>>()).await;
    // An effect that is done stays done, whatever becomes of a batch.
    settlement::failed(&store.worker, second, 0).await.unwrap();
    assert!(settlement::gather(&store.worker, 10).await.unwrap().claims.is_empty());
    assert_books(&store).await;
}

#[tokio::test]
async fn members_of_a_failed_batch_wait_for_a_while() {
    let (_database, store, _) = ground(1).await;
    let (batch, _) = settle(&store).await;
    settlement::failed(&store.worker, batch, 60_000).await.unwrap();
    assert!(settlement::gather(&store.worker, 10).await.unwrap().claims.is_empty());
    assert_eq!(outbox::backlog(&store.worker).await.unwrap()[0].0, "settle");
}
