//! A database with a runner or two, and short ways to submit.

use crate::proxy::{Held, Proxy};
use crate::support::{create, funding, open, quote, tenant};
use futures_util::future::join_all;
use settla_devkit::TestDatabase;
use settla_domain::decide::{Answer, Command, CreateTransfer, Report};
use settla_domain::finding::Finding;
use settla_domain::id::EffectId;
use settla_domain::quote::Quote;
use settla_domain::tenant::TenantNo;
use settla_domain::transfer::Transfer;
use settla_server::runner::{Decided, Envelope, Runner, RunnerError};
use settla_store::Store;
use sqlx::{Connection, PgConnection, Row};
use uuid::Uuid;

/// A database and a runner on it.
pub struct Ground {
    pub runner: Runner,
    pub store: Store,
    pub database: TestDatabase,
}

impl Ground {
    pub async fn new() -> Self {
        let database = TestDatabase::create().await.unwrap();
        let store = open(database.url()).await;
        Self { runner: Runner::start(store.clone()).unwrap(), store, database }
    }

    /// A tenant with so many pence to spend.
    pub async fn funded(&self, slug: &str, minor: i128) -> TenantNo {
        let tenant = tenant(&self.store, slug).await;
        for command in funding(tenant, minor) {
            self.answer(tenant, command).await;
        }
        tenant
    }

    /// The answer to a command that must be taken.
    pub async fn answer(&self, tenant: TenantNo, command: Command) -> Answer {
        self.runner.submit(plain(tenant, command)).await.unwrap().answer
    }

    /// A quote that is kept.
    pub async fn quoted(&self, tenant: TenantNo, source_minor: i128) -> Quote {
        let quote = quote(tenant, source_minor);
        self.answer(tenant, Command::CreateQuote(quote.clone())).await;
        quote
    }

    /// The wish for a transfer from a quote of its own.
    pub async fn wish(&self, tenant: TenantNo, source_minor: i128) -> CreateTransfer {
        create(&self.quoted(tenant, source_minor).await)
    }

    /// A funded transfer.
    pub async fn transfer(&self, tenant: TenantNo, source_minor: i128) -> Transfer {
        let wish = self.wish(tenant, source_minor).await;
        transfer_of(self.answer(tenant, Command::CreateTransfer(wish)).await)
    }
}

/// The transfer of an answer that must be one.
pub fn transfer_of(answer: Answer) -> Transfer {
    let Answer::Transfer(transfer) = answer else { panic!("not a transfer: {answer:?}") };
    transfer
}

/// A command of the platform's own.
pub fn plain(tenant: TenantNo, command: Command) -> Envelope {
    Envelope { tenant, command, idempotency: None, sealed: None, audit: None }
}

/// A request with its key.
pub fn keyed(tenant: TenantNo, command: Command, key: &str) -> Envelope {
    let audit = Some(("key_1".to_owned(), format!("request-{key}")));
    Envelope { idempotency: Some((key.to_owned(), vec![7; 32])), audit, ..plain(tenant, command) }
}

/// The answer and whether it is a repeat.
pub fn decided(came: Result<Decided, RunnerError>) -> (Answer, bool) {
    let decided = came.unwrap();
    (decided.answer, decided.replayed)
}

/// Numbers of a query, which may look at everything but personal data and keys.
pub async fn number(store: &Store, query: &str) -> i64 {
    sqlx::query(query).fetch_one(&store.auditor).await.unwrap().get(0)
}

/// Returns when somebody waits for a lock in the database.
pub async fn blocked(ground: &Ground) {
    let mut superuser = PgConnection::connect(ground.database.url()).await.unwrap();
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while sqlx::query(waiting).fetch_one(&mut superuser).await.unwrap().get::<i64, _>(0) == 0 {
        tokio::task::yield_now().await;
    }
}

/// A ground whose runner reaches the database through a proxy. What is seeded goes past it.
pub struct Wired {
    pub ground: Ground,
    pub proxy: Proxy,
    pub runner: Runner,
}

impl Wired {
    pub async fn new() -> Self {
        let ground = Ground::new().await;
        let proxy = Proxy::start(&ground.database).await;
        let runner = Runner::start(open(&proxy.url).await).unwrap();
        Self { ground, proxy, runner }
    }

    /// Submits the envelopes so that they are one batch: they come in while the runner is held at the BEGIN of
    /// another one, which asks for nothing.
    pub async fn in_one_batch(&self, tenant: TenantNo, envelopes: Vec<Envelope>) -> Vec<Result<Decided, RunnerError>> {
        let nothing = Report {
            tenant,
            subject: Uuid::now_v7(),
            effect: EffectId(Uuid::now_v7()),
            finding: Finding::PaymentExecuted,
        };
        self.proxy.hold_next(Held::Begin);
        let before = self.runner.submit(plain(tenant, Command::Report(nothing)));
        let after = async {
            self.proxy.held().await;
            let mut submitted: Vec<_> = envelopes.into_iter().map(|e| Box::pin(self.runner.submit(e))).collect();
            for one in &mut submitted {
                assert!(futures_util::poll!(one).is_pending(), "not queued");
            }
            self.proxy.commits();
            self.proxy.release();
            join_all(submitted).await
        };
        let (nothing, answers) = tokio::join!(before, after);
        assert_eq!(decided(nothing), (Answer::Nothing, false));
        answers
    }
}
