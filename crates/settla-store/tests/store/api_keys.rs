//! API keys as their tenant changes them.

use crate::life::{asked, first};
use crate::support::{now, open, tenant};
use futures_util::future::join_all;
use settla_devkit::TestDatabase;
use settla_domain::id::KeyId;
use settla_domain::money::Currency;
use settla_domain::tenant::{TenantNo, TenantStatus};
use settla_domain::time::Timestamp;
use settla_store::operator::{self, FeesChange, LimitsChange, NewKey, Reason};
use settla_store::read::{self, ApiKeyRow, KeyMade, KeyRevoked, NewApiKey, Rotation};
use settla_store::{Store, StoreError, books};
use sqlx::{Connection, PgConnection};
use std::collections::{BTreeSet, HashMap};
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
        made_by: None,
        replaces: None,
    }
}

fn new(hash: &[u8; 32], keys_max: i64, made_by: KeyId) -> NewApiKey<'_> {
    NewApiKey {
        environment: "test",
        hash,
        hash_version: 1,
        hint: "sk_test_****1234",
        keys_max,
        created_at: now(),
        made_by,
    }
}

/// A tenant with a key that an operator has made.
async fn keeper(store: &Store, slug: &str, n: u8) -> (TenantNo, KeyId) {
    let (tenant, id) = (tenant(store, slug).await, KeyId(Uuid::now_v7()));
    let new = NewKey {
        id,
        tenant,
        environment: "test",
        hash: &[n; 32],
        hash_version: 1,
        hint: "sk_test_****1234",
        name: "first",
        scopes: &["keys"],
        allowed_ips: &[],
        expires_at: None,
        actor: "test",
    };
    operator::create_key(&store.operator, &new).await.unwrap();
    (tenant, id)
}

async fn make(store: &Store, (tenant, by): (TenantNo, KeyId), n: u8, keys_max: i64, like: &ApiKeyRow) -> KeyMade {
    let first = first(tenant, &format!("key-{n}"), Uuid::now_v7());
    let hash = [n; 32];
    read::create_api_key(&store.app, &asked(&first), &new(&hash, keys_max, by), like).await.unwrap()
}

async fn made(store: &Store, by: (TenantNo, KeyId), n: u8, like: &ApiKeyRow) -> ApiKeyRow {
    match make(store, by, n, MANY, like).await {
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
    let acme @ (tenant, _) = keeper(&store, "acme", 100).await;
    let like = like(&["203.0.113.0/24", "2001:db8::/32"], None);
    let outcomes = join_all((0..12).map(|n| make(&store, acme, n, 6, &like))).await;
    let of: Vec<KeyId> = outcomes
        .iter()
        .filter_map(|outcome| if let KeyMade::Made(row) = outcome { Some(row.id) } else { None })
        .collect();
    assert_eq!(of.len(), 5);
    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, KeyMade::TooMany)).count(), 7);
    let rows = read::api_keys(&store.app, tenant, "test", None, 100).await.unwrap();
    let (made, by_operator) = rows.split_at(5);
    assert!(made.iter().all(|row| row.allowed_ips == like.allowed_ips && row.made_by == Some(acme.1)), "{made:?}");
    assert!(matches!(by_operator, [row] if row.id == acme.1 && row.made_by.is_none()), "{by_operator:?}");
    // One that is revoked or over makes room; a refusal has not used its key up.
    let revoke = first(tenant, "revoke", of[0].0);
    let revoked = read::revoke_api_key(&store.app, &asked(&revoke), "test", of[0]).await.unwrap();
    assert!(matches!(revoked, KeyRevoked::Revoked));
    let refused = (0..12).zip(&outcomes).find(|(_, outcome)| matches!(outcome, KeyMade::TooMany)).unwrap().0;
    assert!(matches!(make(&store, acme, refused, 6, &like).await, KeyMade::Made(_)));
    assert!(matches!(make(&store, acme, 200, 6, &like).await, KeyMade::TooMany));
}

#[tokio::test]
async fn a_key_ends_at_the_earlier_of_its_ends() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let keeper_of_acme @ (acme, by) = keeper(&store, "acme", 100).await;
    let (other, others) = keeper(&store, "other", 101).await;
    let soon = now().plus_ms(5_000);
    let old = made(&store, keeper_of_acme, 1, &like(&[], Some(soon))).await;
    let rotate = async |tenant, by, key: &str, n: u8, environment, overlap_s| {
        let (first, hash) = (first(tenant, key, Uuid::now_v7()), [n; 32]);
        let new = NewApiKey { environment, ..new(&hash, MANY, by) };
        let rotation = Rotation { old: old.id, overlap_s, expires_at: None };
        let may = |_: &ApiKeyRow| Ok::<(), ()>(());
        read::rotate_api_key(&store.app, &asked(&first), &new, rotation, may).await.unwrap().unwrap()
    };
    assert!(matches!(rotate(other, others, "r", 9, "test", 60).await, KeyMade::Absent), "another tenant's");
    assert!(matches!(rotate(acme, by, "r", 9, "live", 60).await, KeyMade::Absent), "of another world");
    let KeyMade::Made(second) = rotate(acme, by, "r", 2, "test", 60).await else { panic!() };
    assert_eq!(second.replaces, Some((old.id, soon)), "no longer than it had");
    assert_eq!(second.expires_at, Some(soon), "as the older one");
    let KeyMade::Made(third) = rotate(acme, by, "s", 3, "test", 1).await else { panic!() };
    let until = third.replaces.unwrap().1;
    assert!(until < soon);
    let KeyMade::Made(fourth) = rotate(acme, by, "t", 4, "test", 60).await else { panic!() };
    assert_eq!(fourth.replaces.unwrap().1, until, "a later rotation does not give it more time");
    assert_eq!(found(&store, 1).await.unwrap().expires_at, Some(until));
    assert_eq!(found(&store, 2).await.unwrap().expires_at, Some(soon));
    // What its maker may not have changes nothing.
    let (no, hash) = (first(acme, "no", Uuid::now_v7()), [5; 32]);
    let rotation = Rotation { old: second.id, overlap_s: 0, expires_at: None };
    let refused =
        read::rotate_api_key(&store.app, &asked(&no), &new(&hash, MANY, by), rotation, |_: &ApiKeyRow| Err("no")).await;
    assert!(matches!(refused.unwrap(), Err("no")));
    assert!(found(&store, 5).await.is_none() && found(&store, 2).await.unwrap().expires_at == Some(soon));
}

#[tokio::test]
async fn uses_are_noted_and_hashes_renewed_without_a_change_of_access() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let acme @ (tenant, _) = keeper(&store, "acme", 100).await;
    let (used, unused) = (made(&store, acme, 1, &like(&[], None)).await, made(&store, acme, 2, &like(&[], None)).await);
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

#[tokio::test]
async fn a_key_in_wrong_hands_goes_with_all_that_were_made_with_it() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let acme @ (tenant, first_key) = keeper(&store, "acme", 100).await;
    let (other, others) = keeper(&store, "other", 101).await;
    let stolen = made(&store, acme, 1, &like(&[], None)).await;
    let child = made(&store, (tenant, stolen.id), 2, &like(&[], None)).await;
    let grandchild = made(&store, (tenant, child.id), 3, &like(&[], None)).await;
    let sibling = made(&store, acme, 4, &like(&[], None)).await;
    let contained = async |key| {
        let mut keys: Vec<KeyId> = operator::contain_key(&store.operator, key, "ada", "leaked")
            .await
            .unwrap()
            .iter()
            .map(|key| key.id)
            .collect();
        keys.sort();
        keys
    };
    assert_eq!(contained(stolen.id).await, [stolen.id, child.id, grandchild.id]);
    assert_eq!(contained(stolen.id).await, [], "again: nothing is left");
    // A request that was admitted before makes nothing any more.
    for by in [stolen.id, grandchild.id] {
        assert!(matches!(make(&store, (tenant, by), 5, MANY, &like(&[], None)).await, KeyMade::MakerGone));
    }
    let (late, hash) = (first(tenant, "late", Uuid::now_v7()), [6; 32]);
    let rotation = Rotation { old: sibling.id, overlap_s: 0, expires_at: None };
    let rotated =
        read::rotate_api_key(&store.app, &asked(&late), &new(&hash, MANY, stolen.id), rotation, |_| Ok::<(), ()>(()))
            .await;
    assert!(matches!(rotated.unwrap(), Ok(KeyMade::MakerGone)));
    for (n, is_good) in [(1, false), (2, false), (3, false), (4, true), (100, true), (101, true)] {
        assert_eq!(found(&store, n).await.is_some(), is_good, "{n}");
    }
    let why = Reason { tenant, actor: "ada", reason: "leaked" };
    let (before, keys) = operator::contain_tenant(&store.operator, &why).await.unwrap();
    assert_eq!(before, TenantStatus::Active);
    let mut keys: Vec<KeyId> = keys.iter().map(|key| key.id).collect();
    keys.sort();
    assert_eq!(keys, [first_key, sibling.id]);
    assert!(found(&store, 101).await.is_some_and(|key| (key.tenant, key.id) == (other, others)));
    let row = operator::find_tenant(&store.operator, "acme").await.unwrap().unwrap();
    assert_eq!(row.status, "suspended");
    let (before, keys) = operator::contain_tenant(&store.operator, &why).await.unwrap();
    assert_eq!((before, keys), (TenantStatus::Suspended, vec![]));
    assert_eq!(books::left_of(&store.auditor, tenant).await.unwrap(), Vec::<String>::new());

    let mut superuser = PgConnection::connect(database.url()).await.unwrap();
    let entries = "SELECT action || ' ' || count(*) FROM settla.audit_log WHERE actor = 'ada' AND detail ->> 'reason' = 'leaked' GROUP BY action ORDER BY 1";
    let entries: Vec<String> = sqlx::query_scalar(entries).fetch_all(&mut superuser).await.unwrap();
    assert_eq!(entries, ["incident.nothing_to_contain 2", "key.contain 5", "tenant.status 1"]);
}

#[tokio::test]
async fn status_fees_and_limits_change_with_a_reason() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let tenant = tenant(&store, "acme").await;
    let why = Reason { tenant, actor: "ada", reason: "agreed" };
    let terms = async || {
        let tenants = BTreeSet::from([tenant]);
        read::profiles(&store.runner, &tenants).await.unwrap().remove(&tenant).unwrap().terms
    };
    let set = async |from: &[TenantStatus], to| operator::set_status(&store.operator, &why, from, to).await.unwrap();
    use TenantStatus::{Active, Closed, Suspended};
    assert_eq!(set(&[Suspended], Active).await, Err(Active));
    assert_eq!(set(&[Active], Suspended).await, Ok(()));
    assert_eq!(terms().await.status, Suspended);
    assert_eq!(set(&[Suspended], Closed).await, Ok(()));
    assert_eq!(set(&[Suspended], Active).await, Err(Closed), "for good");

    let before = terms().await;
    let fees = FeesChange { on_ramp_bps: Some(7), maximum: Some(999_999), ..FeesChange::default() };
    assert!(operator::change_fees(&store.operator, &why, Currency::GBP, fees).await.unwrap());
    let limits = LimitsChange { per_day: Some(123), ..LimitsChange::default() };
    assert!(operator::change_limits(&store.operator, &why, Currency::GBP, limits).await.unwrap());
    let (old, new) = (before.fees[&Currency::GBP], terms().await.fees[&Currency::GBP]);
    assert_eq!((new.on_ramp_bps, new.maximum), (7, 999_999));
    assert_eq!((new.off_ramp_bps, new.minimum), (old.off_ramp_bps, old.minimum), "what is not named stays");
    let (old, new) = (before.limits[&Currency::GBP], terms().await.limits[&Currency::GBP]);
    assert_eq!((new.per_day, new.per_transfer, new.pending), (123, old.per_transfer, old.pending));
    assert!(!operator::change_fees(&store.operator, &why, Currency::KES, fees).await.unwrap(), "none were agreed");
    let upside_down = FeesChange { minimum: Some(2), maximum: Some(1), ..FeesChange::default() };
    let refused = operator::change_fees(&store.operator, &why, Currency::GBP, upside_down).await;
    assert!(matches!(refused, Err(StoreError::Constraint(_))), "{refused:?}");

    let mut superuser = PgConnection::connect(database.url()).await.unwrap();
    let entries = "SELECT action || ' ' || object || ' ' || coalesce(detail -> 'after' ->> 'on_ramp_bps', detail -> 'after' ->> 'per_day', detail ->> 'after')
                   FROM settla.audit_log WHERE actor = 'ada' AND detail ->> 'reason' = 'agreed' AND detail ? 'before' ORDER BY id";
    let entries: Vec<String> = sqlx::query_scalar(entries).fetch_all(&mut superuser).await.unwrap();
    assert_eq!(
        entries,
        [
            "tenant.status suspended suspended",
            "tenant.status closed closed",
            "tenant.fees GBP 7",
            "tenant.limits GBP 123"
        ]
    );
}
