//! Claims are leases with a fence, for one kind of effect each, and no effect is ever with two workers.

use crate::apply::{apply, apply_with, transfer};
use crate::support::{check::assert_books, findings_to_completion, funding, open, tenant, withdrawal};
use futures_util::future::join_all;
use settla_devkit::TestDatabase;
use settla_domain::decide::{Answer, Command};
use settla_domain::effect::{Effect, EffectKind};
use settla_domain::tenant::TenantNo;
use settla_domain::transfer::Transfer;
use settla_store::Store;
use settla_store::batch::Outcome;
use settla_store::outbox::{self, Claim, Place};
use sqlx::{Connection, PgConnection};
use std::collections::BTreeSet;
use uuid::Uuid;

const LONG_MS: i64 = 60_000;

/// A funded tenant with so many transfers whose on-ramp is due.
async fn ground(transfers: usize) -> (TestDatabase, Store, TenantNo, Vec<Transfer>) {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let tenant = tenant(&store, "acme").await;
    apply(&store, tenant, &funding(tenant, 1_000_000_000)).await;
    let mut made = Vec::new();
    for _ in 0..transfers {
        made.push(transfer(&store, tenant, 10_000).await);
    }
    (database, store, tenant, made)
}

async fn claim(store: &Store, lease_ms: i64) -> Vec<Claim> {
    outbox::claim(&store.worker, EffectKind::OnRamp, 100, lease_ms).await.unwrap()
}

/// Returns when the effect is due again, by the database's clock.
async fn due(store: &Store, claim: &Claim) {
    let statement = "SELECT pg_sleep_until(next_at) FROM outbox WHERE id = $1";
    sqlx::query(statement).bind(claim.id.0).execute(&store.worker).await.unwrap();
}

#[tokio::test]
async fn a_lease_keeps_others_out_and_ends_by_itself() {
    let (_database, store, tenant, transfers) = ground(1).await;
    let first = claim(&store, 300).await.pop().unwrap();
    assert_eq!((first.tenant, first.subject, first.attempt, first.accepted), (tenant, transfers[0].id.0, 1, false));
    assert!(matches!(&first.effect, Effect::OnRamp { expected, .. } if *expected == transfers[0].terms.bought));
    assert!(claim(&store, LONG_MS).await.is_empty());
    due(&store, &first).await;
    let second = claim(&store, LONG_MS).await.pop().unwrap();
    assert_eq!((second.id, second.attempt), (first.id, 2));
    assert!(second.epoch > first.epoch);
    assert_eq!(second.first_attempt_at, first.first_attempt_at);
    assert!(claim(&store, LONG_MS).await.is_empty());
}

#[tokio::test]
async fn a_worker_that_comes_back_late_cannot_move_the_claim_of_another() {
    let (_database, store, _, _) = ground(1).await;
    let late = claim(&store, 0).await.pop().unwrap();
    let holder = claim(&store, LONG_MS).await.pop().unwrap();
    outbox::postpone(&store.worker, &[(&late, 0)]).await.unwrap();
    assert!(claim(&store, LONG_MS).await.is_empty(), "the late one made it due");
    outbox::postpone(&store.worker, &[(&holder, 0)]).await.unwrap();
    assert_eq!(claim(&store, LONG_MS).await.len(), 1);
}

#[tokio::test]
async fn what_is_called_off_or_done_is_neither_claimed_nor_postponed() {
    let (_database, store, tenant, transfers) = ground(2).await;
    let cancel = Command::CancelTransfer { tenant, transfer: transfers[0].id };
    apply(&store, tenant, &[cancel]).await;
    let claims = claim(&store, 0).await;
    assert_eq!(claims.iter().map(|c| c.subject).collect::<Vec<_>>(), [transfers[1].id.0]);
    for report in &findings_to_completion(&transfers[1])[..2] {
        apply(&store, tenant, &[Command::Report(report.clone())]).await;
    }
    outbox::postpone(&store.worker, &[(&claims[0], 0)]).await.unwrap();
    assert!(claim(&store, LONG_MS).await.is_empty());
    assert_books(&store).await;
}

#[tokio::test]
async fn what_a_provider_has_taken_is_nobodys_and_asked_about_ten_seconds_later() {
    let (_database, store, tenant, transfers) = ground(1).await;
    let claimed = claim(&store, LONG_MS).await.pop().unwrap();
    let [accepted, ..] = findings_to_completion(&transfers[0]);
    apply(&store, tenant, &[Command::Report(accepted)]).await;
    let stands =
        "SELECT status, lease_until IS NULL, extract(epoch FROM next_at - now())::float8 FROM outbox WHERE id = $1";
    let (status, is_free, in_s): (String, bool, f64) =
        sqlx::query_as(stands).bind(claimed.id.0).fetch_one(&store.worker).await.unwrap();
    assert_eq!((status.as_str(), is_free), ("accepted", true));
    assert!(in_s > 5.0 && in_s < 10.0, "{in_s}");
    assert!(claim(&store, LONG_MS).await.is_empty());
}

#[tokio::test]
async fn a_kind_of_effect_is_claimed_by_itself() {
    let (_database, store, tenant, transfers) = ground(2).await;
    apply(&store, tenant, &[Command::CreateWithdrawal(withdrawal(tenant, 100, "rent"))]).await;
    for report in &findings_to_completion(&transfers[0])[..2] {
        apply(&store, tenant, &[Command::Report(report.clone())]).await;
    }
    let backlog = outbox::backlog(&store.worker).await.unwrap();
    let mut open: Vec<(&str, i64)> = backlog.iter().map(|(kind, open, _)| (kind.as_str(), *open)).collect();
    open.sort_unstable();
    assert_eq!(open, [("bank_payment", 1), ("on_ramp", 1), ("settle", 1)]);
    for (kind, due) in
        [(EffectKind::OffRamp, 0), (EffectKind::OnRamp, 1), (EffectKind::Settle, 1), (EffectKind::BankPayment, 1)]
    {
        let claims = outbox::claim(&store.worker, kind, 100, LONG_MS).await.unwrap();
        assert_eq!(claims.len(), due, "{kind:?}");
        assert!(claims.iter().all(|claim| claim.effect.kind() == kind));
    }
}

#[tokio::test]
async fn what_others_hold_is_passed_over_without_waiting() {
    let (database, store, _, transfers) = ground(3).await;
    let held = EffectKind::OnRamp.id_for(transfers[0].id.0);
    let mut other = PgConnection::connect(database.url()).await.unwrap();
    let mut tx = other.begin().await.unwrap();
    sqlx::query("SELECT FROM settla.outbox WHERE id = $1 FOR UPDATE").bind(held.0).execute(&mut *tx).await.unwrap();
    let claims = claim(&store, LONG_MS).await;
    assert_eq!(claims.len(), 2);
    assert!(claims.iter().all(|claim| claim.id != held));
    tx.rollback().await.unwrap();
    assert_eq!(claim(&store, LONG_MS).await.iter().map(|claim| claim.id).collect::<Vec<_>>(), [held]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_never_get_the_same_effect() {
    const EFFECTS: usize = 300;
    let (_database, store, tenant, _) = ground(0).await;
    let mut commands = Vec::new();
    for _ in 0..EFFECTS {
        let quote = crate::support::quote(tenant, 10_000);
        let create = crate::support::create(&quote);
        commands.extend([Command::CreateQuote(quote), Command::CreateTransfer(create)]);
    }
    // Quotes made in the same batch serve its transfers.
    let answers = apply_with(&store, tenant, &commands, Outcome::default()).await.unwrap();
    assert!(answers.iter().all(Result::is_ok));
    let worker = || async {
        let mut mine = Vec::new();
        loop {
            let claims = outbox::claim(&store.worker, EffectKind::OnRamp, 7, LONG_MS).await.unwrap();
            if claims.is_empty() {
                return mine;
            }
            mine.extend(claims.into_iter().map(|claim| (claim.id, claim.attempt)));
        }
    };
    let claimed = join_all((0..4).map(|_| worker())).await.concat();
    assert_eq!(claimed.len(), EFFECTS);
    assert!(claimed.iter().all(|(_, attempt)| *attempt == 1));
    assert_eq!(claimed.iter().collect::<BTreeSet<_>>().len(), EFFECTS);
}

#[tokio::test]
async fn news_brings_an_enquiry_forward_unless_somebody_is_at_it() {
    let (_database, store, tenant, transfers) = ground(1).await;
    let effect = EffectKind::OnRamp.id_for(transfers[0].id.0);
    let accepted = Command::Report(findings_to_completion(&transfers[0])[0].clone());
    assert_eq!(apply(&store, tenant, &[accepted]).await, [Answer::Applied]);
    let found = outbox::find(&store.worker, &[effect, settla_domain::id::EffectId(Uuid::now_v7())]).await.unwrap();
    assert!(
        matches!(&found[..], [Place { id, tenant: of, subject, effect: Effect::OnRamp { .. }, first_attempt_at: None }]
        if *id == effect && *of == tenant && *subject == transfers[0].id.0)
    );
    assert!(claim(&store, LONG_MS).await.is_empty(), "asked about too early");
    outbox::hasten(&store.worker, &[effect]).await.unwrap();
    let claims = claim(&store, LONG_MS).await;
    assert!(claims.len() == 1 && claims[0].accepted);
    outbox::hasten(&store.worker, &[effect]).await.unwrap();
    assert!(claim(&store, LONG_MS).await.is_empty(), "a claim was taken from its holder");
}
