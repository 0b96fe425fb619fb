//! What is under review is listed, a proposal is one person's, and a step that people open again is due again.

use crate::apply::{apply, transfer};
use crate::life::find;
use crate::support::{check::assert_books, findings_to_completion, funding, open, report, tenant, withdrawal};
use settla_devkit::TestDatabase;
use settla_domain::decide::Command;
use settla_domain::effect::EffectKind;
use settla_domain::finding::Finding;
use settla_domain::review::{Decided, Decision};
use settla_domain::tenant::TenantNo;
use settla_domain::transfer::Transfer;
use settla_store::review::{self, Closed, Held, Proposal};
use settla_store::{Store, StoreError, outbox};
use sqlx::{Connection, PgConnection};
use std::time::Duration;
use uuid::Uuid;

fn unresolved() -> Finding {
    Finding::Unresolved { reason: "off_ramp_not_reached".into() }
}

/// A transfer whose off-ramp was never reached.
async fn stuck() -> (TestDatabase, Store, TenantNo, Transfer) {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let tenant = tenant(&store, "acme").await;
    apply(&store, tenant, &funding(tenant, 10_000_000)).await;
    let transfer = transfer(&store, tenant, 10_000).await;
    find(&store, &findings_to_completion(&transfer)[..3]).await;
    outbox::claim(&store.worker, EffectKind::OffRamp, 10, 60_000).await.unwrap();
    find(&store, &[report(&transfer, EffectKind::OffRamp, unresolved())]).await;
    (database, store, tenant, transfer)
}

fn proposal(transfer: &Transfer, by: &str) -> Proposal {
    Proposal {
        id: Uuid::now_v7(),
        tenant: transfer.tenant,
        subject: transfer.id.0,
        decision: Decision::Retry,
        ticket: "T-1".to_owned(),
        reason: "the off-ramp is back".to_owned(),
        proposed_by: by.to_owned(),
    }
}

#[tokio::test]
async fn payments_under_review_are_listed_with_why_and_since_where() {
    let (_database, store, tenant, transfer) = stuck().await;
    let payment = withdrawal(tenant, 5_000, "W-1");
    apply(&store, tenant, &[Command::CreateWithdrawal(payment.clone())]).await;
    let effect = EffectKind::BankPayment.id_for(payment.id.0);
    let found = settla_domain::decide::Report { tenant, subject: payment.id.0, effect, finding: unresolved() };
    find(&store, &[found]).await;
    let cases = review::cases(&store.auditor, None).await.unwrap();
    let seen: Vec<_> =
        cases.iter().map(|c| (c.subject, c.is_withdrawal, c.failure.as_str(), c.from.as_deref(), c.amount)).collect();
    assert_eq!(
        seen,
        [
            (transfer.id.0, false, "off_ramp_not_reached", Some("OFF_RAMPING"), transfer.terms.debit),
            (payment.id.0, true, "off_ramp_not_reached", None, payment.amount),
        ]
    );
    assert_eq!(review::cases(&store.auditor, Some(payment.id.0)).await.unwrap(), cases[1..]);
    assert!(review::cases(&store.auditor, Some(Uuid::nil())).await.unwrap().is_empty());
}

async fn hold(store: &Store, transfer: &Transfer) -> Option<Held> {
    review::hold(&store.operator, &store.auditor, transfer.id.0).await.unwrap()
}

#[tokio::test]
async fn what_somebody_is_carrying_out_nobody_takes_back() {
    let (database, store, _, transfer) = stuck().await;
    review::propose(&store.operator, &proposal(&transfer, "ada")).await.unwrap();
    let held = hold(&store, &transfer).await.unwrap();
    assert!(!held.is_stale);
    // Ada thinks better of it while Grace's approval moves the money.
    let (closed, taken_back) = tokio::join!(
        async {
            waits_for_a_lock(&database).await;
            held.close(Closed::Approved, "grace").await
        },
        hold(&store, &transfer)
    );
    closed.unwrap();
    assert!(taken_back.is_none());
}

#[tokio::test]
async fn a_proposal_does_not_outlive_its_review() {
    let (_database, store, tenant, transfer) = stuck().await;
    review::propose(&store.operator, &proposal(&transfer, "ada")).await.unwrap();
    let (proposed_by, approved_by) = ("ada".to_owned(), "grace".to_owned());
    let decided = Decided { tenant, subject: transfer.id.0, decision: Decision::Retry, proposed_by, approved_by };
    // Carried out, and the shell ended before the proposal was closed.
    apply(&store, tenant, &[Command::Decide(decided)]).await;
    assert!(hold(&store, &transfer).await.unwrap().is_stale);
    // The next review of the same payment is another matter.
    find(&store, &[report(&transfer, EffectKind::OffRamp, unresolved())]).await;
    assert!(!review::cases(&store.auditor, Some(transfer.id.0)).await.unwrap().is_empty());
    assert!(hold(&store, &transfer).await.unwrap().is_stale);
}

/// Returns when a connection waits for a row that another one has locked.
async fn waits_for_a_lock(database: &TestDatabase) {
    let mut superuser = PgConnection::connect(database.url()).await.unwrap();
    let waiting = async {
        let waiting =
            "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while !sqlx::query_scalar::<_, bool>(waiting).fetch_one(&mut superuser).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("nobody waits");
}

#[tokio::test]
async fn one_proposal_is_open_at_a_time_and_nobody_approves_their_own() {
    let (database, store, _, transfer) = stuck().await;
    let first = proposal(&transfer, "ada");
    review::propose(&store.operator, &first).await.unwrap();
    let second = review::propose(&store.operator, &proposal(&transfer, "grace")).await;
    assert!(matches!(&second, Err(StoreError::Constraint(name)) if name == "review_proposals_open"), "{second:?}");
    assert_eq!(review::open_proposal(&store.operator, transfer.id.0).await.unwrap(), Some(first.clone()));
    let own = hold(&store, &transfer).await.unwrap().close(Closed::Approved, "ada").await;
    assert!(matches!(&own, Err(StoreError::Constraint(name)) if name == "two_people"), "{own:?}");
    hold(&store, &transfer).await.unwrap().close(Closed::Withdrawn, "ada").await.unwrap();
    assert!(hold(&store, &transfer).await.is_none());
    review::propose(&store.operator, &proposal(&transfer, "grace")).await.unwrap();

    let mut superuser = PgConnection::connect(database.url()).await.unwrap();
    let audited = "SELECT string_agg(actor || ' ' || action, ', ' ORDER BY id) FROM settla.audit_log WHERE action LIKE 'review.%'";
    let audited: String = sqlx::query_scalar(audited).fetch_one(&mut superuser).await.unwrap();
    assert_eq!(audited, "ada review.propose, ada review.withdrawn, grace review.propose");
}

#[tokio::test]
async fn a_step_that_people_open_again_is_due_with_its_attempts_and_its_time_anew() {
    let (database, store, tenant, transfer) = stuck().await;
    assert!(outbox::claim(&store.worker, EffectKind::OffRamp, 10, 60_000).await.unwrap().is_empty());
    let mut superuser = PgConnection::connect(database.url()).await.unwrap();
    let long_ago =
        "UPDATE settla.outbox SET attempts = 40, first_attempt_at = now() - interval '9 days' WHERE kind = 'off_ramp'";
    sqlx::raw_sql(long_ago).execute(&mut superuser).await.unwrap();
    let (proposed_by, approved_by) = ("ada".to_owned(), "grace".to_owned());
    let decided = Decided { tenant, subject: transfer.id.0, decision: Decision::Retry, proposed_by, approved_by };
    apply(&store, tenant, &[Command::Decide(decided)]).await;
    sqlx::raw_sql("UPDATE settla.outbox SET next_at = now()").execute(&mut superuser).await.unwrap();
    let claims = outbox::claim(&store.worker, EffectKind::OffRamp, 10, 60_000).await.unwrap();
    // Not the first attempt: the provider is asked before anything is started.
    assert_eq!(
        claims.iter().map(|c| (c.subject, c.attempt, c.accepted)).collect::<Vec<_>>(),
        [(transfer.id.0, 2, false)]
    );
    let age_ms = crate::support::now().ms_since(claims[0].first_attempt_at);
    assert!((-5_000..60_000).contains(&age_ms), "{age_ms}");
    find(&store, &findings_to_completion(&transfer)[3..]).await;
    assert_books(&store).await;
}
