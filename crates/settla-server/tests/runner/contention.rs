//! Two runners on one database, as two server processes would have, and workers beside them.

use crate::ground::{Ground, Wired, blocked, keyed, number, plain};
use crate::proxy::{Held, Proxy};
use crate::support::{check::assert_books, create, findings_to_completion, open, quote};
use futures_util::future::join_all;
use settla_domain::decide::{Answer, Command};
use settla_domain::effect::EffectKind;
use settla_domain::refusal::Refusal;
use settla_domain::tenant::TenantNo;
use settla_server::runner::{Decided, Envelope, Runner, RunnerError};
use settla_store::outbox;
use sqlx::Row;
use std::collections::BTreeSet;
use uuid::Uuid;

async fn two(ground: &Ground) -> [Runner; 2] {
    [ground.runner.clone(), Runner::start(open(ground.database.url()).await).unwrap()]
}

/// All at once, to each runner every other one.
async fn submit_to(runners: &[Runner; 2], envelopes: Vec<Envelope>) -> Vec<Result<Decided, RunnerError>> {
    let submit = |(n, envelope): (usize, Envelope)| {
        let runner = runners[n % 2].clone();
        tokio::spawn(async move { runner.submit(envelope).await })
    };
    let tasks: Vec<_> = envelopes.into_iter().enumerate().map(submit).collect();
    join_all(tasks).await.into_iter().map(|joined| joined.unwrap()).collect()
}

/// Transfers in the making: their quotes are kept, one each.
async fn creates(ground: &Ground, tenant: TenantNo, count: usize) -> Vec<Envelope> {
    let quotes: Vec<_> = (0..count).map(|_| quote(tenant, 10_000)).collect();
    let kept = quotes.iter().map(|quote| ground.runner.submit(plain(tenant, Command::CreateQuote(quote.clone()))));
    assert!(join_all(kept).await.iter().all(Result::is_ok));
    let create = |quote| keyed(tenant, Command::CreateTransfer(create(quote)), &Uuid::now_v7().to_string());
    quotes.iter().map(create).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_creates_on_a_position_for_five() {
    let ground = Ground::new().await;
    let debit = quote(TenantNo(1), 10_000).terms.debit.minor;
    let tenant = ground.funded("acme", 5 * debit + debit - 1).await;
    let envelopes = creates(&ground, tenant, 500).await;
    let answers = submit_to(&two(&ground).await, envelopes).await;
    assert_eq!(answers.iter().filter(|came| came.is_ok()).count(), 5);
    let refused = Err(RunnerError::Refused(Refusal::InsufficientFunds));
    assert_eq!(answers.iter().filter(|came| **came == refused).count(), 495);
    assert_eq!(number(&ground.store, "SELECT count(*) FROM transfers").await, 5);
    assert_eq!(number(&ground.store, "SELECT available FROM positions").await, i64::try_from(debit - 1).unwrap());
    assert_books(&ground.store).await;
}

/// Not by failing on what the other wrote, but by waiting for it before the first look.
#[tokio::test]
async fn a_batch_waits_for_another_process_that_has_the_tenant() {
    let wired = Wired::new().await;
    let ground = &wired.ground;
    let debit = quote(TenantNo(1), 10_000).terms.debit.minor;
    let tenant = ground.funded("acme", debit).await;
    let [first, second] = [ground.wish(tenant, 10_000).await, ground.wish(tenant, 10_000).await];
    let beside = Proxy::start(&ground.database).await;
    let other = Runner::start(open(&beside.url).await).unwrap();
    wired.proxy.hold_next(Held::Commit);
    let (first, second, ()) = tokio::join!(
        wired.runner.submit(plain(tenant, Command::CreateTransfer(first))),
        async {
            wired.proxy.held().await;
            other.submit(plain(tenant, Command::CreateTransfer(second))).await
        },
        async {
            blocked(ground).await;
            wired.proxy.release();
        }
    );
    assert!(first.is_ok());
    assert_eq!(second, Err(Refusal::InsufficientFunds.into()));
    assert_eq!(beside.begins(), 1, "it failed and was tried again");
    assert_books(&ground.store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_a_tenant_are_numbered_without_gaps() {
    let ground = Ground::new().await;
    let mut envelopes = Vec::new();
    for slug in ["one", "two", "three"] {
        let tenant = ground.funded(slug, 1_000_000_000).await;
        envelopes.push(creates(&ground, tenant, 80).await);
    }
    // One of each tenant in turn, so that every batch is of all of them.
    let mixed = (0..80).flat_map(|n| envelopes.iter().map(move |of_one| of_one[n].clone())).collect();
    let runners = two(&ground).await;
    let answers = submit_to(&runners, mixed).await;
    let mut reports = Vec::new();
    for came in answers {
        let Answer::Transfer(transfer) = came.unwrap().answer else { panic!() };
        reports.push(findings_to_completion(&transfer));
    }
    for step in 0..5 {
        let now = reports.iter().map(|all| plain(all[step].tenant, Command::Report(all[step].clone()))).collect();
        let answers = submit_to(&runners, now).await;
        assert!(answers.iter().all(|came| matches!(came, Ok(decided) if decided.answer == Answer::Applied)));
    }
    let rows = sqlx::query(
        "SELECT l.tenant, l.event_sequence, count(*), min(e.sequence), max(e.sequence), count(DISTINCT e.id), bool_and(e.at >= before.at)
         FROM tenant_locks l JOIN events e USING (tenant)
         LEFT JOIN events before ON before.tenant = e.tenant AND before.sequence = e.sequence - 1
         GROUP BY l.tenant ORDER BY l.tenant",
    )
    .fetch_all(&ground.store.auditor)
    .await
    .unwrap();
    assert_eq!(rows.len(), 3);
    for row in rows {
        // A top-up, 80 times funded, on-ramping, settling, off-ramping and completed.
        let events = 1 + 80 * 5;
        assert_eq!(
            [row.get::<i64, _>(1), row.get(2), row.get(3), row.get(4), row.get(5)],
            [events, events, 1, events, events]
        );
        assert!(row.get::<bool, _>(6), "numbered against the order of time");
    }
    assert_books(&ground.store).await;
}

/// A cancel and a claim contend on the effect's row: one of them has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_cancelled_is_never_claimed() {
    const RACES: usize = 100;
    const ROUNDS_MAX: usize = 20;
    let ground = Ground::new().await;
    let tenant = ground.funded("acme", 1_000_000_000).await;
    let runners = two(&ground).await;
    let (mut cancelled_in_all, mut claimed_in_all) = (0, 0);
    for _ in 0..ROUNDS_MAX {
        let made = join_all(creates(&ground, tenant, RACES).await.into_iter().map(|e| ground.runner.submit(e))).await;
        let transfers: Vec<_> =
            made.into_iter().map(|came| crate::ground::transfer_of(came.unwrap().answer).id).collect();
        let cancels = transfers
            .iter()
            .rev()
            .map(|transfer| plain(tenant, Command::CancelTransfer { tenant, transfer: *transfer }));
        let claims = async {
            let mut mine = Vec::new();
            loop {
                let claims = outbox::claim(&ground.store.worker, EffectKind::OnRamp, 3, 3_600_000).await.unwrap();
                if claims.is_empty() {
                    return mine;
                }
                mine.extend(claims.into_iter().map(|claim| claim.subject));
            }
        };
        let (answers, claimed) = tokio::join!(submit_to(&runners, cancels.collect()), claims);
        let mut cancelled = BTreeSet::new();
        for (transfer, came) in transfers.iter().rev().zip(answers) {
            match came {
                Ok(_) => drop(cancelled.insert(transfer.0)),
                Err(refused) => assert_eq!(refused, RunnerError::Refused(Refusal::NotCancellable)),
            }
        }
        let claimed: BTreeSet<Uuid> = claimed.into_iter().collect();
        let both: Vec<_> = cancelled.intersection(&claimed).collect();
        assert!(both.is_empty(), "cancelled and claimed: {both:?}");
        assert_eq!(cancelled.len() + claimed.len(), RACES, "neither cancelled nor claimed");
        cancelled_in_all += cancelled.len();
        claimed_in_all += claimed.len();
        if cancelled_in_all > 0 && claimed_in_all > 0 {
            break;
        }
    }
    assert!(
        cancelled_in_all > 0 && claimed_in_all > 0,
        "no race: {cancelled_in_all} cancelled, {claimed_in_all} claimed"
    );
    assert_books(&ground.store).await;
}
