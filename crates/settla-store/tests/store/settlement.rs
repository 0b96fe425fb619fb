//! A member is in one live batch, whoever gathers and whatever is said twice.

use crate::apply::{apply, transfer};
use crate::life::{find, gather, lane, settle, sign};
use crate::support::{check::assert_books, findings_to_completion, funding, open, report, tenant};
use settla_devkit::TestDatabase;
use settla_domain::effect::EffectKind;
use settla_domain::finding::Finding;
use settla_domain::id::BatchId;
use settla_domain::money::{Currency, Money};
use settla_domain::transfer::Transfer;
use settla_store::settlement::{self, ClosedBy, Member};
use settla_store::{Store, StoreError, outbox, read};
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
    let stored = settlement::members(&store.worker, batch).await.unwrap();
    assert_eq!(effects(&stored), effects(&members));
    assert!(stored.is_sorted_by_key(|member| member.effect));

    settlement::done(&store.worker, batch).await.unwrap();
    settlement::confirmed(&store.worker, batch, "0xaa").await.unwrap();
    assert_eq!(status(&store, batch).await, "closed", "told before it was signed");
    for _ in 0..2 {
        sign(&store, batch, 4, "0xaa", 10).await.unwrap();
    }
    let open = settlement::open(&store.worker, 10).await.unwrap().pop().unwrap();
    assert_eq!((open.status.as_str(), open.nonce, open.tx_hash.as_deref()), ("signed", Some(4), Some("0xaa")));
    let another = sign(&store, batch, 5, "0xbb", 11).await;
    assert!(matches!(another, Err(StoreError::Corrupt("settlement"))), "{another:?}");
    // Fees raised: another transaction at the same nonce; whichever is in a block counts.
    sign(&store, batch, 4, "0xcc", 12).await.unwrap();
    let signed = settlement::transactions(&store.worker, batch).await.unwrap();
    let hashes: Vec<_> = signed.iter().map(|tx| (tx.tx_hash.as_str(), tx.raw.as_slice())).collect();
    assert_eq!(hashes, [("0xaa", &b"0xaa"[..]), ("0xcc", &b"0xcc"[..])]);

    settlement::confirmed(&store.worker, batch, "0xaa").await.unwrap();
    let open = settlement::open(&store.worker, 10).await.unwrap().pop().unwrap();
    assert_eq!((open.status.as_str(), open.tx_hash.as_deref()), ("confirmed", Some("0xaa")));
    for transfer in &transfers {
        let settled = Finding::Settled { batch: BatchId(batch), tx: "0xaa".to_owned() };
        find(&store, &[report(transfer, EffectKind::Settle, settled)]).await;
    }
    assert!(settlement::not_final(&store.worker, 10).await.unwrap().is_empty());
    settlement::done(&store.worker, batch).await.unwrap();
    settlement::confirmed(&store.worker, batch, "0xcc").await.unwrap();
    settlement::failed(&store.worker, batch, "reverted", 0).await.unwrap();
    assert!(sign(&store, batch, 4, "0xdd", 14).await.is_err());
    assert_eq!(status(&store, batch).await, "done");
    let watched = settlement::not_final(&store.worker, 10).await.unwrap();
    assert_eq!(watched.iter().map(|b| (b.batch, b.tx_hash.as_deref())).collect::<Vec<_>>(), [(batch, Some("0xaa"))]);
    settlement::found_again(&store.worker, batch, "0xcc").await.unwrap();
    assert_eq!(settlement::not_final(&store.worker, 10).await.unwrap()[0].tx_hash.as_deref(), Some("0xcc"));
    settlement::finalised(&store.worker, &[batch]).await.unwrap();
    assert!(settlement::not_final(&store.worker, 10).await.unwrap().is_empty());
    assert!(settlement::open(&store.worker, 10).await.unwrap().is_empty());
    assert!(gather(&store, 10).await.claims.is_empty());
    assert_books(&store).await;
}

#[tokio::test]
async fn batches_that_wait_for_an_off_ramp_are_not_in_the_way_of_those_to_be_signed() {
    let (_database, store, transfers) = ground(1).await;
    let (first, _) = settle(&store).await;
    sign(&store, first, 0, "0xaa", 10).await.unwrap();
    settlement::confirmed(&store.worker, first, "0xaa").await.unwrap();
    let later = transfer(&store, transfers[0].tenant, 10_000).await;
    find(&store, &findings_to_completion(&later)[..2]).await;
    let (second, _) = settle(&store).await;
    let open = settlement::open(&store.worker, 1).await.unwrap();
    assert_eq!(
        open.iter().map(|b| (b.batch, b.status.as_str())).collect::<Vec<_>>(),
        [(first, "confirmed"), (second, "closed")]
    );
}

#[tokio::test]
async fn what_one_gathers_another_does_not_and_what_is_not_closed_is_due_again() {
    let (database, store, _) = ground(4).await;
    let first = gather(&store, 3).await;
    let second = gather(&store, 3).await;
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
    let mut gathering = gather(&store, 10).await;
    let members: Vec<Member> = gathering
        .claims
        .iter()
        .map(|c| Member { effect: c.id, tenant: c.tenant, subject: c.subject, amount: 1, payout: c.id })
        .collect();
    gathering.close(Uuid::now_v7(), &lane(), ClosedBy::Window, &members, &[]).await.unwrap();
    let twice = gathering.close(Uuid::now_v7(), &lane(), ClosedBy::Alone, &members[..1], &[]).await;
    assert!(matches!(&twice, Err(StoreError::Constraint(name)) if name == "settlement_members_once"), "{twice:?}");
}

#[tokio::test]
async fn members_of_a_failed_batch_join_another_and_stay_there() {
    let (_database, store, transfers) = ground(2).await;
    let (first, members) = settle(&store).await;
    sign(&store, first, 1, "0xaa", 10).await.unwrap();
    settlement::failed(&store.worker, first, "reverted", 0).await.unwrap();
    assert_eq!(status(&store, first).await, "failed");
    let (second, again) = settle(&store).await;
    assert_eq!(effects(&again), effects(&members));
    // Said again, by a process that was late.
    settlement::failed(&store.worker, first, "reverted", 0).await.unwrap();
    assert!(gather(&store, 10).await.claims.is_empty(), "freed from a live batch");
    assert_eq!(settlement::open(&store.worker, 10).await.unwrap().len(), 1);
    let settled = Finding::Settled { batch: BatchId(second), tx: "0xbb".to_owned() };
    find(&store, &transfers.iter().map(|t| report(t, EffectKind::Settle, settled.clone())).collect::<Vec<_>>()).await;
    // An effect that is done stays done, whatever becomes of a batch.
    settlement::failed(&store.worker, second, "reverted", 0).await.unwrap();
    assert!(gather(&store, 10).await.claims.is_empty());
    assert_books(&store).await;
}

#[tokio::test]
async fn members_of_a_failed_batch_wait_for_a_while() {
    let (_database, store, _) = ground(1).await;
    let (batch, _) = settle(&store).await;
    settlement::failed(&store.worker, batch, "reverted", 60_000).await.unwrap();
    assert!(gather(&store, 10).await.claims.is_empty());
    assert_eq!(outbox::backlog(&store.worker).await.unwrap()[0].0, "settle");
}

#[tokio::test]
async fn what_waits_is_seen_without_being_taken() {
    let (_database, store, transfers) = ground(3).await;
    let waiting = settlement::waiting(&store.worker, 100, settlement::AlonePlaces::default()).await.unwrap();
    let total = transfers.iter().map(|t| t.terms.sent.minor).sum();
    let seen: Vec<_> = waiting.iter().map(|w| (w.provider.as_str(), w.currency, w.batched, w.alone, w.total)).collect();
    assert_eq!(seen, [("meridian", Currency::USDC, 3, 0, Money::new(Currency::USDC, total))]);
    assert!(waiting[0].oldest_ms >= 0);
    assert_eq!(effects(&settle(&store).await.1).len(), 3);
    assert!(settlement::waiting(&store.worker, 100, settlement::AlonePlaces::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_tenant_sees_the_batches_of_its_own_transfers_and_of_them_its_own_part() {
    let (_database, store, mine) = ground(2).await;
    let other = tenant(&store, "globex").await;
    apply(&store, other, &funding(other, 10_000_000)).await;
    let theirs = transfer(&store, other, 20_000).await;
    find(&store, &findings_to_completion(&theirs)[..2]).await;
    let (batch, _) = settle(&store).await;
    sign(&store, batch, 4, "0xaa", 10).await.unwrap();
    sign(&store, batch, 4, "0xbb", 12).await.unwrap();

    let owner = mine[0].tenant;
    let listed = read::batches(&store.app, owner, None, 10).await.unwrap();
    let (shown, members) = read::settlement_batch(&store.app, owner, BatchId(batch)).await.unwrap().unwrap();
    assert_eq!(listed, std::slice::from_ref(&shown));
    assert_eq!(
        (shown.status.as_str(), shown.closed_by.as_str(), shown.tx_hash.as_deref()),
        ("signed", "window", Some("0xbb"))
    );
    assert_eq!((shown.members, shown.transactions), (2, vec!["0xaa".to_owned(), "0xbb".to_owned()]));
    assert_eq!(shown.amount.minor, mine.iter().map(|t| t.terms.sent.minor).sum::<i128>());
    assert_eq!(members, mine.iter().map(|t| (t.id, t.terms.sent)).collect::<Vec<_>>());
    let (shown, members) = read::settlement_batch(&store.app, other, BatchId(batch)).await.unwrap().unwrap();
    assert_eq!((shown.members, members), (1, vec![(theirs.id, theirs.terms.sent)]));

    // A third one sees nothing, nor anything before the first batch.
    let stranger = tenant(&store, "initech").await;
    assert_eq!(read::batches(&store.app, stranger, None, 10).await.unwrap(), []);
    assert_eq!(read::settlement_batch(&store.app, stranger, BatchId(batch)).await.unwrap(), None);
    assert_eq!(read::batches(&store.app, owner, Some(batch), 10).await.unwrap(), []);
}
