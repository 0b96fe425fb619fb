//! A pooler between us and Postgres that drops start-up options: nobody may then work as the login user.

use crate::proxy::Proxy;
use crate::support::open;
use settla_devkit::TestDatabase;
use settla_store::{Store, StoreConfig};
use std::error::Error;

#[tokio::test]
async fn a_store_does_not_open_without_its_roles() {
    let database = TestDatabase::create().await.unwrap();
    let proxy = Proxy::start(&database).await;
    proxy.drop_options();
    let error = Store::open(&StoreConfig::new(&proxy.url)).await.err().unwrap();
    let why = error.source().unwrap().to_string();
    assert!(why.contains("did not take on the role settla_runner"), "{why}");
}

// On threads of its own the proxy also closes the log-ins that are given up half way: Postgres drops no database
// while there is one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_comes_later_without_its_role_is_not_used() {
    let database = TestDatabase::create().await.unwrap();
    let proxy = Proxy::start(&database).await;
    let store = open(&proxy.url).await;
    proxy.drop_options();
    for pool in [&store.runner, &store.app, &store.worker, &store.operator, &store.auditor] {
        let again = async {
            // The first signal may be of an earlier connection, the second of the attempt that was refused.
            for _ in 0..3 {
                proxy.connected().await;
            }
        };
        tokio::select! {
            connection = pool.acquire() => panic!("{connection:?}"),
            () = again => {}
        }
    }
}
