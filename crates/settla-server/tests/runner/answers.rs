//! What the runner answers: the way of a transfer, first answers given again, refusals.

use crate::ground::{Ground, blocked, decided, keyed, number, plain, transfer_of};
use crate::support::{check::assert_books, create, findings_to_completion, funding, open, quote, tenant, withdrawal};
use futures_util::future::join_all;
use settla_domain::decide::{Answer, Command, Report};
use settla_domain::effect::EffectKind;
use settla_domain::finding::Finding;
use settla_domain::id::TransferId;
use settla_domain::money::Currency;
use settla_domain::refusal::Refusal;
use settla_domain::tenant::TenantNo;
use settla_domain::transfer::TransferState;
use settla_server::runner::{Decided, Envelope, Runner, RunnerError};
use settla_store::batch::SealedParties;
use settla_store::{books, outbox, read};
use sqlx::{Connection, PgConnection};
use std::collections::BTreeMap;
use uuid::Uuid;

#[tokio::test]
async fn a_transfer_goes_from_quote_to_completed() {
    let ground = Ground::new().await;
    let tenant = ground.funded("acme", 1_000_000).await;
    let wish = ground.wish(tenant, 250_000).await;
    let sealed = SealedParties { recipient_name: Some(b"sealed".to_vec()), ..SealedParties::default() };
    let envelope =
        Envelope { sealed: Some((wish.id.0, sealed.clone())), ..keyed(tenant, Command::CreateTransfer(wish), "k") };
    let (answer, replayed) = decided(ground.runner.submit(envelope).await);
    let transfer = transfer_of(answer);
    assert!(!replayed && transfer.state == TransferState::Funded);
    let debit = transfer.terms.debit.minor;
    let parts = async || books::positions(&ground.store.auditor).await.unwrap();
    assert_eq!(parts().await, [(tenant, Currency::GBP, [1_000_000 - debit, debit, 0], debit)]);
    assert_books(&ground.store).await;

    let states = ["ON_RAMPING", "SETTLING", "OFF_RAMPING", "OFF_RAMPING", "COMPLETED"];
    for (report, state) in findings_to_completion(&transfer).into_iter().zip(states) {
        assert_eq!(ground.answer(tenant, Command::Report(report.clone())).await, Answer::Applied);
        assert_eq!(ground.answer(tenant, Command::Report(report)).await, Answer::Nothing, "applied twice");
        assert_eq!(books::states(&ground.store.auditor).await.unwrap(), [(state.to_owned(), 1)]);
        assert_books(&ground.store).await;
    }
    let left = [(tenant, Currency::GBP, [1_000_000 - debit, 0, 0], 0), (tenant, Currency::USDC, [0, 0, 0], 0)];
    assert_eq!(parts().await, left);
    let stored = read::transfer(&ground.store.app, tenant, transfer.id).await.unwrap().unwrap();
    assert_eq!((stored.state, stored.progress.paid), (TransferState::Completed, Some(transfer.terms.destination)));
    let parties = read::personal_data(&ground.store.payer, &[(tenant, transfer.id.0)]).await.unwrap();
    assert_eq!(parties[&(tenant, transfer.id.0)], sealed);
    let audited = "SELECT count(*) FROM audit_log WHERE action = 'transfer.create' AND actor = 'key_1' AND request_id = 'request-k'";
    assert_eq!(number(&ground.store, audited).await, 1);
}

#[tokio::test]
async fn a_refused_on_ramp_gives_the_money_back() {
    let ground = Ground::new().await;
    let tenant = ground.funded("acme", 1_000_000).await;
    let transfer = ground.transfer(tenant, 250_000).await;
    let refused = Finding::Refused { reason: "no".to_owned() };
    let effect = EffectKind::OnRamp.id_for(transfer.id.0);
    let report = Report { tenant, subject: transfer.id.0, effect, finding: refused };
    ground.answer(tenant, Command::Report(report)).await;
    let parts = books::positions(&ground.store.auditor).await.unwrap();
    assert_eq!(parts, [(tenant, Currency::GBP, [1_000_000, 0, 0], 0)]);
    assert_books(&ground.store).await;
}

/// Everything but the counters of how often something was looked at.
async fn rows(ground: &Ground) -> Vec<(String, i64)> {
    books::row_counts(&ground.store.auditor).await.unwrap()
}

/// The same request again: the caller makes new ids for what it asks for, the key stays.
#[tokio::test]
async fn every_command_is_answered_again_as_it_was_the_first_time() {
    let ground = Ground::new().await;
    let tenant = ground.funded("acme", 10_000_000).await;
    let base = ground.quoted(tenant, 10_000).await;
    let transfer = ground.transfer(tenant, 10_000).await;
    let cancelled = ground.transfer(tenant, 10_000).await;
    let spare = ground.wish(tenant, 30_000).await;
    let topup = || funding(tenant, 500)[0].clone();
    // A request and its repeat, by kind.
    let requests: BTreeMap<&str, [Command; 2]> = [
        ("quote", [quote(tenant, 700), quote(tenant, 700)].map(Command::CreateQuote)),
        ("transfer", [create(&base), create(&base)].map(Command::CreateTransfer)),
        ("refused", [create(&base), spare].map(Command::CreateTransfer)),
        ("cancel", [cancelled.id, cancelled.id].map(|transfer| Command::CancelTransfer { tenant, transfer })),
        (
            "no cancel",
            [TransferId(Uuid::nil()), transfer.id].map(|transfer| Command::CancelTransfer { tenant, transfer }),
        ),
        ("topup", [topup(), topup()]),
        (
            "withdrawal",
            [withdrawal(tenant, 100, "rent"), withdrawal(tenant, 100, "rent")].map(Command::CreateWithdrawal),
        ),
        (
            "withdrawal refused",
            [withdrawal(tenant, 100, "rent"), withdrawal(tenant, 7, "new")].map(Command::CreateWithdrawal),
        ),
    ]
    .into();
    let order = ["quote", "transfer", "refused", "cancel", "no cancel", "topup", "withdrawal", "withdrawal refused"];
    let refusals = [
        ("refused", Refusal::QuoteUsed),
        ("no cancel", Refusal::TransferNotFound),
        ("withdrawal refused", Refusal::ReferenceUsed),
    ];
    let refusals: BTreeMap<&str, Refusal> = refusals.into();

    let mut first = BTreeMap::new();
    for kind in order {
        let came = ground.runner.submit(keyed(tenant, requests[kind][0].clone(), kind)).await;
        match refusals.get(kind) {
            Some(refusal) => assert_eq!(came, Err(RunnerError::Refused(*refusal)), "{kind}"),
            None => assert!(matches!(&came, Ok(decided) if !decided.replayed), "{kind}: {came:?}"),
        }
        first.insert(kind, came);
    }
    // What they made goes on living.
    let made = transfer_of(first["transfer"].clone().unwrap().answer);
    for report in findings_to_completion(&made) {
        ground.answer(tenant, Command::Report(report)).await;
    }
    let Answer::Withdrawal(paid) = first["withdrawal"].clone().unwrap().answer else { panic!() };
    let effect = EffectKind::BankPayment.id_for(paid.id.0);
    let report = Report { tenant, subject: paid.id.0, effect, finding: Finding::PaymentExecuted };
    assert_eq!(ground.answer(tenant, Command::Report(report)).await, Answer::Applied);
    let Answer::Topup(announced) = first["topup"].clone().unwrap().answer else { panic!() };
    let Command::BankCredit { id, mut credit, .. } = funding(tenant, 500)[1].clone() else { panic!() };
    credit.reference = announced.reference;
    assert_eq!(ground.answer(tenant, Command::BankCredit { id, credit, sale_of: None }).await, Answer::Applied);

    let before = rows(&ground).await;
    for kind in order {
        let came = ground.runner.submit(keyed(tenant, requests[kind][1].clone(), kind)).await;
        match (&first[kind], &came) {
            (Ok(first), Ok(again)) => assert!(again.replayed && again.answer == first.answer, "{kind}: {again:?}"),
            (first, again) => assert_eq!(first, again, "{kind}"),
        }
        let mut another = keyed(tenant, requests[kind][1].clone(), kind);
        another.idempotency = Some((kind.to_owned(), vec![8; 32]));
        let conflict = Err(RunnerError::Refused(Refusal::IdempotencyConflict));
        assert_eq!(ground.runner.submit(another).await, conflict, "{kind}");
    }
    assert_eq!(rows(&ground).await, before, "a repeat had an effect");
    assert_books(&ground.store).await;
}

#[tokio::test]
async fn a_refusal_stays_with_its_key_unless_it_is_one_of_the_hour() {
    let ground = Ground::new().await;
    let tenant = tenant(&ground.store, "acme").await;
    let wish = ground.wish(tenant, 10_000).await;
    let ask = async |key: &str| ground.runner.submit(keyed(tenant, Command::CreateTransfer(wish.clone()), key)).await;
    let mut superuser = PgConnection::connect(ground.database.url()).await.unwrap();
    let mut status = async |status: &str| {
        let statement = format!("UPDATE settla.tenants SET status = '{status}'");
        sqlx::raw_sql(&statement).execute(&mut superuser).await.unwrap();
    };
    status("suspended").await;
    assert_eq!(ask("k").await, Err(Refusal::TenantNotActive.into()));
    status("active").await;
    assert_eq!(ask("k").await, Err(Refusal::InsufficientFunds.into()));
    for command in funding(tenant, 1_000_000) {
        ground.answer(tenant, command).await;
    }
    assert_eq!(ask("k").await, Err(Refusal::InsufficientFunds.into()), "the key had another answer before");
    assert!(matches!(ask("another").await, Ok(decided) if !decided.replayed));
    assert_books(&ground.store).await;
}

#[tokio::test]
async fn a_key_is_its_tenants_own() {
    let ground = Ground::new().await;
    let (one, two) = (ground.funded("one", 1_000_000).await, ground.funded("two", 1_000_000).await);
    for tenant in [one, two] {
        let wish = ground.wish(tenant, 10_000).await;
        let came = ground.runner.submit(keyed(tenant, Command::CreateTransfer(wish), "the same")).await;
        assert!(!decided(came).1);
    }
    // Nor does another's quote or transfer exist for it.
    let stolen = create(&ground.quoted(two, 10_000).await);
    let came = ground
        .runner
        .submit(plain(one, Command::CreateTransfer(settla_domain::decide::CreateTransfer { tenant: one, ..stolen })))
        .await;
    assert_eq!(came, Err(Refusal::QuoteNotFound.into()));
    let transfer = ground.transfer(two, 10_000).await.id;
    let came = ground.runner.submit(plain(one, Command::CancelTransfer { tenant: one, transfer })).await;
    assert_eq!(came, Err(Refusal::TransferNotFound.into()));
    assert_books(&ground.store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_duplicates_are_one_transfer() {
    let ground = Ground::new().await;
    let tenant = ground.funded("acme", 1_000_000).await;
    let base = ground.quoted(tenant, 10_000).await;
    let second = Runner::start(open(ground.database.url()).await).unwrap();
    let submit = |n: usize| {
        let runner = if n.is_multiple_of(2) { &ground.runner } else { &second };
        runner.submit(keyed(tenant, Command::CreateTransfer(create(&base)), "k"))
    };
    let answers: Vec<_> = join_all((0..64).map(submit)).await.into_iter().map(decided).collect();
    assert_eq!(answers.iter().filter(|(_, replayed)| !replayed).count(), 1);
    assert!(answers.iter().all(|(answer, _)| *answer == answers[0].0));
    assert_eq!(number(&ground.store, "SELECT count(*) FROM transfers").await, 1);
    assert_books(&ground.store).await;
}

/// A worker that was held up longer than its lease comes back with what became of its own attempt.
#[tokio::test]
async fn a_refusal_counts_only_for_the_last_attempt() {
    let ground = Ground::new().await;
    let tenant = ground.funded("acme", 1_000_000).await;
    let transfer = ground.transfer(tenant, 10_000).await;
    let effect = EffectKind::OnRamp.id_for(transfer.id.0);
    for attempt in 1..=2 {
        let claims = outbox::claim(&ground.store.worker, EffectKind::OnRamp, 1, 0).await.unwrap();
        assert_eq!(claims[0].attempt, attempt);
    }
    let say = |attempt| {
        let finding = Finding::NotStarted { reason: "provider_off".to_owned(), attempt };
        Command::Report(Report { tenant, subject: transfer.id.0, effect, finding })
    };
    assert_eq!(ground.answer(tenant, say(1)).await, Answer::Nothing);
    assert_eq!(ground.answer(tenant, say(2)).await, Answer::Applied);
    assert_books(&ground.store).await;
}

/// A credit whose reference nobody has announced.
fn stray_credit() -> Command {
    let [_, Command::BankCredit { id, mut credit, .. }] = funding(TenantNo(1), 500) else { panic!() };
    credit.reference = "happy birthday".to_owned();
    Command::BankCredit { id, credit, sale_of: None }
}

#[tokio::test]
async fn money_without_an_owner_goes_to_suspense_once() {
    let ground = Ground::new().await;
    let second = Runner::start(open(ground.database.url()).await).unwrap();
    let stray = stray_credit();
    let submit = |n: usize| {
        let runner = if n.is_multiple_of(2) { &ground.runner } else { &second };
        runner.submit(plain(TenantNo::PLATFORM, stray.clone()))
    };
    let answers = join_all((0..16).map(submit)).await;
    let came = |answer: Answer| answers.iter().filter(|came| came.as_ref().is_ok_and(|d| d.answer == answer)).count();
    assert_eq!((came(Answer::Applied), came(Answer::Nothing)), (1, 15), "{answers:?}");
    assert_books(&ground.store).await;
}

/// What no lock of a tenant guards: another process writes the row between our look and our write.
#[tokio::test]
async fn a_row_that_another_process_wrote_first_is_seen() {
    let ground = Ground::new().await;
    let tenant = ground.funded("acme", 1_000_000).await;
    let stray = stray_credit();
    let Command::BankCredit { credit, .. } = &stray else { panic!() };
    let entry = format!("INSERT INTO settla.bank_entries VALUES ('bank', '{}', now())", credit.entry_id);
    let key = format!(
        "INSERT INTO settla.idempotency (tenant, key, fingerprint, created_at) VALUES ({}, 'k', '\\x08', now())",
        tenant.0
    );
    let wish = Command::CreateTransfer(ground.wish(tenant, 10_000).await);
    let conflict = Err(RunnerError::Refused(Refusal::IdempotencyConflict));
    let nothing = Ok(Decided { answer: Answer::Nothing, replayed: false });
    let mut other = PgConnection::connect(ground.database.url()).await.unwrap();
    for (statement, envelope, answer) in
        [(entry, plain(TenantNo::PLATFORM, stray), nothing), (key, keyed(tenant, wish, "k"), conflict)]
    {
        let mut tx = other.begin().await.unwrap();
        sqlx::raw_sql(&statement).execute(&mut *tx).await.unwrap();
        let commit = async {
            blocked(&ground).await;
            tx.commit().await.unwrap();
        };
        let (came, ()) = tokio::join!(ground.runner.submit(envelope), commit);
        assert_eq!(came, answer);
    }
    assert_eq!(number(&ground.store, "SELECT count(*) FROM transfers").await, 0);
    assert_books(&ground.store).await;
}
