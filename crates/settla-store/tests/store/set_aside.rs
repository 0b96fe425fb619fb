//! What fails again and again is in nobody's way, and people can put it back.

use crate::apply::{apply, transfer};
use crate::life::{find, gather};
use crate::support::{findings_to_completion, funding, open, tenant};
use settla_devkit::TestDatabase;
use settla_domain::effect::EffectKind;
use settla_domain::transfer::Transfer;
use settla_store::set_aside::{self, FAILURES_MAX, LineMoved};
use settla_store::{Store, outbox, settlement};
use sqlx::{Connection, PgConnection};
use std::time::Duration;
use uuid::Uuid;

struct Ground {
    store: Store,
    transfers: Vec<Transfer>,
    superuser: PgConnection,
    _database: TestDatabase,
}

async fn ground(transfers: usize) -> Ground {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let tenant = tenant(&store, "acme").await;
    apply(&store, tenant, &funding(tenant, 10_000_000)).await;
    let mut made = Vec::new();
    for _ in 0..transfers {
        made.push(transfer(&store, tenant, 10_000).await);
    }
    let superuser = PgConnection::connect(database.url()).await.unwrap();
    Ground { store, transfers: made, superuser, _database: database }
}

impl Ground {
    async fn change(&mut self, set: &str, kind: EffectKind, of: usize) {
        let statement = format!("UPDATE settla.outbox SET {set} WHERE id = $1");
        let id = kind.id_for(self.transfers[of].id.0).0;
        sqlx::query(&statement).bind(id).execute(&mut self.superuser).await.unwrap();
    }

    async fn claimed(&self) -> Vec<Uuid> {
        let claims = outbox::claim(&self.store.worker, EffectKind::OnRamp, 10, 60_000).await.unwrap();
        claims.into_iter().map(|claim| claim.subject).collect()
    }

    /// Everything is due at once, whoever has it.
    async fn hurry(&mut self) {
        let due = "UPDATE settla.outbox SET next_at = now() WHERE next_at < 'infinity'";
        sqlx::query(due).execute(&mut self.superuser).await.unwrap();
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_read_keeps_nobody_from_the_others() {
    let mut ground = ground(3).await;
    ground.change("payload = jsonb_set(payload, '{kind}', '\"nonsense\"')", EffectKind::OnRamp, 1).await;
    let others = vec![ground.transfers[0].id.0, ground.transfers[2].id.0];
    assert_eq!(ground.claimed().await, others);
    let aside = set_aside::list(&ground.store.worker).await.unwrap();
    let seen: Vec<_> = aside.iter().map(|a| (a.subject, a.kind.as_str(), a.reason.as_str())).collect();
    assert_eq!(seen, [(ground.transfers[1].id.0, "on_ramp", "unreadable")]);
    assert_eq!(set_aside::count(&ground.store.worker).await.unwrap(), [("on_ramp".to_owned(), 1)]);
    ground.hurry().await;
    assert_eq!(ground.claimed().await, others, "it is not looked at again");

    ground.change("payload = jsonb_set(payload, '{kind}', '\"on_ramp\"')", EffectKind::OnRamp, 1).await;
    assert!(set_aside::replay(&ground.store.worker, &aside[0]).await.unwrap());
    assert!(!set_aside::replay(&ground.store.worker, &aside[0]).await.unwrap());
    assert_eq!(ground.claimed().await, [ground.transfers[1].id.0]);
    assert!(set_aside::list(&ground.store.worker).await.unwrap().is_empty());
}

#[tokio::test]
async fn settlements_that_cannot_be_read_keep_no_lane_waiting() {
    let damages = ["'{kind}', '\"nonsense\"'", "'{amount,currency}', '\"XXX\"'", "'{amount,amount}', '\"many\"'"];
    let mut ground = ground(damages.len() + 1).await;
    for transfer in &ground.transfers {
        find(&ground.store, &findings_to_completion(transfer)[..2]).await;
    }
    for (of, damage) in damages.iter().enumerate() {
        ground.change(&format!("payload = jsonb_set(payload, {damage})"), EffectKind::Settle, of).await;
    }
    let well = &ground.transfers[damages.len()];
    let waiting = settlement::waiting(&ground.store.worker, 10, settlement::AlonePlaces::default()).await.unwrap();
    let seen: Vec<_> = waiting.iter().map(|lane| (lane.batched, lane.alone, lane.total)).collect();
    assert_eq!(seen, [(1, 0, well.terms.sent)]);
    let aside = set_aside::list(&ground.store.worker).await.unwrap();
    assert_eq!(aside.iter().filter(|a| a.reason == "unreadable").count(), damages.len());
    // Nor does one that is damaged between the look and the taking.
    ground.change("payload = jsonb_set(payload, '{kind}', '\"nonsense\"')", EffectKind::Settle, damages.len()).await;
    let gathering = gather(&ground.store, 10).await;
    assert!(gathering.claims.is_empty());
    gathering.commit().await.unwrap();
    assert_eq!(set_aside::list(&ground.store.worker).await.unwrap().len(), damages.len() + 1);
}

#[tokio::test]
async fn an_effect_is_set_aside_after_so_many_failures_and_not_before() {
    let mut ground = ground(1).await;
    for failure in 1..=FAILURES_MAX {
        ground.hurry().await;
        let claim = outbox::claim(&ground.store.worker, EffectKind::OnRamp, 10, 60_000).await.unwrap().pop().unwrap();
        let aside = set_aside::failed(&ground.store.worker, &claim, "finding_not_taken").await.unwrap();
        assert_eq!(aside, failure == FAILURES_MAX, "{failure}");
        assert!(ground.claimed().await.is_empty(), "it waits before it is tried again");
        // A worker that was held up says so once more: it is not its effect any more.
        let late = outbox::Claim { epoch: claim.epoch - 1, ..claim };
        assert!(!set_aside::failed(&ground.store.worker, &late, "late").await.unwrap());
    }
    ground.hurry().await;
    assert!(ground.claimed().await.is_empty());
    let aside = set_aside::list(&ground.store.worker).await.unwrap().remove(0);
    assert_eq!((aside.reason.as_str(), aside.attempts), ("finding_not_taken", FAILURES_MAX));
    // What the provider has said of itself since is not for people any more.
    ground.change("status = 'done'", EffectKind::OnRamp, 0).await;
    assert!(set_aside::list(&ground.store.worker).await.unwrap().is_empty());
    assert!(set_aside::count(&ground.store.worker).await.unwrap().is_empty());
    ground.change("status = 'ready'", EffectKind::OnRamp, 0).await;
    assert!(set_aside::replay(&ground.store.worker, &aside).await.unwrap());
    assert_eq!(ground.claimed().await.len(), 1);
}

#[tokio::test]
async fn orders_that_nobody_touched_are_found_when_they_are_old() {
    let mut ground = ground(3).await;
    let untouched = async |ground: &Ground| {
        let found = outbox::untouched_orders(&ground.store.worker, Duration::from_secs(900), 10).await.unwrap();
        found.into_iter().map(|(_, subject)| subject).collect::<Vec<_>>()
    };
    assert!(untouched(&ground).await.is_empty());
    for of in [0, 1] {
        ground.change("next_at = now() - interval '16 minutes'", EffectKind::OnRamp, of).await;
    }
    // One of them was touched long ago.
    ground.change("attempts = 1", EffectKind::OnRamp, 1).await;
    assert_eq!(untouched(&ground).await, [ground.transfers[0].id.0]);
}

#[tokio::test]
async fn a_line_of_the_statement_is_set_aside_until_it_is_resolved() {
    let ground = ground(0).await;
    let worker = &ground.store.worker;
    for sequence in [7, 7, 3] {
        set_aside::set_line_aside(worker, "ours", sequence).await.unwrap();
    }
    let lines = async || {
        let lines = set_aside::lines(worker, "ours").await.unwrap();
        lines.into_iter().map(|line| (line.sequence, line.replay)).collect::<Vec<_>>()
    };
    assert_eq!(lines().await, [(3, false), (7, false)]);
    let moved = async |sequence, how| set_aside::move_line(worker, "ours", sequence, how).await.unwrap();
    assert!(moved(7, LineMoved::Replay).await);
    assert_eq!(lines().await, [(3, false), (7, true)]);
    assert!(moved(7, LineMoved::StillUnreadable).await && moved(3, LineMoved::Resolved).await);
    assert_eq!(lines().await, [(7, false)]);
    assert!(!moved(3, LineMoved::Replay).await && !moved(9, LineMoved::Replay).await);
    assert!(set_aside::lines(worker, "another bank").await.unwrap().is_empty());
}
