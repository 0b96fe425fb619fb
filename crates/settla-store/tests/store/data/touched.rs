//! What statements touch: the partitions that hold what they ask for, however many there are.

use super::{number, run, superuser};
use crate::apply::{apply, transfer};
use crate::life::{endpoint, find, settle};
use crate::support::{check::assert_books, findings_to_completion, funding, open, tenant};
use settla_devkit::TestDatabase;
use settla_domain::effect::EffectKind;
use settla_store::webhook::{self, Places};
use settla_store::{outbox, read, settlement};
use sqlx::PgConnection;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Scans of partitions of months long ago.
const SCANS: &str = "SELECT coalesce(sum(seq_scan + coalesce(idx_scan, 0)), 0)::bigint FROM pg_stat_user_tables
    WHERE schemaname = 'settla' AND relname ~ '_(2023|2024)_[0-9]{2}$'";
const TIMES: usize = 3;
/// Prepared statements get a plan that they keep, as after some time. One that is made for its arguments each time would
/// leave other months out, and cost the making.
const KEEP_PLANS: &str = "DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET plan_cache_mode = force_generic_plan', current_database()); END $$";

/// Two years of months long ago.
async fn long_ago(superuser: &mut PgConnection) {
    for table in settla_store::data::PARTITIONED {
        let make = format!(
            "SELECT make_partition('{table}', month::date) FROM generate_series('2023-01-01'::timestamp, '2024-12-01', '1 month') month"
        );
        run(superuser, &make).await;
    }
}

/// Waits until whoever was connected has gone and left its numbers.
async fn scans(superuser: &mut PgConnection) -> i64 {
    // Whoever has been slow to go is told to: a backend leaves its numbers when it ends.
    let others = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database()
                  AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    let patience = Instant::now() + Duration::from_secs(20);
    while number(superuser, others).await > 0 {
        assert!(Instant::now() < patience, "somebody stays connected");
        run(superuser, "SELECT pg_sleep(0.01)").await;
    }
    // Making partitions has scanned them, too, and is counted when this connection says so.
    run(superuser, "SELECT pg_stat_force_next_flush()").await;
    run(superuser, "SELECT pg_stat_clear_snapshot()").await;
    number(superuser, SCANS).await
}

/// Scans of whole partitions of the outbox, by whomsoever.
async fn whole(superuser: &mut PgConnection) -> i64 {
    number(
        superuser,
        &SCANS.replace("seq_scan + coalesce(idx_scan, 0)", "CASE WHEN relname ~ '^outbox' THEN seq_scan END"),
    )
    .await
}

#[tokio::test]
async fn statements_that_name_ids_touch_no_other_months() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let mut superuser = superuser(&database).await;
    long_ago(&mut superuser).await;
    run(&mut superuser, KEEP_PLANS).await;
    let tenant = tenant(&store, "acme").await;
    endpoint(&store, tenant).await;
    apply(&store, tenant, &funding(tenant, 10_000_000)).await;
    store.close().await;
    let (before, whole_before) = (scans(&mut superuser).await, whole(&mut superuser).await);

    let store = open(database.url()).await;
    for _ in 0..TIMES {
        let made = transfer(&store, tenant, 10_000).await;
        let order = EffectKind::OnRamp.id_for(made.id.0);
        assert_eq!(outbox::find(&store.worker, &[order]).await.unwrap().len(), 1);
        find(&store, &findings_to_completion(&made)).await;
        outbox::hasten(&store.worker, &[order]).await.unwrap();
        assert!(read::event_rows(&store.app, tenant, made.id.0, 0, 10).await.unwrap().len() > 3);
    }
    store.close().await;
    assert_eq!(scans(&mut superuser).await - before, 0);

    // Claims look for what is open in every month, once each; what they do with it then goes by its id.
    let store = open(database.url()).await;
    for round in 0..TIMES {
        let made = transfer(&store, tenant, 10_000).await;
        find(&store, &findings_to_completion(&made)[..2]).await;
        let (batch, members) = settle(&store).await;
        assert_eq!(members.len(), 1, "round {round}");
        settlement::failed(&store.worker, batch, "test", 3_600_000).await.unwrap();
        let places = Places { free: 100, per_endpoint: 100, learnt: HashMap::new(), per_tenant: 100 };
        assert!(!webhook::claim(&store.worker, &places, 60_000).await.unwrap().is_empty());
    }
    store.close().await;
    let gathered = i64::try_from(24 * TIMES).unwrap();
    assert_eq!(scans(&mut superuser).await - before, gathered, "one look a month and gathering");
    // What is open is counted without reading what is not.
    let store = open(database.url()).await;
    assert!(!outbox::backlog(&store.worker).await.unwrap().is_empty());
    store.close().await;
    scans(&mut superuser).await;
    assert_eq!(whole(&mut superuser).await, whole_before);
    assert_books(&open(database.url()).await).await;
}
