//! API keys as their tenant changes them.

use crate::life::{asked, first};
use crate::support::{now, open, tenant};
use futures_util::future::join_all;
use settla_devkit::TestDatabase;
use settla_domain::id::KeyId;
use settla_domain::tenant::TenantNo;
use settla_domain::time::Timestamp;
use settla_store::Store;
use settla_store::read::{self, ApiKeyRow, KeyMade, KeyRevoked, NewApiKey, Rotation};
use std::collections::HashMap;
use uuid::Uuid;

const MANY: i64 = 1_000;

fn like(allowed_ips: &[&str], expires_at: Option<Timestamp>) -> ApiKeyRow {
    ApiKeyRow {
        id: KeyId(Uuid::nil()),
        name: "worker".to_owned(),
        hint: String::new(),
        scopes: vec!["read".to_owned()],
        allowed_ips: allowed_ips.iter().map(|network| (*network).to_owned()).collect(),
        created_at: now(),
        expires_at,
        retires_at: None,
        revoked_at: None,
        last_used_at: None,
        replaces: None,
    }
}

fn new(hash: &[u8; 32], keys_max: i64) -> NewApiKey<'_> {
    NewApiKey { environment: "test", hash, hash_version: 1, hint: "sk_test_****1234", keys_max, created_at: now() }
}

async fn make(store: &Store, tenant: TenantNo, n: u8, keys_max: i64, like: &ApiKeyRow) -> KeyMade {
    let first = first(tenant, &format!("key-{n}"), Uuid::now_v7());
    let hash = [n; 32];
    read::create_api_key(&store.app, &asked(&first), &new(&hash, keys_max), like).await.unwrap()
}

async fn made(store: &Store, tenant: TenantNo, n: u8, like: &ApiKeyRow) -> ApiKeyRow {
    match make(store, tenant, n, MANY, like).await {
        KeyMade::Made(row) => row,
        other => panic!("{other:?}"),
    }
}

async fn found(store: &Store, n: u8) -> Option<read::KeyMatch> {
    read::find_api_keys(&store.app, &[&[n; 32]], "test").await.unwrap().remove(&[n; 32][..])
}

#[tokio::test]
async fn a_tenant_has_so_many_good_keys_however_many_it_asks_for_at_once() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let tenant = tenant(&store, "acme").await;
    let like = like(&["203.0.113.0/24", "2001:db8::/32"], None);
    let outcomes = join_all((0..12).map(|n| make(&store, tenant, n, 5, &like))).await;
    let of: Vec<KeyId> = outcomes
        .iter()
        .filter_map(|outcome| if let KeyMade::Made(row) = outcome { Some(row.id) } else { None })
        .collect();
    assert_eq!(of.len(), 5);
    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, KeyMade::TooMany)).count(), 7);
    let rows = read::api_keys(&store.app, tenant, "test", None, 100).await.unwrap();
    assert!(rows.len() == 5 && rows.iter().all(|row| row.allowed_ips == like.allowed_ips), "{rows:?}");
    // One that is revoked or over makes room; a refusal has not used its key up.
    let revoke = first(tenant, "revoke", of[0].0);
    let revoked = read::revoke_api_key(&store.app, &asked(&revoke), "test", of[0]).await.unwrap();
    assert!(matches!(revoked, KeyRevoked::Revoked));
    let refused = (0..12).zip(&outcomes).find(|(_, outcome)| matches!(outcome, KeyMade::TooMany)).unwrap().0;
    assert!(matches!(make(&store, tenant, refused, 5, &like).await, KeyMade::Made(_)));
    assert!(matches!(make(&store, tenant, 200, 5, &like).await, KeyMade::TooMany));
}

#[tokio::test]
async fn a_key_ends_at_the_earlier_of_its_ends() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let (acme, other) = (tenant(&store, "acme").await, tenant(&store, "other").await);
    let soon = now().plus_ms(5_000);
    let old = made(&store, acme, 1, &like(&[], Some(soon))).await;
    let rotate = async |tenant, key: &str, n: u8, environment, overlap_s| {
        let (first, hash) = (first(tenant, key, Uuid::now_v7()), [n; 32]);
        let new = NewApiKey { environment, ..new(&hash, MANY) };
        let rotation = Rotation { old: old.id, overlap_s, expires_at: None };
        let may = |_: &ApiKeyRow| Ok::<(), ()>(());
        read::rotate_api_key(&store.app, &asked(&first), &new, rotation, may).await.unwrap().unwrap()
    };
    assert!(matches!(rotate(other, "r", 9, "test", 60).await, KeyMade::Absent), "another tenant's");
    assert!(matches!(rotate(acme, "r", 9, "live", 60).await, KeyMade::Absent), "of another world");
    let KeyMade::Made(second) = rotate(acme, "r", 2, "test", 60).await else { panic!() };
    assert_eq!(second.replaces, Some((old.id, soon)), "no longer than it had");
    assert_eq!(second.expires_at, Some(soon), "as the older one");
    let KeyMade::Made(third) = rotate(acme, "s", 3, "test", 1).await else { panic!() };
    let until = third.replaces.unwrap().1;
    assert!(until < soon);
    let KeyMade::Made(fourth) = rotate(acme, "t", 4, "test", 60).await else { panic!() };
    assert_eq!(fourth.replaces.unwrap().1, until, "a later rotation does not give it more time");
    assert_eq!(found(&store, 1).await.unwrap().expires_at, Some(until));
    assert_eq!(found(&store, 2).await.unwrap().expires_at, Some(soon));
    // What its maker may not have changes nothing.
    let (no, hash) = (first(acme, "no", Uuid::now_v7()), [5; 32]);
    let rotation = Rotation { old: second.id, overlap_s: 0, expires_at: None };
    let refused =
        read::rotate_api_key(&store.app, &asked(&no), &new(&hash, MANY), rotation, |_: &ApiKeyRow| Err("no")).await;
    assert!(matches!(refused.unwrap(), Err("no")));
    assert!(found(&store, 5).await.is_none() && found(&store, 2).await.unwrap().expires_at == Some(soon));
}

#[tokio::test]
async fn uses_are_noted_and_hashes_renewed_without_a_change_of_access() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let tenant = tenant(&store, "acme").await;
    let (used, unused) =
        (made(&store, tenant, 1, &like(&[], None)).await, made(&store, tenant, 2, &like(&[], None)).await);
    let revision = read::access_revision(&store.app).await.unwrap();
    let last = async |id| read::api_key(&store.app, tenant, "test", id).await.unwrap().unwrap().last_used_at;
    let note = async |at| read::note_key_uses(&store.app, &HashMap::from([(used.id, at)])).await.unwrap();
    let at = now().plus_ms(-1_000);
    note(at).await;
    note(at.plus_ms(-500)).await;
    assert_eq!((last(used.id).await, last(unused.id).await), (Some(at), None), "the latest one counts");
    note(now().plus_ms(3_600_000)).await;
    assert!(last(used.id).await.unwrap() <= now(), "not in the future");

    let renew = async |old: u8, new: u8, version| {
        read::rehash_api_key(&store.app, &[old; 32], &[new; 32], version).await.unwrap();
    };
    renew(1, 11, 2).await;
    assert_eq!(
        (found(&store, 11).await.map(|key| key.id), found(&store, 1).await.map(|key| key.id)),
        (Some(used.id), None)
    );
    for version in [1, 2] {
        renew(11, 12, version).await;
        assert!(found(&store, 12).await.is_none(), "never back, nor to another one of the same secret");
    }
    assert_eq!(read::access_revision(&store.app).await.unwrap(), revision, "what is remembered stays good");
    let revoke = first(tenant, "revoke", used.id.0);
    read::revoke_api_key(&store.app, &asked(&revoke), "test", used.id).await.unwrap();
    assert!(read::access_revision(&store.app).await.unwrap() > revision);
}
