//! A COMMIT whose answer is lost: one effect and the right answer, whether or not it took place.

use crate::ground::{Wired, blocked, decided, keyed, number, plain, transfer_of};
use crate::proxy::{Fault, Held};
use crate::support::{check::assert_books, create, findings_to_completion, open};
use settla_domain::decide::{Answer, Command};
use settla_domain::transfer::TransferState;
use settla_server::runner::{Envelope, Runner};
use std::time::Duration;

/// Submits while these faults come. One on its way arrives once somebody waits for what it will release.
async fn submit(wired: &Wired, faults: &[Fault], envelope: Envelope) -> (Answer, bool) {
    wired.proxy.fail(faults);
    let came = wired.runner.submit(envelope);
    let came = if faults.contains(&Fault::CommitOnItsWay) {
        let arrive = async {
            blocked(&wired.ground).await;
            wired.proxy.release();
        };
        tokio::join!(came, arrive).0
    } else {
        came.await
    };
    assert!(wired.proxy.has_failed(), "the fault did not come");
    decided(came)
}

/// Creates a transfer and reports on it, each with these faults. Returns how many transactions it began for each.
async fn with(faults: &[Fault]) -> [usize; 2] {
    let wired = Wired::new().await;
    let tenant = wired.ground.funded("acme", 1_000_000).await;
    let quote = wired.ground.quoted(tenant, 10_000).await;
    let request = || keyed(tenant, Command::CreateTransfer(create(&quote)), "k");

    let (answer, replayed) = submit(&wired, faults, request()).await;
    let begins = wired.proxy.begins();
    let transfer = transfer_of(answer);
    assert!(!replayed && transfer.state == TransferState::Funded);
    assert_eq!(number(&wired.ground.store, "SELECT count(*) FROM transfers").await, 1);
    let (again, replayed) = submit(&wired, &[], request()).await;
    assert!(replayed);
    assert_eq!(transfer_of(again), transfer, "the answer was of something else");
    assert_books(&wired.ground.store).await;

    // A finding has no key: that it was applied must be told from its having been applied before.
    let before = wired.proxy.begins();
    let report = || plain(tenant, Command::Report(findings_to_completion(&transfer)[0].clone()));
    assert_eq!(submit(&wired, faults, report()).await.0, Answer::Applied);
    let begins = [begins, wired.proxy.begins() - before];
    assert_eq!(submit(&wired, &[], report()).await.0, Answer::Nothing);
    assert_eq!(number(&wired.ground.store, "SELECT count(*) FROM events WHERE kind = 'transfer.on_ramping'").await, 1);
    assert_books(&wired.ground.store).await;
    begins
}

#[tokio::test]
async fn one_that_took_place_is_not_repeated() {
    assert_eq!(with(&[Fault::AfterCommit]).await, [1, 1]);
}

#[tokio::test]
async fn one_that_did_not_take_place_is_repeated() {
    assert_eq!(with(&[Fault::BeforeCommit]).await, [2, 2]);
}

#[tokio::test]
async fn one_that_is_on_its_way_is_waited_for() {
    assert_eq!(with(&[Fault::CommitOnItsWay]).await, [1, 1]);
}

#[tokio::test]
async fn a_lost_answer_to_the_question_does_not_change_it() {
    assert_eq!(with(&[Fault::AfterCommit, Fault::AfterAsking]).await, [1, 1]);
    assert_eq!(with(&[Fault::BeforeCommit, Fault::AfterAsking]).await, [2, 2]);
}

#[tokio::test]
async fn it_may_be_lost_several_times() {
    assert_eq!(with(&[Fault::BeforeCommit, Fault::BeforeCommit, Fault::AfterCommit]).await, [3, 3]);
}

/// A runner on the proxy that waits for a second, and no longer.
async fn impatient(wired: &Wired) -> Runner {
    Runner::start_with(open(&wired.proxy.url).await, Duration::from_secs(1)).unwrap()
}

/// The server has gone without a word: its connection is given up, and the batch is tried on another one.
#[tokio::test]
async fn a_database_that_falls_silent_is_given_up() {
    let wired = Wired::new().await;
    let tenant = wired.ground.funded("acme", 1_000_000).await;
    let quote = wired.ground.quoted(tenant, 10_000).await;
    let runner = impatient(&wired).await;
    // More often than there are connections: each that is given up leaves its place to another.
    for number in 0..6 {
        wired.proxy.hold_next(Held::Begin);
        let came = runner.submit(keyed(tenant, Command::CreateTransfer(create(&quote)), "k")).await;
        assert_eq!(decided(came).1, number > 0);
    }
    assert_eq!(number(&wired.ground.store, "SELECT count(*) FROM transfers").await, 1);
    assert_books(&wired.ground.store).await;
}

/// So it is with the question what became of a commit.
#[tokio::test]
async fn a_question_that_stays_silent_is_asked_again_however_often() {
    let wired = Wired::new().await;
    let tenant = wired.ground.funded("acme", 1_000_000).await;
    let quote = wired.ground.quoted(tenant, 10_000).await;
    let runner = impatient(&wired).await;
    wired.proxy.fail(&[Fault::AfterCommit]);
    // More often than there are connections.
    wired.proxy.hold(Held::Asking, 6);
    let came = runner.submit(keyed(tenant, Command::CreateTransfer(create(&quote)), "k")).await;
    assert!(!decided(came).1);
    assert!(wired.proxy.has_failed());
    assert_eq!(number(&wired.ground.store, "SELECT count(*) FROM transfers").await, 1);
    assert_books(&wired.ground.store).await;
}

/// The same with the COMMIT on its way: whether it took place is asked, and it counts once.
#[tokio::test]
async fn a_commit_that_stays_silent_is_settled_by_its_marker() {
    let wired = Wired::new().await;
    let tenant = wired.ground.funded("acme", 1_000_000).await;
    let quote = wired.ground.quoted(tenant, 10_000).await;
    let runner = impatient(&wired).await;
    wired.proxy.hold_next(Held::Commit);
    let submitted = runner.submit(keyed(tenant, Command::CreateTransfer(create(&quote)), "k"));
    let arrive = async {
        blocked(&wired.ground).await;
        wired.proxy.release();
    };
    let (answer, replayed) = decided(tokio::join!(submitted, arrive).0);
    assert!(!replayed);
    assert_eq!(transfer_of(answer).state, TransferState::Funded);
    assert_eq!(number(&wired.ground.store, "SELECT count(*) FROM transfers").await, 1);
    assert_books(&wired.ground.store).await;
}
