//! What the router goes by.

use crate::support::open;
use settla_devkit::TestDatabase;
use settla_domain::effect::EffectKind;
use settla_store::Store;
use settla_store::routes::{self, Measured, SwitchKind};
use sqlx::Connection;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);

async fn ground() -> (TestDatabase, Store) {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    (database, store)
}

fn measured(provider: &str, step: EffectKind, succeeded: i64, failed: i64, milliseconds: i64) -> Measured {
    Measured { provider: provider.to_owned(), step, succeeded, failed, milliseconds }
}

#[tokio::test]
async fn results_add_up_over_minutes_and_processes_and_old_ones_do_not_count() {
    let (database, store) = ground().await;
    let rows = [measured("harbour", EffectKind::OnRamp, 3, 1, 900), measured("solano", EffectKind::OffRamp, 0, 2, 0)];
    // Two processes in the same minute, at the same time.
    let (a, b) = tokio::join!(routes::record(&store.worker, &rows), routes::record(&store.worker, &rows[..1]));
    a.and(b).unwrap();
    let mut superuser = sqlx::PgConnection::connect(database.url()).await.unwrap();
    // As if an hour had passed, all but a few seconds; and more than an hour.
    for (age, succeeded) in [("59 minutes", 10), ("61 minutes", 1_000)] {
        let old = format!(
            "INSERT INTO settla.provider_minutes VALUES ('harbour', 'on_ramp', now() - interval '{age}', {succeeded}, 0, 100)"
        );
        sqlx::raw_sql(&old).execute(&mut superuser).await.unwrap();
    }
    let sums = || async {
        let mut sums = routes::measured(&store.app, HOUR).await.unwrap();
        sums.sort_by(|a, b| a.provider.cmp(&b.provider));
        sums
    };
    let expected =
        [measured("harbour", EffectKind::OnRamp, 16, 2, 1_900), measured("solano", EffectKind::OffRamp, 0, 2, 0)];
    assert_eq!(sums().await, expected);
    routes::forget(&store.worker, HOUR).await.unwrap();
    assert_eq!(sums().await, expected);
    let (left,): (i64,) =
        sqlx::query_as("SELECT count(*) FROM settla.provider_minutes").fetch_one(&mut superuser).await.unwrap();
    assert_eq!(left, 3);
}

#[tokio::test]
async fn what_is_switched_off_says_why_by_whom_and_is_in_the_audit_log() {
    let (_database, store) = ground().await;
    let off = |kind, name, reason, by| routes::switch_off(&store.operator, kind, name, reason, by);
    off(SwitchKind::Provider, "harbour", "late", "ada").await.unwrap();
    off(SwitchKind::Corridor, "GBP-NGN", "sanctions", "ada").await.unwrap();
    off(SwitchKind::Provider, "harbour", "down", "grace").await.unwrap();
    let rows = routes::switched_off(&store.app).await.unwrap();
    let said: Vec<_> = rows.iter().map(|r| (r.kind, r.name.as_str(), r.reason.as_str(), r.by.as_str())).collect();
    assert_eq!(said.len(), 2);
    assert!(said.contains(&(SwitchKind::Provider, "harbour", "down", "grace")), "{said:?}");
    assert!(routes::switch_on(&store.operator, SwitchKind::Provider, "harbour", "ada").await.unwrap());
    assert!(!routes::switch_on(&store.operator, SwitchKind::Provider, "harbour", "ada").await.unwrap());
    assert!(!routes::switch_on(&store.operator, SwitchKind::Provider, "GBP-NGN", "ada").await.unwrap());
    assert_eq!(routes::switched_off(&store.app).await.unwrap().len(), 1);
    let log: Vec<(String, String, String)> =
        sqlx::query_as("SELECT actor, action, object FROM audit_log WHERE action LIKE 'switch.%' ORDER BY at, id")
            .fetch_all(&store.auditor)
            .await
            .unwrap();
    let log: Vec<_> = log.iter().map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str())).collect();
    assert_eq!(
        log,
        [
            ("ada", "switch.off", "provider harbour: late"),
            ("ada", "switch.off", "corridor GBP-NGN: sanctions"),
            ("grace", "switch.off", "provider harbour: down"),
            ("ada", "switch.on", "provider harbour"),
        ]
    );
}
