//! Commands of one batch: each sees what the ones before it did, and one that fails does so alone.

use crate::ground::{Wired, decided, keyed, number, plain};
use crate::proxy::Held;
use crate::support::{check::assert_books, create, funding, report};
use futures_util::future::join_all;
use settla_domain::decide::{Answer, Command, CreateTransfer};
use settla_domain::effect::EffectKind;
use settla_domain::finding::Finding;
use settla_domain::money::Money;
use settla_domain::refusal::Refusal;
use settla_server::runner::{QUEUE_MAX, RunnerError};

#[tokio::test]
async fn duplicates_in_one_batch_are_one_command() {
    let wired = Wired::new().await;
    let tenant = wired.ground.funded("acme", 1_000_000).await;
    let quote = wired.ground.quoted(tenant, 10_000).await;
    let duplicate = |key: &str| keyed(tenant, Command::CreateTransfer(create(&quote)), key);
    let mut envelopes: Vec<_> = (0..10).map(|_| duplicate("k")).collect();
    envelopes.push(duplicate("another"));
    let mut conflict = duplicate("k");
    conflict.idempotency = Some(("k".to_owned(), vec![8; 32]));
    envelopes.push(conflict);
    let mut answers = wired.in_one_batch(tenant, envelopes).await;
    assert_eq!(wired.proxy.commits().len(), 1);
    assert_eq!(answers.pop(), Some(Err(Refusal::IdempotencyConflict.into())));
    assert_eq!(answers.pop(), Some(Err(Refusal::QuoteUsed.into())));
    let answers: Vec<_> = answers.into_iter().map(decided).collect();
    assert!(answers.iter().all(|(answer, _)| *answer == answers[0].0));
    assert_eq!(
        answers.iter().map(|(_, replayed)| *replayed).collect::<Vec<_>>(),
        [vec![false], vec![true; 9]].concat()
    );
    assert_eq!(number(&wired.ground.store, "SELECT count(*) FROM transfers").await, 1);
    assert_books(&wired.ground.store).await;
}

#[tokio::test]
async fn commands_see_what_those_before_them_did() {
    let wired = Wired::new().await;
    let tenant = wired.ground.funded("acme", 1_000_000).await;
    let quote = crate::support::quote(tenant, 10_000);
    let wish = create(&quote);
    let transfer = wish.id;
    let [topup, credit] = funding(tenant, 77);
    let commands = [
        Command::CreateQuote(quote),
        Command::CreateTransfer(wish),
        Command::CancelTransfer { tenant, transfer },
        Command::CancelTransfer { tenant, transfer },
        topup,
        credit.clone(),
        credit,
    ];
    let answers = wired.in_one_batch(tenant, commands.map(|command| plain(tenant, command)).to_vec()).await;
    assert_eq!(wired.proxy.commits().len(), 1);
    assert!(answers[..3].iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(answers[3], Err(Refusal::NotCancellable.into()));
    let rest: Vec<_> = answers.into_iter().skip(4).map(|came| decided(came).0).collect();
    assert!(matches!(&rest[..], [Answer::Topup(_), Answer::Applied, Answer::Nothing]), "{rest:?}");
    assert_eq!(number(&wired.ground.store, "SELECT available FROM positions").await, 1_000_077);
    assert_eq!(number(&wired.ground.store, "SELECT count(*) FROM outbox WHERE status <> 'cancelled'").await, 0);
    assert_books(&wired.ground.store).await;
}

/// Poison: what the engine does not notice and the database refuses, what breaks the engine's own invariant,
/// and what cannot even be written down.
#[tokio::test]
async fn a_command_that_fails_does_so_alone() {
    let wired = Wired::new().await;
    let ground = &wired.ground;
    let tenant = ground.funded("acme", 10_000_000).await;
    let victims = [
        ground.transfer(tenant, 10_000).await,
        ground.transfer(tenant, 10_000).await,
        ground.transfer(tenant, 10_000).await,
    ];
    let delivered = |n: usize, minor: i128| {
        let usdc = victims[n].terms.bought.currency;
        let finding = Finding::Delivered { amount: Money::new(usdc, minor), tx: "0x01".to_owned() };
        plain(tenant, Command::Report(report(&victims[n], EffectKind::OnRamp, finding)))
    };
    let taken = CreateTransfer { id: victims[0].id, ..ground.wish(tenant, 10_000).await };
    let poison = [
        delivered(0, 1_000_000_000_000_001),                    // above the largest posting
        delivered(1, i128::from(i64::MAX) + 1),                 // above what the column holds
        delivered(2, -1),                                       // a negative posting
        keyed(tenant, Command::CreateTransfer(taken), "taken"), // an id that exists
    ];
    let mut envelopes = Vec::new();
    for n in 0..40 {
        let wish = ground.wish(tenant, 10_000).await;
        envelopes.push(keyed(tenant, Command::CreateTransfer(wish), &format!("good-{n}")));
    }
    for (n, bad) in poison.into_iter().enumerate() {
        envelopes.insert(n * 11, bad);
    }
    let events = "SELECT count(*) FROM events WHERE kind = 'transfer.funded'";
    let before = number(&ground.store, events).await;
    let answers = wired.in_one_batch(tenant, envelopes).await;
    for (n, came) in answers.iter().enumerate() {
        if [0, 11, 22, 33].contains(&n) {
            assert_eq!(*came, Err(RunnerError::Internal), "{n}");
        } else {
            assert!(matches!(came, Ok(decided) if !decided.replayed), "{n}: {came:?}");
        }
    }
    assert_eq!(number(&ground.store, events).await, before + 40);
    assert_eq!(number(&ground.store, "SELECT count(*) FROM transfers").await, 43);
    assert_eq!(number(&ground.store, "SELECT count(*) FROM transfers WHERE state = 'FUNDED'").await, 43);
    // The refused id left nothing: its quote and its key are as they were.
    assert_eq!(number(&ground.store, "SELECT count(*) FROM idempotency WHERE key = 'taken'").await, 0);
    assert_eq!(number(&ground.store, "SELECT count(*) FROM quotes WHERE NOT used").await, 1);
    assert_books(&ground.store).await;
}

#[tokio::test]
async fn beyond_what_may_wait_callers_are_told_so() {
    let wired = Wired::new().await;
    let tenant = wired.ground.funded("acme", 1_000).await;
    // Nobody's: it is refused without being written down.
    let command = || Command::CancelTransfer { tenant, transfer: settla_domain::id::TransferId(uuid::Uuid::nil()) };
    wired.proxy.hold_next(Held::Begin);
    let submit = |_| Box::pin(wired.runner.submit(plain(tenant, command())));
    let first = submit(0);
    let rest = async {
        wired.proxy.held().await;
        let mut waiting: Vec<_> = (0..QUEUE_MAX).map(submit).collect();
        for one in &mut waiting {
            assert!(futures_util::poll!(one).is_pending());
        }
        assert_eq!(submit(0).await, Err(RunnerError::Overloaded));
        let mut patient = Box::pin(wired.runner.submit_patiently(plain(tenant, command())));
        assert!(futures_util::poll!(&mut patient).is_pending());
        wired.proxy.release();
        (join_all(waiting).await, patient.await)
    };
    let (first, (waited, patient)) = tokio::join!(first, rest);
    let refused = Err(RunnerError::Refused(Refusal::TransferNotFound));
    assert!(waited.iter().chain([&first, &patient]).all(|came| *came == refused));
}
