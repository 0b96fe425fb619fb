//! A database that falls silent: its connections stay open and nothing comes on them any more. A new one is answered, as by
//! another machine that has taken its place.

use settla_devkit::TestDatabase;
use settla_domain::tenant::TenantNo;
use settla_store::{Store, StoreConfig, StoreError, tenant_tx};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Row};
use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// One place a pool, so that a place that is lost is missed, and little patience.
struct Ground {
    store: Store,
    silenced: watch::Sender<()>,
    _database: TestDatabase,
}

impl Ground {
    async fn new() -> Self {
        let database = TestDatabase::create().await.unwrap();
        let options = PgConnectOptions::from_str(database.url()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (server, port) = (options.get_port(), listener.local_addr().unwrap().port());
        let (silenced, silence) = watch::channel(());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let mut silence = silence.clone();
                silence.mark_unchanged();
                tokio::spawn(pass(client, server, silence));
            }
        });
        let config = StoreConfig {
            app_connections: 1,
            worker_connections: 1,
            answer_within: Duration::from_secs(1),
            ..StoreConfig::new(options.port(port).to_url_lossy().to_string())
        };
        Self { store: Store::open(&config).await.unwrap(), silenced, _database: database }
    }

    /// All connections that there are now.
    fn fall_silent(&self) {
        self.silenced.send_replace(());
    }
}

/// Between the two, until they are silenced: then neither hears of the other any more, nor of its end.
async fn pass(mut client: TcpStream, server: u16, mut silence: watch::Receiver<()>) {
    let mut server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
    tokio::select! {
        biased;
        _ = silence.changed() => std::future::pending().await,
        _ = copy_bidirectional(&mut client, &mut server) => {}
    }
}

#[tokio::test]
async fn a_statement_without_an_answer_is_given_up_with_its_connection() {
    let ground = Ground::new().await;
    let worker = &ground.store.worker;
    let backend = "SELECT pg_backend_pid()";
    let silent = "SELECT pg_sleep(3600)";
    let mut seen = BTreeSet::new();
    // Both ways in which a pool carries a statement out, more often than there are places.
    for _ in 0..2 {
        let many = sqlx::query(silent).execute(worker).await.map(drop);
        let one = sqlx::query(silent).fetch_one(worker).await.map(drop);
        for came in [many, one] {
            assert!(matches!(StoreError::from(came.unwrap_err()), StoreError::Unreachable(_)));
        }
        let row = sqlx::query(backend).fetch_one(worker).await.unwrap();
        assert!(seen.insert(row.get::<i32, _>(0)), "the connection was used again");
    }
}

#[tokio::test]
async fn a_transaction_that_is_left_does_not_keep_its_place() {
    let ground = Ground::new().await;
    let app = &ground.store.app;
    for _ in 0..2 {
        let tx = tenant_tx::begin(app, TenantNo(1)).await.unwrap();
        ground.fall_silent();
        drop(tx);
    }
    tenant_tx::begin(app, TenantNo(1)).await.unwrap();
}

#[tokio::test]
async fn nor_does_a_statement_whose_caller_has_left() {
    let ground = Ground::new().await;
    let app = &ground.store.app;
    for _ in 0..2 {
        let mut tx = tenant_tx::begin(app, TenantNo(1)).await.unwrap();
        ground.fall_silent();
        let asked = sqlx::query("SELECT 1").execute(&mut *tx);
        assert!(tokio::time::timeout(Duration::from_millis(50), asked).await.is_err());
    }
    tenant_tx::begin(app, TenantNo(1)).await.unwrap();
}

#[tokio::test]
async fn a_transaction_within_bounds_ends() {
    let ground = Ground::new().await;
    let worker = &ground.store.worker;
    let tx = worker.within(async {
        let mut tx = worker.begin().await?;
        ground.fall_silent();
        sqlx::query("SELECT 1").execute(&mut *tx).await?;
        Ok(())
    });
    assert!(matches!(tx.await.unwrap_err(), StoreError::Unreachable(_)));
    sqlx::query("SELECT 1").execute(worker).await.unwrap();
}
