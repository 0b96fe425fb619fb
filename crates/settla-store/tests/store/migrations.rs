//! From an empty database, again and again, and by several processes at once.

use crate::apply::{apply, transfer};
use crate::support::{check::assert_books, funding, open, tenant};
use futures_util::future::join_all;
use settla_devkit::{Postgres, PostgresSettings, TestDatabase, TestFolder};
use sqlx::{Connection, PgConnection, Row};

const PROCESSES: usize = 4;

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

async fn applied(url: &str) -> Vec<(i64, bool)> {
    let statement = "SELECT version, success FROM public._sqlx_migrations ORDER BY version";
    let rows = sqlx::query(statement).fetch_all(&mut connect(url).await).await.unwrap();
    rows.iter().map(|row| (row.get("version"), row.get("success"))).collect()
}

/// Money can be moved in it: the schema is whole, and every role can do its work.
async fn assert_usable(url: &str) {
    let store = open(url).await;
    store.ping().await.unwrap();
    let tenant = tenant(&store, "acme").await;
    apply(&store, tenant, &funding(tenant, 1_000_000)).await;
    transfer(&store, tenant, 10_000).await;
    assert_books(&store).await;
    store.close().await;
}

/// Every migration in the folder, applied.
fn all() -> Vec<(i64, bool)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
    let names = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut versions: Vec<i64> = names.map(|name| name.split('_').next().unwrap().parse().unwrap()).collect();
    versions.sort_unstable();
    versions.into_iter().map(|version| (version, true)).collect()
}

#[tokio::test]
async fn an_empty_database_is_migrated_once() {
    let database = TestDatabase::create().await.unwrap();
    for _ in 0..2 {
        open(database.url()).await.close().await;
        assert_eq!(applied(database.url()).await, all());
    }
    assert_usable(database.url()).await;
}

#[tokio::test]
async fn several_processes_migrate_the_same_database() {
    let database = TestDatabase::create().await.unwrap();
    join_all((0..PROCESSES).map(|_| open(database.url()))).await;
    assert_eq!(applied(database.url()).await, all());
    assert_usable(database.url()).await;
}

/// Roles belong to the cluster: databases of a new one race for making them.
async fn several_databases_of_a_new_cluster(login: Option<&str>) {
    let folder = TestFolder::new("migrations").unwrap();
    let cluster = Postgres::start(folder.path(), PostgresSettings::DISPOSABLE).await.unwrap();
    let mut superuser = connect(&cluster.superuser_url()).await;
    let mut urls = Vec::new();
    if let Some(login) = login {
        let make = format!("CREATE ROLE {login} LOGIN CREATEROLE PASSWORD 'secret'");
        sqlx::raw_sql(&make).execute(&mut superuser).await.unwrap();
    }
    for number in 0..PROCESSES {
        let name = format!("books_{number}");
        let owner = login.unwrap_or("postgres");
        let make = format!("CREATE DATABASE {name} OWNER {owner} TEMPLATE template0");
        sqlx::raw_sql(&make).execute(&mut superuser).await.unwrap();
        urls.push(match login {
            Some(login) => format!("postgres://{login}:secret@127.0.0.1:{}/{name}?sslmode=disable", cluster.port()),
            None => cluster.url(&name),
        });
    }
    join_all(urls.iter().map(|url| open(url))).await;
    for url in &urls {
        assert_eq!(applied(url).await, all());
        assert_usable(url).await;
    }
}

#[tokio::test]
async fn several_databases_of_a_new_cluster_are_migrated_at_once_by_a_superuser() {
    several_databases_of_a_new_cluster(None).await;
}

#[tokio::test]
async fn several_databases_of_a_new_cluster_are_migrated_at_once_by_their_owner() {
    several_databases_of_a_new_cluster(Some("settla_login")).await;
}
