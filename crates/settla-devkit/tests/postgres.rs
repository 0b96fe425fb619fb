//! Real clusters: a private one that is killed, and the shared one of the tests.

use settla_devkit::{Postgres, PostgresSettings, TestDatabase, TestFolder, test_cluster};
use sqlx::{Connection, PgConnection, Row};

async fn text(url: &str, query: &str) -> String {
    let mut connection = PgConnection::connect(url).await.expect("connect");
    let row = sqlx::query(query).fetch_one(&mut connection).await.expect("query");
    row.get(0)
}

async fn execute(url: &str, statement: &str) {
    let mut connection = PgConnection::connect(url).await.expect("connect");
    sqlx::raw_sql(statement).execute(&mut connection).await.expect("execute");
}

async fn start(folder: &TestFolder) -> Postgres {
    Postgres::start(folder.path(), PostgresSettings::DURABLE).await.expect("start")
}

#[tokio::test]
async fn survives_kill_and_stop_with_the_same_data_and_port() {
    let folder = TestFolder::new("postgres").expect("folder");
    let first = start(&folder).await;
    assert!(first.create_database("books").await.expect("create"));
    assert!(!first.create_database("books").await.expect("create again"));
    let url = first.url("books");
    execute(&url, "CREATE TABLE t (v text); INSERT INTO t VALUES ('kept')").await;
    assert_eq!(text(&url, "SHOW fsync").await, "on");
    assert_eq!(text(&url, "SHOW synchronous_commit").await, "on");

    // A client that stays connected: its server process outlives the postmaster for a moment.
    let mut client = PgConnection::connect(&url).await.expect("connect");
    first.kill().await.expect("kill");
    let second = start(&folder).await;
    assert!(!second.child().was_attached());
    assert_ne!(second.child().pid(), first.child().pid());
    assert_eq!(second.url("books"), url, "port or password changed");
    assert_eq!(text(&url, "SELECT v FROM t").await, "kept");
    assert!(client.ping().await.is_err());

    second.stop().await.expect("stop");
    let third = start(&folder).await;
    assert_eq!(third.port(), first.port());
    assert_eq!(text(&url, "SELECT v FROM t").await, "kept");
    let attached = start(&folder).await;
    assert!(attached.child().was_attached());
    assert_eq!(attached.child().pid(), third.child().pid());
}

#[tokio::test]
async fn starts_over_the_lock_file_of_a_pid_that_is_now_a_strangers() {
    let folder = TestFolder::new("postgres").expect("folder");
    let first = start(&folder).await;
    first.kill().await.expect("kill");
    let lock = first.data().join("postmaster.pid");
    let before = std::fs::read_to_string(&lock).expect("lock file");
    let (_, rest) = before.split_once('\n').expect("lines");
    // This test's own process: alive, and no Postgres.
    std::fs::write(&lock, format!("{}\n{rest}", std::process::id())).expect("write");
    let of_socket = first.data().join(format!(".s.PGSQL.{}.lock", first.port()));
    std::fs::write(&of_socket, format!("{}\n", std::process::id())).expect("write");
    let second = start(&folder).await;
    assert!(second.child().is_alive());
    // Over its socket, which asks for the password like everything else.
    let near = second.near_url("postgres");
    assert_eq!(text(&near, "SELECT coalesce(inet_server_addr()::text, 'socket')").await, "socket");
    let (start, rest) = near.split_once('@').expect("password");
    let (user, _) = start.rsplit_once(':').expect("password");
    let error = PgConnection::connect(&format!("{user}:wrong@{rest}")).await.expect_err("refused");
    assert_eq!(error.as_database_error().and_then(|error| error.code()).as_deref(), Some("28P01"));
}

#[tokio::test]
async fn asks_for_the_password_and_does_not_print_it() {
    let folder = TestFolder::new("postgres").expect("folder");
    let cluster = start(&folder).await;
    let url = cluster.superuser_url();
    let (_, rest) = url.split_once("postgres:").and_then(|(_, r)| r.split_once(':')).expect("url");
    let (password, _) = rest.split_once('@').expect("password");
    assert!(password.len() >= 32);
    let shown = format!("{cluster:?}");
    assert!(!shown.contains(password), "{shown}");
    let wrong = url.replace(password, "wrong");
    let error = PgConnection::connect(&wrong).await.expect_err("refused");
    let code = error.as_database_error().and_then(|error| error.code());
    assert_eq!(code.as_deref(), Some("28P01"));
}

#[tokio::test]
async fn data_of_an_interrupted_creation_is_made_anew() {
    let folder = TestFolder::new("postgres").expect("folder");
    let unfinished = folder.path().join("data.unfinished-0123456789abcdef");
    std::fs::create_dir(&unfinished).expect("folder");
    std::fs::write(unfinished.join("half"), "done").expect("file");
    start(&folder).await;
    assert!(!unfinished.exists());
}

#[tokio::test]
async fn a_folder_that_postgres_cannot_reach_still_works() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TestFolder::new("postgres").expect("folder");
    let closed = folder.path().join("closed");
    let inside = closed.join("inside");
    std::fs::create_dir_all(&inside).expect("folder");
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).expect("close");
    let cluster = Postgres::start(&inside, PostgresSettings::DISPOSABLE).await.expect("start");
    let data = cluster.data().to_owned();
    assert_eq!(text(&cluster.superuser_url(), "SELECT 'here'").await, "here");
    cluster.stop().await.expect("stop");
    if !data.starts_with(folder.path()) {
        std::fs::remove_dir_all(data.parent().expect("home")).expect("remove");
    }
}

#[tokio::test]
async fn tests_share_a_cluster_and_have_databases_of_their_own() {
    let one = TestDatabase::create().await.expect("one");
    let two = TestDatabase::create().await.expect("two");
    assert_ne!(one.name(), two.name());
    execute(one.url(), "CREATE TABLE t (v text)").await;
    let seen = text(two.url(), "SELECT count(*)::text FROM pg_tables WHERE tablename = 't'").await;
    assert_eq!(seen, "0");
    let cluster = test_cluster().await.expect("cluster");
    assert!(cluster.child().was_attached());

    let name = one.name().to_owned();
    drop(one);
    let query = format!("SELECT count(*)::text FROM pg_database WHERE datname = '{name}'");
    assert_eq!(text(&cluster.superuser_url(), &query).await, "0");
}
