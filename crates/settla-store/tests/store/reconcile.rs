//! What reconciliation keeps: turns and their fence, breaks from first sight to end, and balances at past instants.

use crate::support::{now, open, tenant};
use settla_devkit::TestDatabase;
use settla_domain::account::{AccountId, AccountKind};
use settla_domain::money::Currency;
use settla_domain::tenant::TenantNo;
use settla_domain::time::Timestamp;
use settla_store::Store;
use settla_store::read::{BALANCE_AT, BY_INDEX, balance_at};
use settla_store::reconcile::{self, BreakRow, Checkpoint, Listed, Snapshot, Update};
use sqlx::{Connection, PgConnection, Row};
use std::time::Duration;

const LEASE: Duration = Duration::from_secs(60);

async fn ground() -> (TestDatabase, Store) {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    (database, store)
}

fn difference(opened_at: Option<Timestamp>) -> BreakRow {
    BreakRow {
        kind: "position_differs".to_owned(),
        key: "a".to_owned(),
        tenant: TenantNo(7),
        subject: Some("tr_1".to_owned()),
        currency: Some("GBP".to_owned()),
        ours: Some(5),
        theirs: None,
        detail: "available".to_owned(),
        first_seen: now(),
        last_seen: now(),
        opened_at,
        resolved_at: None,
    }
}

async fn complete(store: &Store, update: &Update) {
    let turn = reconcile::claim(&store.reconciler, LEASE).await.unwrap().expect("a turn");
    assert!(turn.complete(&store.reconciler, update, Duration::ZERO).await.unwrap());
}

#[tokio::test]
async fn one_at_a_time_has_the_turn_and_who_comes_back_late_writes_nothing() {
    let (_database, store) = ground().await;
    let late = reconcile::claim(&store.reconciler, Duration::ZERO).await.unwrap().expect("the first turn");
    let turn = reconcile::claim(&store.reconciler, LEASE).await.unwrap().expect("the lease has ended");
    assert_eq!(reconcile::claim(&store.reconciler, LEASE).await.unwrap(), None, "somebody has it");
    let update = Update { breaks: vec![difference(Some(now()))], ..Update::default() };
    assert!(!late.complete(&store.reconciler, &update, Duration::ZERO).await.unwrap());
    late.give_up(&store.reconciler, Duration::ZERO).await.unwrap();
    assert_eq!(reconcile::claim(&store.reconciler, LEASE).await.unwrap(), None, "nor does it give another's turn back");
    assert_eq!(reconcile::list(&store.auditor, Listed::Open).await.unwrap(), []);
    assert!(turn.complete(&store.reconciler, &update, LEASE).await.unwrap());
    assert_eq!(reconcile::list(&store.auditor, Listed::Open).await.unwrap().len(), 1);
    assert_eq!(reconcile::claim(&store.reconciler, LEASE).await.unwrap(), None, "the next one is not due yet");
}

#[tokio::test]
async fn a_break_is_one_row_from_first_sight_to_its_end_and_comes_back_as_another() {
    let (_database, store) = ground().await;
    let counts = async |listed| reconcile::list(&store.auditor, listed).await.unwrap().len();
    let seen = |opened_at| Update { breaks: vec![difference(opened_at)], ..Update::default() };
    let gone = || Update { resolved: vec![("position_differs".to_owned(), "a".to_owned())], ..Update::default() };
    // What is gone before it counted was on its way.
    complete(&store, &seen(None)).await;
    assert_eq!(counts(Listed::Open).await, 0);
    assert_eq!(reconcile::load(&store.auditor).await.unwrap().breaks.len(), 1);
    complete(&store, &gone()).await;
    assert_eq!((counts(Listed::Open).await, counts(Listed::Resolved).await), (0, 0));

    complete(&store, &seen(None)).await;
    let first_seen = reconcile::load(&store.auditor).await.unwrap().breaks[0].first_seen;
    complete(&store, &seen(Some(now()))).await;
    complete(&store, &seen(Some(now()))).await;
    let open = reconcile::list(&store.auditor, Listed::Open).await.unwrap();
    assert_eq!((open.len(), open[0].first_seen, open[0].ours), (1, first_seen, Some(5)));
    let by_kind = reconcile::open_by_kind(&store.auditor).await.unwrap();
    assert_eq!((by_kind.len(), by_kind[0].0.as_str(), by_kind[0].1), (1, "position_differs", 1));
    complete(&store, &gone()).await;
    assert_eq!((counts(Listed::Open).await, counts(Listed::Resolved).await), (0, 1));
    complete(&store, &seen(Some(now()))).await;
    assert_eq!((counts(Listed::Open).await, counts(Listed::Resolved).await), (1, 1));
}

/// The platform's own are written under no lock: one with a lower number and a later stamp is not passed over for ever by
/// reading one above it.
#[tokio::test]
async fn the_platforms_postings_are_read_up_to_the_first_that_is_too_new() {
    let (database, store) = ground().await;
    let mut superuser = PgConnection::connect(database.url()).await.unwrap();
    let account = |kind| AccountId::platform(kind).to_uuid();
    for ago_s in [90, 10, 80] {
        sqlx::query(
            "INSERT INTO settla.postings (id, tenant, subject, code, debit, credit, currency, amount, at)
             SELECT id, 0, id, 2, $1, $2, 'GBP', 5, now() - $3 * interval '1 second' FROM (SELECT gen_random_uuid() AS id) made",
        )
        .bind(account(AccountKind::Bank))
        .bind(account(AccountKind::Suspense))
        .bind(ago_s)
        .execute(&mut superuser)
        .await
        .unwrap();
    }
    let mut look = Snapshot::begin(&store.auditor).await.unwrap();
    let at = look.now().await.unwrap();
    let mut read = async |before_ms: i64, head: i64| {
        let page = look.postings(&[(TenantNo::PLATFORM, head)], 100, at.plus_ms(before_ms)).await.unwrap();
        page.iter().map(|row| row.sequence).collect::<Vec<_>>()
    };
    let all = read(0, 0).await;
    assert_eq!(all.len(), 3);
    assert_eq!(read(-60_000, 0).await, all[..1], "the third is above one that is too new");
    assert_eq!(read(-60_000, all[0]).await, all[..0]);
    assert_eq!(read(-5_000, all[0]).await, all[1..]);
}

const POSTINGS: i64 = 3_500;
const EVERY: i64 = 1_000;

/// Holds of one penny, one a second; every tenth stamped by a server whose clock is eight seconds behind.
async fn holds(database: &TestDatabase, tenant: TenantNo, begun: Timestamp) {
    let mut superuser = PgConnection::connect(database.url()).await.unwrap();
    let (available, held) = accounts(tenant);
    sqlx::query(
        "INSERT INTO settla.postings (id, tenant, subject, code, debit, credit, currency, amount, at)
         SELECT id, $1, id, 10, $2, $3, CASE WHEN n % 7 = 0 THEN 'EUR' ELSE 'GBP' END, 1,
             $4 + (n - CASE WHEN n % 10 = 1 THEN 8 ELSE 0 END) * interval '1 second'
         FROM generate_series(1, $5) n CROSS JOIN LATERAL (SELECT gen_random_uuid() AS id WHERE n > 0) made ORDER BY n",
    )
    .bind(i32::try_from(tenant.0).unwrap())
    .bind(available.to_uuid())
    .bind(held.to_uuid())
    .bind(begun.to_datetime())
    .bind(POSTINGS)
    .execute(&mut superuser)
    .await
    .unwrap();
    sqlx::raw_sql("ANALYZE settla.postings").execute(&mut superuser).await.unwrap();
}

fn accounts(tenant: TenantNo) -> (AccountId, AccountId) {
    (AccountId::tenant(tenant, AccountKind::Available), AccountId::tenant(tenant, AccountKind::Held))
}

/// By reading everything.
async fn added_up(store: &Store, account: AccountId, at: Timestamp) -> i64 {
    let row = sqlx::query(
        "SELECT coalesce(sum(CASE WHEN credit = $1 THEN amount ELSE -amount END), 0)::bigint AS balance FROM postings
         WHERE (credit = $1 OR debit = $1) AND currency = 'GBP' AND at <= $2",
    )
    .bind(account.to_uuid())
    .bind(at.to_datetime())
    .fetch_one(&store.auditor)
    .await
    .unwrap();
    row.get("balance")
}

/// As reconciliation writes them.
async fn checkpoints(store: &Store, tenant: TenantNo) {
    let (available, held) = accounts(tenant);
    let rows = sqlx::query(
        "SELECT sequence, max(at) OVER (ORDER BY sequence) AS max_at, row_number() OVER (ORDER BY sequence) AS n,
             count(*) FILTER (WHERE currency = 'GBP') OVER (ORDER BY sequence) AS pence FROM postings WHERE tenant = $1 ORDER BY sequence",
    )
    .bind(i32::try_from(tenant.0).unwrap())
    .fetch_all(&store.auditor)
    .await
    .unwrap();
    let marks = rows.iter().filter(|row| row.get::<i64, _>("n") % EVERY == 0).map(|row| {
        let pence: i64 = row.get("pence");
        let balances = [(format!("{available}/GBP"), -pence), (format!("{held}/GBP"), pence)].into();
        let max_at = Timestamp::from_datetime(row.get("max_at"));
        Checkpoint { tenant, sequence: row.get("sequence"), max_at, balances }
    });
    complete(store, &Update { checkpoints: marks.collect(), ..Update::default() }).await;
}

#[tokio::test]
async fn a_balance_at_a_past_instant_is_the_sum_of_what_is_stamped_by_then() {
    let (database, store) = ground().await;
    let (tenant, other) = (tenant(&store, "acme").await, tenant(&store, "globex").await);
    let begun = now().plus_ms(-86_400_000);
    holds(&database, other, begun).await;
    holds(&database, tenant, begun).await;
    let (available, held) = accounts(tenant);
    let instants: Vec<Timestamp> =
        [-10, -7, 0, 2, 3, 7, 8, 995, 999, 1_000, 1_001, 1_003, 1_999, 2_000, 2_500, 3_499, 3_500, 9_000]
            .map(|second| begun.plus_ms(second * 1_000))
            .to_vec();
    for with_checkpoints in [false, true] {
        if with_checkpoints {
            checkpoints(&store, tenant).await;
        }
        for at in &instants {
            for account in [available, held] {
                let balance = balance_at(&store.app, tenant, account, Currency::GBP, *at).await.unwrap();
                let all = i128::from(added_up(&store, account, *at).await);
                assert_eq!(balance, Some(all), "{account:?} at {}", at.to_rfc3339());
            }
        }
        assert_ne!(added_up(&store, held, instants[12]).await, 0);
    }
    // Another tenant's account holds nothing for this one.
    let theirs = balance_at(&store.app, tenant, accounts(other).1, Currency::GBP, instants[16]).await.unwrap();
    assert_eq!(theirs, Some(0));
}

#[tokio::test]
async fn a_balance_at_a_past_instant_is_found_by_indexes() {
    let (database, store) = ground().await;
    let tenant = tenant(&store, "acme").await;
    let begun = now().plus_ms(-86_400_000);
    holds(&database, tenant, begun).await;
    checkpoints(&store, tenant).await;
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    sqlx::raw_sql("ANALYZE settla.ledger_checkpoints; SET search_path = settla; SET ROLE settla_app")
        .execute(&mut connection)
        .await
        .unwrap();
    let row = sqlx::query("SELECT set_config('settla.tenant', $1, false)").bind(tenant.0.to_string());
    row.execute(&mut connection).await.unwrap();
    sqlx::raw_sql("BEGIN").execute(&mut connection).await.unwrap();
    sqlx::query(BY_INDEX).execute(&mut connection).await.unwrap();
    let explain = format!("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {BALANCE_AT}");
    let plan = sqlx::query(&explain)
        .bind(i32::try_from(tenant.0).unwrap())
        .bind(accounts(tenant).1.to_uuid())
        .bind("GBP")
        .bind(begun.plus_ms(1_500_000).to_datetime())
        .bind(format!("{}/GBP", accounts(tenant).1))
        .bind(10_i32)
        .bind(200_000_i64)
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let plan: String = plan.iter().map(|row| format!("{}\n", row.get::<String, _>(0))).collect();
    assert!(plan.contains("tenant_sequence_idx on postings_"), "{plan}");
    assert!(plan.contains("Index Cond: ((tenant = 1) AND (sequence > "), "{plan}");
    assert!(plan.contains("using ledger_checkpoints_by_time on ledger_checkpoints"), "{plan}");
    assert!(!plan.contains("Seq Scan"), "{plan}");
    // From the checkpoint below to the one above, of 3,500.
    assert!(plan.contains("rows=1000"), "{plan}");
}
