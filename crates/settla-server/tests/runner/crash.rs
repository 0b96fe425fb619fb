//! Postgres killed under a running runner, and started again.

use crate::ground::{keyed, plain, transfer_of};
use crate::support::{check::assert_books, create, funding, quote, tenant};
use futures_util::stream::{self, StreamExt};
use settla_devkit::{Postgres, PostgresSettings, TestFolder, rounds};
use settla_domain::decide::Command;
use settla_domain::id::TransferId;
use settla_domain::quote::Quote;
use settla_server::runner::{Runner, RunnerError};
use settla_store::{Store, StoreConfig, read};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

/// Transfers between one kill and the next.
const TRANSFERS: usize = 120;
const AT_A_TIME: usize = 24;

/// Asks until there is an answer, as a tenant would: always with the same key.
async fn persist(runner: &Runner, quote: &Quote) -> TransferId {
    let key = quote.id.to_string();
    loop {
        match runner.submit(keyed(quote.tenant, Command::CreateTransfer(create(quote)), &key)).await {
            Ok(decided) => return transfer_of(decided.answer).id,
            Err(RunnerError::Unavailable) => tokio::task::yield_now().await,
            Err(error) => panic!("{error:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_once() {
    let folder = TestFolder::new("runner").unwrap();
    let first = Postgres::start(folder.path(), PostgresSettings::DURABLE).await.unwrap();
    first.create_database("books").await.unwrap();
    let store = Store::open(&StoreConfig::new(first.url("books"))).await.unwrap();
    let runner = Runner::start(store.clone()).unwrap();
    let tenant = tenant(&store, "acme").await;
    for command in funding(tenant, 1_000_000_000) {
        runner.submit(plain(tenant, command)).await.unwrap();
    }
    let kills = rounds(1, 10) as usize;
    let all = TRANSFERS * (kills + 1);
    let quotes: Vec<Quote> = (0..all).map(|_| quote(tenant, 10_000)).collect();
    let kept = quotes.iter().map(|quote| runner.submit(plain(tenant, Command::CreateQuote(quote.clone()))));
    assert!(futures_util::future::join_all(kept).await.iter().all(Result::is_ok));

    let (acknowledged, progress) = (AtomicUsize::new(0), Notify::new());
    let tenants = stream::iter(&quotes)
        .map(|quote| async {
            let id = persist(&runner, quote).await;
            acknowledged.fetch_add(1, Ordering::SeqCst);
            progress.notify_one();
            id
        })
        .buffer_unordered(AT_A_TIME)
        .collect::<Vec<_>>();
    let killer = async {
        let mut cluster = first.clone();
        for kill in 0..kills {
            while acknowledged.load(Ordering::SeqCst) < TRANSFERS * kill + TRANSFERS / 2 {
                progress.notified().await;
            }
            cluster.kill().await.unwrap();
            cluster = Postgres::start(folder.path(), PostgresSettings::DURABLE).await.unwrap();
            assert!(!cluster.child().was_attached());
        }
    };
    let (told, ()) = tokio::join!(tenants, killer);

    let told: BTreeSet<TransferId> = told.into_iter().collect();
    assert_eq!(told.len(), all);
    let stored = read::transfers(&store.app, tenant, None, None, None, 2 * all as i64).await.unwrap();
    assert_eq!(stored.iter().map(|transfer| transfer.id).collect::<BTreeSet<_>>(), told);
    assert_eq!(stored.len(), all);
    assert_books(&store).await;
}
