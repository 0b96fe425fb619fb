//! A round: so many payments from quote to completed, each of their commands in one batch with those of the others.

use crate::apply::{apply, keys};
use crate::support::check::assert_books;
use crate::support::{create, findings_to_completion, funding, now, quote, tenant};
use settla_domain::decide::{Answer, Command, CreateTransfer, decide};
use settla_domain::tenant::TenantNo;
use settla_domain::transfer::{Transfer, TransferState};
use settla_domain::world::Change;
use settla_store::batch::{Audit, BatchConnection, BatchTx, Idempotency, Memory, Outcome, SealedParties, Takers};
use settla_store::{Store, books};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// What each payment exchanges, and enough for all of them, in pence.
const AMOUNT: i128 = 100_000;
const FUNDS: i128 = 100_000_000_000;
/// Postings of a reservation, of a payout, and of all of a payment.
const RESERVATION: usize = 1;
const PAYOUT: usize = 5;
const PAYMENT: usize = 10;

/// How long a batch took.
#[derive(Debug, Clone, Copy)]
pub struct Took {
    /// From BEGIN until all is decided.
    pub decided: Duration,
    /// From there until COMMIT has answered.
    pub written: Duration,
    pub postings: usize,
}

/// What is measured of a round.
pub struct Round {
    pub reserved: Took,
    pub paid: Took,
}

/// What the runner keeps from batch to batch, and whose batches they are.
pub struct Ground {
    tenant: TenantNo,
    connection: BatchConnection,
    memory: Memory,
}

impl Ground {
    /// A funded tenant in an empty database.
    pub async fn new(store: &Store) -> Self {
        let tenant = tenant(store, "one").await;
        apply(store, tenant, &funding(tenant, FUNDS)).await;
        let connection = BatchConnection::acquire(&store.runner).await.unwrap();
        Self { tenant, connection, memory: Memory::default() }
    }

    /// Takes so many payments from quote to completed.
    pub async fn round(&mut self, payments: usize) -> Round {
        let quotes: Vec<_> = (0..payments).map(|_| quote(self.tenant, AMOUNT)).collect();
        let creates: Vec<_> = quotes.iter().map(|quote| Command::CreateTransfer(create(quote))).collect();
        let quotes: Vec<_> = quotes.into_iter().map(Command::CreateQuote).collect();
        self.batch(&quotes).await;
        let (reserved, answers) = self.batch(&creates).await;
        assert_eq!(reserved.postings, RESERVATION * payments);
        let transfers: Vec<Transfer> = answers.into_iter().map(funded).collect();

        let reports: Vec<_> = transfers.iter().map(findings_to_completion).collect();
        let mut last = None;
        for step in 0..reports[0].len() {
            let reports: Vec<_> = reports.iter().map(|all| Command::Report(all[step].clone())).collect();
            let (took, answers) = self.batch(&reports).await;
            assert!(answers.iter().all(|answer| *answer == Answer::Applied), "{answers:?}");
            last = Some(took);
        }
        let paid = last.expect("a payment has findings");
        assert_eq!(paid.postings, PAYOUT * payments);
        Round { reserved, paid }
    }

    /// One batch, as the runner does it.
    async fn batch(&mut self, commands: &[Command]) -> (Took, Vec<Answer>) {
        let begun = Instant::now();
        let mut tx = BatchTx::begin(&mut self.connection, Uuid::now_v7(), &[self.tenant].into()).await.unwrap();
        let mut keys = keys(self.tenant, commands);
        // The runner does not look for a withdrawal where the effect is a transfer's, but for first answers.
        keys.withdrawals.clear();
        keys.idempotency.extend(commands.iter().filter_map(reservation).map(|create| (create.tenant, key(create))));
        let mut loaded = tx.load(keys, &self.memory).await.unwrap();
        let at = now();
        let mut outcome = Outcome::default();
        let mut answers = Vec::with_capacity(commands.len());
        for command in commands {
            let decision = decide(&loaded.world, command, at).unwrap();
            loaded.world.apply(&decision.changes).unwrap();
            outcome.changes.extend(decision.changes);
            answers.push(decision.answer);
            if let Some(create) = reservation(command) {
                beside(create, &mut outcome);
            }
        }
        let decided = begun.elapsed();
        let writing = Instant::now();
        tx.write(&outcome, &loaded, at, &Takers::default()).await.unwrap();
        tx.commit().await.unwrap();
        let written = writing.elapsed();
        self.memory.committed(&outcome.changes);
        let postings = outcome.changes.iter().filter(|change| matches!(change, Change::Posted(_))).count();
        (Took { decided, written, postings }, answers)
    }

    /// All of so many payments have completed, their postings are there, and the books balance.
    pub async fn check(self, store: &Store, payments: usize) {
        assert_books(store).await;
        let completed = (TransferState::Completed.name().to_owned(), payments as i64);
        assert_eq!(books::states(&store.auditor).await.unwrap(), [completed]);
        let counts = books::row_counts(&store.auditor).await.unwrap();
        let postings = counts.into_iter().find(|(table, _)| table == "postings");
        // And the one that the tenant was funded with.
        assert_eq!(postings.map(|(_, count)| count as usize), Some(PAYMENT * payments + 1));
    }
}

fn reservation(command: &Command) -> Option<&CreateTransfer> {
    if let Command::CreateTransfer(create) = command { Some(create) } else { None }
}

fn funded(answer: Answer) -> Transfer {
    match answer {
        Answer::Transfer(transfer) if transfer.state == TransferState::Funded => transfer,
        other => panic!("not funded: {other:?}"),
    }
}

fn key(create: &CreateTransfer) -> String {
    create.id.0.to_string()
}

/// What the runner keeps of a request besides what it decides.
fn beside(create: &CreateTransfer, outcome: &mut Outcome) {
    let (tenant, subject) = (create.tenant, create.id.0);
    let sealed = || Some(vec![0x5e; 64]);
    let parties = SealedParties {
        sender_name: sealed(),
        sender_account: sealed(),
        recipient_name: sealed(),
        recipient_account: sealed(),
        recipient_bank: sealed(),
    };
    outcome.sealed.push((tenant, subject, parties));
    outcome.idempotency.push(Idempotency {
        tenant,
        key: key(create),
        fingerprint: vec![7; 32],
        refusal: None,
        subject: Some(subject),
    });
    outcome.audit.push(Audit {
        tenant,
        actor: "key".to_owned(),
        action: "transfer.create",
        object: create.id.to_string(),
        request_id: Some(key(create)),
    });
}
