//! A secret that is replaced.

use super::{attempted, claim, waiting};
use crate::life::{asked, first};
use crate::support::{now, open};
use settla_devkit::TestDatabase;
use settla_store::read::{self, Changed};
use settla_store::webhook::{self, Next};
use sqlx::{Connection, PgConnection, Row};
use uuid::Uuid;

/// Both secrets as stored.
async fn secrets(superuser: &mut PgConnection, endpoint: Uuid) -> (Vec<u8>, Option<Vec<u8>>) {
    let statement = "SELECT secret_sealed, old_secret_sealed FROM settla.webhook_endpoints WHERE id = $1";
    let row = sqlx::query(statement).bind(endpoint).fetch_one(superuser).await.unwrap();
    (row.get(0), row.get(1))
}

#[tokio::test]
async fn a_replaced_secret_signs_until_its_time_and_is_then_erased() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let mut superuser = PgConnection::connect(database.url()).await.unwrap();
    let (tenant, endpoint) = waiting(&store, "acme", 1).await;
    let rotate = async |key: &str, secret: &[u8], overlap_s| {
        let key = first(tenant, key, endpoint);
        read::rotate_secret(&store.app, &asked(&key), endpoint, secret, overlap_s).await.unwrap()
    };
    let signing = async || {
        let due = claim(&store, 10, 10).await;
        webhook::attempted(&store.worker, &[attempted(&due[0], Next::RetryInMs(0))]).await.unwrap();
        (due[0].target.secret_sealed.clone(), due[0].target.old_secret_sealed.clone())
    };
    let pair = |new: &[u8], old: Option<&[u8]>| (new.to_vec(), old.map(<[u8]>::to_vec));
    let Changed::Made(since) = rotate("r1", b"two", 60).await else { panic!("not rotated") };
    assert!(now().ms_since(since) < 10_000);
    assert_eq!(signing().await, pair(b"two", Some(b"sealed")));
    assert!(matches!(rotate("r1", b"other", 60).await, Changed::Before(used) if used.at == since));
    assert_eq!(signing().await, pair(b"two", Some(b"sealed")), "a repeat changes nothing");
    // Within the overlap once more: two at most, and the oldest is gone.
    rotate("r2", b"three", 60).await;
    assert_eq!(signing().await, pair(b"three", Some(b"two")));
    assert_eq!(secrets(&mut superuser, endpoint).await, pair(b"three", Some(b"two")));
    assert_eq!(webhook::erase_old_secrets(&store.worker).await.unwrap(), 0, "its time has not come");
    // Its time comes: it does not sign even before it is erased.
    let over = "UPDATE settla.webhook_endpoints SET old_secret_until = now() WHERE old_secret_until IS NOT NULL";
    sqlx::raw_sql(over).execute(&mut superuser).await.unwrap();
    assert_eq!(signing().await, pair(b"three", None));
    assert_eq!(webhook::erase_old_secrets(&store.worker).await.unwrap(), 1);
    assert_eq!(secrets(&mut superuser, endpoint).await, pair(b"three", None));
    // Without an overlap the old one ends at once.
    rotate("r3", b"four", 0).await;
    assert_eq!(secrets(&mut superuser, endpoint).await, pair(b"four", None));
    rotate("r4", b"five", 60).await;
    let key = first(tenant, "delete", endpoint);
    read::delete_endpoint(&store.app, &asked(&key), endpoint).await.unwrap();
    assert_eq!(secrets(&mut superuser, endpoint).await, pair(b"", None), "nothing is left of them");
    assert!(matches!(rotate("r5", b"six", 60).await, Changed::Absent));
}
