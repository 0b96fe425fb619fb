//! Reconciliation: faults put into each book are found, each under its name, with its size and what it is about, and are
//! gone when they are mended; a sound system under load has none.

mod common;

use common::liar::{self, Lie};
use common::metrics::{scrape, wait_until};
use common::promtool::{self, Case};
use common::{Fixture, program};
use futures_util::future::join_all;
use serde_json::{Value, json};
use settla::local::{Amount, Facts, Receiver, ServerFacts, transfer_body};
use settla::reconcile;
use settla_evm::Rpc;
use settla_evm::devkeys::DevKey;
use settla_evm::token::TestToken;
use settla_node::reconcile::Kind;
use sqlx::{Connection, PgConnection, Row};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(60);
/// How a call of ERC-20's `balanceOf(address)` begins: the first four bytes of the Keccak-256 of that.
const BALANCE_OF: &str = "0x70a08231";

/// A break as a test expects it: kind, subject, size in minor units.
type Expected = (String, Option<String>, Option<i64>);

async fn breaks(fixture: &Fixture) -> BTreeSet<Expected> {
    breaks_by(&fixture.system.facts).await
}

async fn breaks_by(facts: &Facts) -> BTreeSet<Expected> {
    let report = reconcile::check(facts).await.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(report.unread.is_empty(), "{report:?}");
    report.breaks.into_iter().map(|b| (b.kind, b.subject, b.size_minor)).collect()
}

/// A system that has lived and was killed: nothing moves any more, and its books can be opened.
struct Ground {
    fixture: Fixture,
    database: PgConnection,
    /// Paid out.
    completed: String,
    /// Refused by the off-ramp, which sent the tokens back.
    returned: String,
    /// Another amount was delivered: people have to decide.
    live: String,
    withdrawal: String,
    tried: BTreeSet<String>,
}

/// Everything that faults are put into.
const TABLES: [&str; 10] = [
    "quotes",
    "transfers",
    "withdrawals",
    "postings",
    "positions",
    "outbox",
    "webhook_endpoints",
    "webhook_deliveries",
    "ledger_folds",
    "ledger_checkpoints",
];

fn uuid(id: &str) -> Uuid {
    id.split_once('_').unwrap().1.parse().unwrap()
}

impl Ground {
    async fn new(label: &str) -> Self {
        let mut fixture = Fixture::start(label, &["--reconcile-every-s", "1"]).await;
        let client = fixture.system.client(0).unwrap();
        let receiver = Receiver::start().await.unwrap();
        let hook = json!({ "url": receiver.url });
        let hook = client.post("/v1/webhook-endpoints", "hook", &hook).await.unwrap().success().unwrap();
        receiver.trust(hook["secret"].as_str().unwrap()).unwrap();
        let pay = async |amount, what| client.pay(amount, what).await.unwrap()["id"].as_str().unwrap().to_owned();
        let quote = client.quote("GBP", "NGN", Amount::Source("100.00")).await.unwrap().success().unwrap();
        let mut body = transfer_body(quote["id"].as_str().unwrap(), "completed");
        body["settlement"] = json!("alone");
        let completed = client.post("/v1/transfers", "completed", &body).await.unwrap().success().unwrap();
        let completed = completed["id"].as_str().unwrap().to_owned();
        let returned = pay(Amount::Destination("4000000.01"), "returned").await;
        let live = pay(Amount::Source("4000.06"), "live").await;
        let ask = json!({
            "currency": "GBP", "amount": "12.34", "reference": "WD-1",
            "account": { "name": "Acme", "type": "uk_account", "sort_code": "20-00-00", "account_number": "55779911" },
        });
        let withdrawal = client.post("/v1/treasury/withdrawals", "wd", &ask).await.unwrap().success().unwrap();
        for (id, state) in [(&completed, "COMPLETED"), (&returned, "REFUNDED"), (&live, "UNDER_REVIEW")] {
            client.wait_for(id, &[state], SOON).await.unwrap();
        }
        let paid = |r: &settla::local::Received| r.body["type"] == "withdrawal.paid";
        receiver.wait_for(paid, SOON).await.expect("the withdrawal is paid");
        let mut database = PgConnection::connect(&fixture.system.facts.database_url).await.unwrap();
        // All that was posted is in the platform's own sums, and nothing is in its way any more.
        let settled = "SELECT (SELECT sum(sequence) FROM (SELECT max(sequence) AS sequence FROM settla.postings WHERE tenant > 0 GROUP BY tenant) m)
                          = (SELECT sum(sequence) FROM settla.ledger_folds WHERE tenant > 0)
                       AND NOT EXISTS (SELECT FROM settla.webhook_deliveries WHERE status = 'pending')";
        let begun = Instant::now();
        while !sqlx::query_scalar::<_, Option<bool>>(settled).fetch_one(&mut database).await.unwrap().unwrap_or(false) {
            assert!(begun.elapsed() < SOON, "the platform does not compare its books");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        fixture.system.kill_platform().await.unwrap();
        sqlx::raw_sql("CREATE SCHEMA sound; SET session_replication_role = replica; SET search_path = settla")
            .execute(&mut database)
            .await
            .unwrap();
        for table in TABLES {
            let copy = format!("CREATE TABLE sound.{table} AS TABLE settla.{table}");
            sqlx::raw_sql(&copy).execute(&mut database).await.unwrap();
        }
        let withdrawal = withdrawal["id"].as_str().unwrap().to_owned();
        Self { fixture, database, completed, returned, live, withdrawal, tried: BTreeSet::new() }
    }

    /// Returns how many rows it changed.
    async fn run(&mut self, statement: &str) -> u64 {
        let done = sqlx::raw_sql(statement).execute(&mut self.database).await;
        done.unwrap_or_else(|e| panic!("{statement}: {e}")).rows_affected()
    }

    async fn number(&mut self, statement: &str) -> i64 {
        let row = sqlx::query(statement).fetch_one(&mut self.database).await;
        row.unwrap_or_else(|e| panic!("{statement}: {e}")).get(0)
    }

    /// The amount of a posting.
    async fn posted(&mut self, code: i32, id: &str) -> i64 {
        let subject = uuid(id);
        let amount = format!("SELECT amount FROM postings WHERE code = {code} AND subject = '{subject}'");
        self.number(&amount).await
    }

    async fn mend(&mut self) {
        for table in TABLES {
            // The database fills the generated ones in by itself.
            let columns = format!(
                "SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute
                 WHERE attrelid = 'settla.{table}'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''"
            );
            let columns: String = sqlx::query_scalar(&columns).fetch_one(&mut self.database).await.unwrap();
            let back = format!(
                "DELETE FROM {table};
                 INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM sound.{table}"
            );
            self.run(&back).await;
        }
    }

    async fn stop(self) {
        // Nobody is there to stop what the platform had started.
        settla_devkit::stop_recorded(self.fixture.system.dir()).unwrap();
        self.fixture.stop().await;
    }

    /// Puts a fault in, sees that it is found as expected and as nothing else, and that it is gone once mended.
    async fn fault(&mut self, statement: &str, expected: &[(&str, Option<&str>, Option<i64>)]) {
        self.run(statement).await;
        let owned = |(kind, subject, size): &(&str, Option<&str>, Option<i64>)| {
            ((*kind).to_owned(), subject.map(str::to_owned), *size)
        };
        let expected: BTreeSet<Expected> = expected.iter().map(owned).collect();
        assert_eq!(breaks(&self.fixture).await, expected, "{statement}");
        self.tried.extend(expected.into_iter().map(|(kind, _, _)| kind));
        self.mend().await;
        assert_eq!(breaks(&self.fixture).await, BTreeSet::new(), "mended: {statement}");
    }
}

#[tokio::test]
async fn every_fault_in_a_book_is_named_and_sized_and_gone_when_it_is_mended() {
    let mut ground = Ground::new("faults").await;
    assert_eq!(breaks(&ground.fixture).await, BTreeSet::new(), "at rest");
    within_our_books(&mut ground).await;
    our_work(&mut ground).await;
    the_bank(&mut ground).await;
    the_on_ramp(&mut ground).await;
    the_off_ramp(&mut ground).await;
    the_chain(&mut ground).await;
    what_others_only_say(&mut ground).await;
    while_it_is_posted(&mut ground).await;
    behind_our_back(&mut ground).await;
    // What the sums of the rounds would have to be for it is tried below.
    let elsewhere = ["ledger_unbalanced"];
    let all: BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    let left: Vec<&str> =
        all.into_iter().filter(|kind| !ground.tried.contains(*kind) && !elsewhere.contains(kind)).collect();
    assert_eq!(left, Vec::<&str>::new(), "kinds of break that nobody has seen");
    ground.stop().await;
}

/// A round ends and says what it has found, however much is posted while it reads.
async fn while_it_is_posted(ground: &mut Ground) {
    let mut database = PgConnection::connect(&ground.fixture.system.facts.database_url).await.unwrap();
    sqlx::raw_sql("SET session_replication_role = replica; SET search_path = settla")
        .execute(&mut database)
        .await
        .unwrap();
    let (fees, rounding) = (account(0, 106), account(0, 107));
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let posting = tokio::spawn(async move {
        let mut posted = 0;
        while stopped.try_recv() == Err(tokio::sync::oneshot::error::TryRecvError::Empty) {
            sqlx::query(
                "INSERT INTO postings (id, tenant, subject, code, debit, credit, currency, amount, at)
                 VALUES ($1, 1, $1, 18, $2::uuid, $3::uuid, 'GBP', 1, now())",
            )
            .bind(Uuid::now_v7())
            .bind(&rounding)
            .bind(&fees)
            .execute(&mut database)
            .await
            .unwrap();
            posted += 1;
        }
        posted
    });
    let found = tokio::time::timeout(SOON, breaks(&ground.fixture)).await.expect("the round ends");
    drop(stop);
    let posted = posting.await.unwrap();
    assert!(posted > found.len() && !found.is_empty(), "{posted} posted, {} found", found.len());
    assert!(found.iter().all(|(kind, _, _)| kind == "posting_without_subject"), "{found:?}");
    ground.mend().await;
    assert_eq!(breaks(&ground.fixture).await, BTreeSet::new());
}

async fn within_our_books(ground: &mut Ground) {
    let (completed, live) = (ground.completed.clone(), ground.live.clone());
    let mine = "tenant = 1 AND currency = 'GBP'";
    ground
        .fault(
            &format!("UPDATE positions SET available = available + 7 WHERE {mine}"),
            &[("position_differs", None, Some(-7))],
        )
        .await;
    ground
        .fault(
            &format!("UPDATE positions SET usage_pending = usage_pending + 9 WHERE {mine}"),
            &[("pending_differs", None, Some(-9))],
        )
        .await;
    ground
        .fault(
            &format!("UPDATE positions SET usage_day_total = usage_day_total - 11 WHERE {mine}"),
            &[("daily_volume_differs", None, Some(11))],
        )
        .await;
    // Its fee was never taken: what was held for it is still held.
    let fee = ground.posted(20, &completed).await;
    let (subject, other) = (uuid(&completed), uuid(&live));
    ground
        .fault(
            &format!(
                "DELETE FROM postings WHERE subject = '{subject}' AND code = 20;
                 UPDATE positions SET held = held + {fee} WHERE {mine}"
            ),
            &[("hold_without_transfer", Some(&completed), Some(-fee))],
        )
        .await;
    ground
        .fault(
            &format!("UPDATE postings SET code = 19 WHERE subject = '{subject}' AND code = 18"),
            &[("transfer_postings_differ", Some(&completed), Some(0))],
        )
        .await;
    // A state that its postings do not have.
    let (debit, source) = (ground.posted(10, &live).await, ground.posted(12, &live).await);
    ground
        .fault(
            &format!("UPDATE transfers SET state = 'REFUNDED' WHERE id = '{other}'"),
            &[("hold_without_transfer", Some(&live), Some(source - debit)), ("pending_differs", None, Some(-debit))],
        )
        .await;
    // Live, with nothing held for it.
    let new = Uuid::now_v7();
    let copy = format!(
        "INSERT INTO quotes SELECT tenant, '{new}', terms, created_at, expires_at, used FROM quotes WHERE id = (SELECT quote FROM transfers WHERE id = '{subject}');
         INSERT INTO transfers SELECT tenant, '{new}', '{new}', reference, beneficiary, terms, debit_currency, debit_amount,
             destination_currency, destination_amount, 'FUNDED', 1, '{{}}', created_at, updated_at, settlement FROM transfers WHERE id = '{subject}';
         UPDATE positions SET usage_pending = usage_pending + (SELECT debit_amount FROM transfers WHERE id = '{subject}') WHERE {mine}"
    );
    let debit = ground.posted(10, &completed).await;
    let id = format!("tr_{}", new.simple());
    ground.fault(&copy, &[("transfer_without_hold", Some(&id), Some(debit))]).await;
    // Held, and in nobody's name.
    let name = new.simple().to_string();
    let post = |code: i32, debit: &str, credit: &str, amount: i64| {
        format!(
            "INSERT INTO postings (id, tenant, subject, code, debit, credit, currency, amount, at)
             VALUES (overlay('{new}' PLACING '{code:04}' FROM 33)::uuid, 1, '{new}', {code}, '{debit}', '{credit}', 'GBP', {amount}, now());"
        )
    };
    let (available, held) = (account(1, 1), account(1, 2));
    ground
        .fault(
            &format!(
                "{} UPDATE positions SET available = available - 5, held = held + 5, usage_day_total = usage_day_total + 5 WHERE {mine}",
                post(10, &available, &held, 5)
            ),
            &[("hold_without_transfer", Some(&name), Some(-5))],
        )
        .await;
    ground
        .fault(&post(18, &account(0, 107), &account(0, 106), 6), &[("posting_without_subject", Some(&name), Some(-6))])
        .await;
}

/// A ledger account's id.
fn account(tenant: u32, kind: u16) -> String {
    Uuid::from_u128((u128::from(tenant) << 96) | (u128::from(kind) << 80)).to_string()
}

async fn our_work(ground: &mut Ground) {
    let (completed, live) = (ground.completed.clone(), ground.live.clone());
    let id = Uuid::now_v7();
    let effect = |subject: &str, age: &str, aside: &str| {
        format!(
            "INSERT INTO outbox (id, tenant, subject, kind, payload, status, next_at, created_at, set_aside)
             VALUES ('{id}', 1, '{}', 'off_ramp', '{{}}', 'accepted', 'infinity', now() - interval '{age}', {aside})",
            uuid(subject)
        )
    };
    ground.fault(&effect(&live, "76 minutes", "NULL"), &[("effect_overdue", Some(&live), None)]).await;
    ground.fault(&effect(&live, "1 minute", "'unreadable'"), &[("effect_set_aside", Some(&live), None)]).await;
    ground.fault(&effect(&completed, "1 minute", "NULL"), &[("effect_of_ended", Some(&completed), None)]).await;
    let endpoint = ground.number("SELECT count(*) FROM webhook_endpoints").await;
    assert_eq!(endpoint, 1);
    let row = sqlx::query("SELECT id FROM webhook_endpoints").fetch_one(&mut ground.database).await.unwrap();
    let endpoint = format!("whe_{}", row.get::<Uuid, _>(0).simple());
    let late =
        "UPDATE webhook_deliveries SET status = 'pending', lease_until = NULL, next_at = now() - interval '16 minutes'
                WHERE id = (SELECT id FROM webhook_deliveries LIMIT 1)";
    ground.fault(late, &[("webhook_overdue", Some(&endpoint), None)]).await;
    let disabled = "UPDATE webhook_endpoints SET status = 'disabled'";
    ground.fault(disabled, &[("webhook_endpoint_disabled", Some(&endpoint), None)]).await;
}

/// Money that we say came in, and the bank does not; the other way round; and another amount of it.
async fn the_bank(ground: &mut Ground) {
    let mine = "tenant = 1 AND currency = 'GBP'";
    let new = Uuid::now_v7();
    let (bank, available) = (account(0, 101), account(1, 1));
    ground
        .fault(
            &format!(
                "INSERT INTO postings (id, tenant, subject, code, debit, credit, currency, amount, at)
                 VALUES (overlay('{new}' PLACING '0001' FROM 33)::uuid, 1, '{new}', 1, '{bank}', '{available}', 'GBP', 13, now());
                 UPDATE positions SET available = available + 13 WHERE {mine}"
            ),
            &[("bank_credit_missing", None, Some(-13))],
        )
        .await;
    let topup = "id = (SELECT id FROM postings WHERE code = 1 AND tenant = 2 AND currency = 'USD')";
    let amount = ground.number(&format!("SELECT amount FROM postings WHERE {topup}")).await;
    let theirs = "tenant = 2 AND currency = 'USD'";
    let line = line_of_topup(ground, 2, "USD").await;
    ground
        .fault(
            &format!("UPDATE positions SET available = available - {amount} WHERE {theirs}; DELETE FROM postings WHERE {topup}"),
            &[("bank_credit_unknown", Some(&line), Some(amount))],
        )
        .await;
    ground
        .fault(
            &format!("UPDATE positions SET available = available + 1 WHERE {theirs}; UPDATE postings SET amount = amount + 1 WHERE {topup}"),
            &[("bank_credit_differs", Some(&line), Some(-1))],
        )
        .await;

    let withdrawal = ground.withdrawal.clone();
    let (subject, held) = (uuid(&withdrawal), account(1, 2));
    let paid = format!("subject = '{subject}' AND code = 32");
    ground
        .fault(
            &format!(
                "UPDATE positions SET held = held + 1234 WHERE {mine}; DELETE FROM postings WHERE {paid};
                      UPDATE withdrawals SET state = 'PENDING' WHERE id = '{subject}'"
            ),
            &[("bank_payment_unknown", Some(&withdrawal), Some(1_234))],
        )
        .await;
    ground
        .fault(
            &format!(
                "UPDATE withdrawals SET amount = amount - 4 WHERE id = '{subject}';
                 UPDATE postings SET amount = amount - 4 WHERE subject = '{subject}';
                 UPDATE positions SET available = available + 4 WHERE {mine}"
            ),
            &[("bank_payment_differs", Some(&withdrawal), Some(4))],
        )
        .await;
    let another = format!("wd_{}", new.simple());
    ground
        .fault(
            &format!(
                "INSERT INTO withdrawals SELECT tenant, '{new}', 'WD-2', currency, 3, account_masked, 'PAID', NULL, created_at, updated_at FROM withdrawals WHERE id = '{subject}';
                 INSERT INTO postings (id, tenant, subject, code, debit, credit, currency, amount, at) VALUES
                     (overlay('{new}' PLACING '0030' FROM 33)::uuid, 1, '{new}', 30, '{available}', '{held}', 'GBP', 3, now()),
                     (overlay('{new}' PLACING '0032' FROM 33)::uuid, 1, '{new}', 32, '{held}', '{bank}', 'GBP', 3, now());
                 UPDATE positions SET available = available - 3 WHERE {mine}"
            ),
            &[("bank_payment_missing", Some(&another), Some(-3))],
        )
        .await;
}

/// The line of the bank's statement in which a tenant's money came, as it is shown.
async fn line_of_topup(ground: &mut Ground, tenant: i32, currency: &str) -> String {
    let reference = sqlx::query("SELECT reference FROM topups WHERE tenant = $1 AND currency = $2");
    let row = reference.bind(tenant).bind(currency).fetch_one(&mut ground.database).await.unwrap();
    let reference: String = row.get(0);
    let bank = &ground.fixture.system.facts.bank;
    let path = format!("/v1/accounts/{}/statement?limit=1000", bank.account);
    let statement = ask(bank, "GET", &path, &Value::Null).await;
    let line = statement["entries"].as_array().unwrap().iter().find(|e| e["reference"] == reference.as_str());
    format!("line_{}", line.expect("a line")["seq"])
}

/// Speaks to a provider, as anybody with its key.
async fn ask(server: &ServerFacts, method: &str, path: &str, body: &Value) -> Value {
    let http = reqwest::Client::new();
    let request = http.request(method.parse().unwrap(), format!("{}{path}", server.url)).bearer_auth(&server.key);
    let request = request.header("idempotency-key", Uuid::now_v7().to_string());
    let response = if body.is_null() { request } else { request.json(body) }.send().await.unwrap();
    assert!(response.status().is_success(), "{path}: {}", response.text().await.unwrap());
    response.json().await.unwrap()
}

/// A fault in one posting, on an account that no position depends on.
async fn the_on_ramp(ground: &mut Ground) {
    let completed = ground.completed.clone();
    let subject = uuid(&completed);
    let (fiat, tokens) = (ground.posted(13, &completed).await, ground.posted(14, &completed).await);
    let transit = |currency: &str, minor: i64| {
        format!("UPDATE positions SET in_transit = in_transit + {minor} WHERE tenant = 1 AND currency = '{currency}';")
    };
    let without = format!("DELETE FROM postings WHERE subject = '{subject}' AND code");
    // Our books do not know that it has drawn the money.
    ground
        .fault(
            &format!("{} {without} = 13", transit("GBP", fiat)),
            &[
                ("hold_without_transfer", Some(&completed), Some(-fiat)),
                ("bank_debit_unknown", Some(&completed), Some(fiat)),
                ("on_ramp_order_differs", Some(&completed), Some(fiat)),
            ],
        )
        .await;
    ground
        .fault(
            &format!(
                "{} UPDATE postings SET amount = amount - 2 WHERE subject = '{subject}' AND code = 13",
                transit("GBP", 2)
            ),
            &[
                ("hold_without_transfer", Some(&completed), Some(-2)),
                ("bank_debit_differs", Some(&completed), Some(2)),
                ("on_ramp_order_differs", Some(&completed), Some(2)),
            ],
        )
        .await;
    // An order of ours that nobody else has heard of: its money went out and its tokens came in by our books alone.
    let new = Uuid::now_v7();
    let name = format!("tr_{}", new.simple());
    let key = new.simple().to_string();
    let (bank, in_transit, wallet) = (account(0, 101), account(1, 3), account(0, 102));
    ground
        .fault(
            &format!(
                "INSERT INTO postings (id, tenant, subject, code, debit, credit, currency, amount, at) VALUES
                     (overlay('{new}' PLACING '0014' FROM 33)::uuid, 1, '{new}', 14, '{wallet}', '{in_transit}', 'GBP', 8, now()),
                     (overlay('{new}' PLACING '0013' FROM 33)::uuid, 1, '{new}', 13, '{in_transit}', '{bank}', 'GBP', 8, now())"
            ),
            &[
                ("posting_without_subject", Some(&key), Some(-8)),
                ("bank_debit_missing", Some(&name), Some(-8)),
                ("on_ramp_order_missing", Some(&name), Some(-16)),
                ("chain_arrival_missing", Some(&name), Some(-8)),
            ],
        )
        .await;
    let _ = tokens;
}

async fn the_off_ramp(ground: &mut Ground) {
    let (completed, returned) = (ground.completed.clone(), ground.returned.clone());
    let (subject, back) = (uuid(&completed), uuid(&returned));
    let paid = ground.posted(17, &completed).await;
    ground
        .fault(
            &format!("DELETE FROM postings WHERE subject = '{subject}' AND code = 17"),
            &[
                ("transfer_postings_differ", Some(&completed), Some(paid)),
                ("off_ramp_payout_unknown", Some(&completed), Some(paid)),
            ],
        )
        .await;
    ground
        .fault(
            &format!("UPDATE postings SET amount = amount + 3 WHERE subject = '{subject}' AND code = 17"),
            &[
                ("transfer_postings_differ", Some(&completed), Some(-3)),
                ("off_ramp_payout_differs", Some(&completed), Some(-3)),
            ],
        )
        .await;
    let returned_tokens = ground.posted(21, &returned).await;
    ground
        .fault(
            &format!("DELETE FROM postings WHERE subject = '{back}' AND code = 21"),
            &[
                ("transfer_postings_differ", Some(&returned), Some(returned_tokens)),
                ("off_ramp_return_unknown", Some(&returned), Some(returned_tokens)),
                ("chain_arrival_unknown", None, Some(returned_tokens)),
            ],
        )
        .await;
    ground
        .fault(
            &format!("UPDATE postings SET amount = amount - 1 WHERE subject = '{back}' AND code = 21"),
            &[
                ("transfer_postings_differ", Some(&returned), Some(1)),
                ("off_ramp_return_differs", Some(&returned), Some(1)),
                ("chain_arrival_differs", Some(&returned), Some(1)),
            ],
        )
        .await;
    // A payout and a return of a payment that there is not.
    let new = Uuid::now_v7();
    let (name, key) = (format!("tr_{}", new.simple()), new.simple().to_string());
    let (off_ramp, conversion, wallet) = (account(0, 103), account(0, 104), account(0, 102));
    let post = |code: i32, debit: &str, credit: &str, currency: &str| {
        format!(
            "INSERT INTO postings (id, tenant, subject, code, debit, credit, currency, amount, at)
             VALUES (overlay('{new}' PLACING '{code:04}' FROM 33)::uuid, 1, '{new}', {code}, '{debit}', '{credit}', '{currency}', 4, now())"
        )
    };
    ground
        .fault(
            &post(17, &conversion, &off_ramp, "NGN"),
            &[("posting_without_subject", Some(&key), Some(-4)), ("off_ramp_payout_missing", Some(&name), Some(-4))],
        )
        .await;
    ground
        .fault(
            &post(21, &wallet, &off_ramp, "USDC"),
            &[
                ("posting_without_subject", Some(&key), Some(-4)),
                ("off_ramp_return_missing", Some(&name), Some(-4)),
                ("chain_arrival_missing", Some(&name), Some(-4)),
            ],
        )
        .await;
}

async fn the_chain(ground: &mut Ground) {
    let completed = ground.completed.clone();
    let subject = uuid(&completed);
    let sent = ground.posted(15, &completed).await;
    let batch = sqlx::query("SELECT progress ->> 'settlement_batch' FROM transfers WHERE id = $1").bind(subject);
    let batch: String = batch.fetch_one(&mut ground.database).await.unwrap().get(0);
    ground
        .fault(
            &format!("DELETE FROM postings WHERE subject = '{subject}' AND code = 15"),
            &[
                ("transfer_postings_differ", Some(&completed), Some(sent)),
                ("chain_settlement_unknown", Some(&batch), Some(sent)),
                ("off_ramp_deposit_unknown", None, Some(sent)),
            ],
        )
        .await;
    ground
        .fault(
            &format!("UPDATE postings SET amount = amount + 5 WHERE subject = '{subject}' AND code = 15"),
            &[
                ("transfer_postings_differ", Some(&completed), Some(-5)),
                ("chain_settlement_differs", Some(&completed), Some(-5)),
                ("off_ramp_deposit_differs", Some(&completed), Some(-5)),
            ],
        )
        .await;
    let new = Uuid::now_v7();
    let (name, key) = (format!("tr_{}", new.simple()), new.simple().to_string());
    let (off_ramp, wallet) = (account(0, 103), account(0, 102));
    ground
        .fault(
            &format!(
                "INSERT INTO postings (id, tenant, subject, code, debit, credit, currency, amount, at)
                 VALUES (overlay('{new}' PLACING '0015' FROM 33)::uuid, 1, '{new}', 15, '{off_ramp}', '{wallet}', 'USDC', 4, now())"
            ),
            &[
                ("posting_without_subject", Some(&key), Some(-4)),
                ("chain_settlement_missing", Some(&name), Some(-4)),
                ("off_ramp_deposit_missing", Some(&name), Some(-4)),
            ],
        )
        .await;
}

/// A line that nobody can read at the end of each statement, and balances that do not follow from the lines.
async fn what_others_only_say(ground: &mut Ground) {
    let true_facts = ground.fixture.system.facts.clone();
    let next_of = async |server: &ServerFacts, path: &str| {
        let statement = ask(server, "GET", &format!("{path}?limit=1000"), &Value::Null).await;
        statement["entries"].as_array().unwrap().last().expect("a line")["seq"].as_u64().unwrap() + 1
    };
    let garbled = |next: u64| -> Arc<Lie> {
        Arc::new(move |path, _, answer| {
            let ends_before = |entries: &Vec<Value>| entries.last().is_some_and(|last| last["seq"] == json!(next - 1));
            if path.contains("/statement")
                && let Some(entries) = answer["entries"].as_array_mut()
                && ends_before(entries)
            {
                entries.push(json!({ "seq": next, "amount": "some" }));
            }
        })
    };
    let mut said = Vec::new();

    let mut facts = true_facts.clone();
    let next = next_of(&facts.bank, &format!("/v1/accounts/{}/statement", facts.bank.account)).await;
    facts.bank.url = liar::before(&facts.bank.url, garbled(next)).await;
    said.push((facts, "bank_line_unreadable", Some(format!("line_{next}")), None));

    let mut facts = true_facts.clone();
    let next = next_of(&facts.on_ramps[0], "/v1/statement").await;
    facts.on_ramps[0].url = liar::before(&facts.on_ramps[0].url, garbled(next)).await;
    said.push((facts, "on_ramp_line_unreadable", Some(format!("line_{next}")), None));

    let mut facts = true_facts.clone();
    let next = next_of(&facts.off_ramps[0], "/v1/statement").await;
    facts.off_ramps[0].url = liar::before(&facts.off_ramps[0].url, garbled(next)).await;
    said.push((facts, "off_ramp_line_unreadable", Some(format!("line_{next}")), None));

    let mut facts = true_facts.clone();
    let richer: Arc<Lie> = Arc::new(|_, _, answer| {
        let Some(balance) = answer.pointer_mut("/balances/0/amount") else { return };
        let minor: i128 = balance.as_str().expect("text").parse().expect("a number");
        *balance = json!((minor + 5).to_string());
    });
    facts.bank.url = liar::before(&facts.bank.url, richer).await;
    said.push((facts, "bank_balance_differs", None, Some(5)));

    let mut facts = true_facts.clone();
    let poorer: Arc<Lie> = Arc::new(|_, asked, answer| {
        let data = asked["params"][0]["data"].as_str().or(asked["params"][0]["input"].as_str());
        if asked["method"] == "eth_call" && data.is_some_and(|data| data.starts_with(BALANCE_OF)) {
            let balance = answer["result"].as_str().and_then(|word| u128::from_str_radix(&word[34..], 16).ok());
            answer["result"] = json!(format!("0x{:064x}", balance.expect("a balance") - 7));
        }
    });
    facts.rpc_url = liar::before(&facts.rpc_url, poorer).await;
    said.push((facts, "chain_balance_differs", None, Some(-7)));

    for (facts, kind, subject, size) in said {
        assert_eq!(breaks_by(&facts).await, BTreeSet::from([(kind.to_owned(), subject, size)]));
        ground.tried.insert(kind.to_owned());
    }
    assert_eq!(breaks(&ground.fixture).await, BTreeSet::new(), "what they really say");
}

/// What others do without us.
async fn behind_our_back(ground: &mut Ground) {
    let facts = ground.fixture.system.facts.clone();
    let mut known = BTreeSet::new();
    let mut news = async |ground: &mut Ground, expected: &[(&str, Option<String>, Option<i64>)], what: &str| {
        let begun = Instant::now();
        let expected: BTreeSet<Expected> = expected.iter().map(|(k, s, n)| ((*k).to_owned(), s.clone(), *n)).collect();
        loop {
            let found: BTreeSet<Expected> = breaks(&ground.fixture).await.difference(&known).cloned().collect();
            if found == expected {
                break known.extend(found);
            }
            // Blocks and providers take their time; nothing tells when they are done.
            assert!(begun.elapsed() < SOON, "{what}: {found:?} where {expected:?} is expected");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        ground.tried.extend(expected.into_iter().map(|(kind, _, _)| kind));
    };
    let bank = &facts.bank;
    let paid = json!({
        "account": bank.account, "currency": "GBP", "amount": "321", "reference": "rent",
        "beneficiary": { "name": "Landlord", "account": "GB82WEST12345698765432" },
    });
    ask(bank, "POST", "/v1/payments", &paid).await;
    let mut next = lines(ground).await + 1;
    news(ground, &[("bank_payment_unknown", Some(format!("line_{next}")), Some(321))], "a payment").await;
    let incoming = json!({
        "account": bank.account, "currency": "EUR", "amount": "77", "reference": "gift", "payer_name": "Somebody",
    });
    ask(bank, "POST", "/_control/incoming", &incoming).await;
    next += 1;
    news(ground, &[("bank_credit_unknown", Some(format!("line_{next}")), Some(77))], "a gift").await;

    // An order in our name: money goes out, tokens come in.
    let rate: f64 = {
        let row = "SELECT (terms -> 'rate_on' ->> 'rate') FROM transfers ORDER BY id LIMIT 1";
        let text: String = sqlx::query(row).fetch_one(&mut ground.database).await.unwrap().get(0);
        text.parse().unwrap()
    };
    let tokens = (50.0 * rate * 1e6).round() as i64;
    let order = Uuid::now_v7();
    let body = json!({
        "client_order_id": order, "wallet_address": facts.wallet, "bank_account": bank.account,
        "source": { "currency": "GBP", "amount": "5000" },
        "destination": { "currency": "USDC", "amount": tokens.to_string() },
    });
    ask(&facts.on_ramp, "POST", "/v1/orders", &body).await;
    next += 1;
    news(
        ground,
        &[
            ("bank_debit_unknown", Some(format!("line_{next}")), Some(5_000)),
            ("on_ramp_order_unknown", None, Some(5_000)),
            ("chain_arrival_unknown", None, Some(tokens)),
        ],
        "an order",
    )
    .await;

    // Tokens from nowhere, and tokens to nowhere: somebody has our key.
    let rpc = Rpc::connect(&facts.rpc_url, facts.chain_id).await.unwrap();
    let token = TestToken::at(facts.token);
    token.mint(&rpc, &DevKey::account_0(), facts.wallet, 4_711).await.unwrap();
    news(ground, &[("chain_arrival_unknown", None, Some(4_711))], "tokens from nowhere").await;
    let data = settla_evm::transfer_calldata(DevKey::account_0().address(), 815, None);
    let http = reqwest::Client::new();
    for (method, params) in [
        ("anvil_impersonateAccount", json!([facts.wallet])),
        (
            "eth_sendTransaction",
            json!([{ "from": facts.wallet, "to": facts.token, "data": format!("0x{}", hex::encode(data)) }]),
        ),
    ] {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer: Value = http.post(&facts.rpc_url).json(&call).send().await.unwrap().json().await.unwrap();
        assert!(answer["error"].is_null(), "{answer}");
    }
    news(ground, &[("chain_settlement_unknown", None, Some(815))], "tokens to nowhere").await;
}

/// How many lines the bank's statement has.
async fn lines(ground: &Ground) -> u64 {
    let bank = &ground.fixture.system.facts.bank;
    let path = format!("/v1/accounts/{}/statement?limit=1000", bank.account);
    let begun = Instant::now();
    loop {
        let statement = ask(bank, "GET", &path, &Value::Null).await;
        let entries = statement["entries"].as_array().unwrap();
        if let Some(rent) = entries.iter().find(|entry| entry["reference"] == "rent") {
            return rent["seq"].as_u64().unwrap() - 1;
        }
        assert!(begun.elapsed() < SOON, "the bank does not pay");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What `settla ledger check` finds, by kind, and whether it says so to the shell.
async fn ledger_faults(fixture: &Fixture) -> BTreeSet<String> {
    let mut command = tokio::process::Command::new(program());
    let output = command.args(["ledger", "check", "--json", "--dir"]).arg(fixture.system.dir()).output().await.unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    });
    assert!(report["postings"].as_u64().unwrap() > 10, "{report}");
    let counts = report["counts"].as_object().unwrap();
    assert_eq!(output.status.success(), counts.is_empty(), "{report}");
    let named: BTreeSet<&str> =
        report["faults"].as_array().unwrap().iter().map(|fault| fault["kind"].as_str().unwrap()).collect();
    assert_eq!(named, counts.keys().map(String::as_str).collect());
    counts.keys().cloned().collect()
}

#[tokio::test]
async fn the_ledger_check_replays_everything_and_names_each_kind_of_error() {
    let mut ground = Ground::new("ledger").await;
    assert_eq!(ledger_faults(&ground.fixture).await, BTreeSet::new());
    // The table refuses some of it; the check does not rest on that.
    ground.run("ALTER TABLE postings DROP CONSTRAINT one_tenant").await;
    ground.run("ALTER TABLE postings DROP CONSTRAINT postings_check").await;
    ground.run("ALTER TABLE postings DROP CONSTRAINT postings_id_of_subject").await;
    let (subject, new) = (uuid(&ground.completed), Uuid::now_v7());
    let (available, held, theirs) = (account(1, 1), account(1, 2), account(2, 1));
    let of = |code: i32| format!("subject = '{subject}' AND code = {code}");
    let post = |tenant: u32, code: i32, debit: &str, credit: &str| {
        format!(
            "INSERT INTO postings (id, tenant, subject, code, debit, credit, currency, amount, at)
             VALUES ('{new}', {tenant}, '{new}', {code}, '{debit}', '{credit}', 'JPY', 1, now())"
        )
    };
    let (fees, rounding) = (account(0, 105), account(0, 107));
    let cases: Vec<(String, &[&str])> = vec![
        (format!("UPDATE postings SET code = 99 WHERE {}", of(18)), &["unknown_code", "postings_do_not_fit"]),
        (
            format!("UPDATE postings SET credit = '{}' WHERE {}", account(0, 999), of(18)),
            &["unknown_account", "postings_do_not_fit", "fold_differs"],
        ),
        (
            format!("UPDATE postings SET credit = '{theirs}' WHERE {}", of(10)),
            // The hold of one went to the other: there is less held than was taken from it.
            &["wrong_tenant", "wrong_accounts", "postings_do_not_fit", "position_differs", "negative_balance", "fold_differs"],
        ),
        (post(999, 18, &fees, &rounding), &["unknown_tenant", "wrong_accounts", "wrong_id", "unknown_subject"]),
        (
            format!("UPDATE postings SET credit = debit WHERE {}", of(18)),
            &["empty", "wrong_accounts", "postings_do_not_fit", "fold_differs", "position_differs"],
        ),
        (format!("UPDATE postings SET code = 19 WHERE {}", of(18)), &["wrong_accounts", "wrong_id", "postings_do_not_fit"]),
        (
            format!("UPDATE postings SET id = gen_random_uuid() WHERE {}", of(20)),
            &["wrong_id", "postings_do_not_fit"],
        ),
        (
            format!("UPDATE postings SET at = at - interval '2 minutes' WHERE {}", of(20)),
            &["time_regress"],
        ),
        (
            "UPDATE positions SET available = available + 1 WHERE tenant = 1 AND currency = 'GBP'".to_owned(),
            &["position_differs"],
        ),
        (
            format!("DELETE FROM postings WHERE {}", of(17)),
            &["postings_do_not_fit", "fold_differs"],
        ),
        (
            "UPDATE ledger_folds SET sums = '{}' WHERE tenant = 1".to_owned(),
            &["fold_differs"],
        ),
        (
            "INSERT INTO ledger_checkpoints SELECT tenant, sequence, max_at, '{\"x\": 1}' FROM ledger_folds WHERE tenant = 1".to_owned(),
            &["checkpoint_differs"],
        ),
        (
            post(1, 10, &available, &held),
            &["wrong_id", "unknown_subject", "negative_balance", "position_differs"],
        ),
    ];
    for (statement, expected) in cases {
        assert!(ground.run(&statement).await > 0, "nothing to spoil: {statement}");
        let expected: BTreeSet<String> = expected.iter().map(|kind| (*kind).to_owned()).collect();
        assert_eq!(ledger_faults(&ground.fixture).await, expected, "{statement}");
        ground.mend().await;
    }
    assert_eq!(ledger_faults(&ground.fixture).await, BTreeSet::new());
    ground.stop().await;
}

/// What `settla reconcile` says with these words, as JSON, and whether it is content.
async fn settla_reconcile(fixture: &Fixture, words: &[&str]) -> (Value, bool) {
    let mut command = tokio::process::Command::new(program());
    command.arg("reconcile").args(words).args(["--json", "--dir"]).arg(fixture.system.dir());
    let output = command.output().await.unwrap();
    let said = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (said, output.status.success())
}

fn open_breaks(kind: &str, book: &str) -> String {
    format!(r#"settla_reconciliation_breaks_open{{kind="{kind}",book="{book}"}}"#)
}

#[tokio::test]
async fn a_difference_becomes_one_break_raises_an_alert_and_ends_by_itself() {
    let fixture = Fixture::start("breaks", &["--reconcile-every-s", "1", "--reconcile-grace-s", "3"]).await;
    let system = &fixture.system;
    let client = system.client(0).unwrap();
    let paid = client.pay(Amount::Source("40.00"), "first").await.unwrap();
    client.wait_for(paid["id"].as_str().unwrap(), &["COMPLETED"], SOON).await.unwrap();
    let mut database = PgConnection::connect(&system.facts.database_url).await.unwrap();
    let mut run = async |statement: &str| sqlx::raw_sql(statement).execute(&mut database).await.unwrap();

    // Within our own books it counts at once.
    let (position, pending) = (open_breaks("position_differs", "ledger"), open_breaks("pending_differs", "ledger"));
    run("UPDATE settla.positions SET available = available + 3 WHERE tenant = 1 AND currency = 'GBP'").await;
    let broken = wait_until(system, &position, |open| open == 1.0).await;
    assert_eq!(broken.get(&pending), Some(0.0));
    // The gas money comes when the workers run already.
    let broken = if broken.get("settla_gas_transactions_left") > Some(200.0) {
        broken
    } else {
        wait_until(system, "settla_gas_transactions_left", |left| left > 200.0).await
    };
    promtool::check(&[Case::held("a position differs", &broken, &["SettlaBooksDiffer"])]);
    let age = r#"settla_reconciliation_break_oldest_seconds{kind="position_differs",book="ledger"}"#;
    wait_until(system, age, |seconds| seconds > 2.5).await;
    let (open, _) = settla_reconcile(&fixture, &["list"]).await;
    assert_eq!(open.as_array().unwrap().len(), 1, "several rounds, one break: {open}");
    assert_eq!((&open[0]["kind"], &open[0]["size_minor"]), (&json!("position_differs"), &json!(-3)));
    let (report, content) = settla_reconcile(&fixture, &[]).await;
    assert!(!content && report["breaks"][0]["first_seen"] == open[0]["first_seen"], "{report}");
    run("UPDATE settla.positions SET available = available - 3 WHERE tenant = 1 AND currency = 'GBP'").await;
    let mended = wait_until(system, &position, |open| open == 0.0).await;
    promtool::check(&[Case::held("mended", &mended, &[])]);
    let (resolved, _) = settla_reconcile(&fixture, &["list", "--resolved"]).await;
    assert_eq!((resolved.as_array().unwrap().len(), &resolved[0]["kind"]), (1, &json!("position_differs")));

    // Sums that somebody has changed do not balance.
    let fold = "UPDATE settla.ledger_folds SET sums = jsonb_set(sums, ARRAY[key], to_jsonb((sums ->> key)::bigint + 1))
                FROM (SELECT jsonb_object_keys(sums) AS key FROM settla.ledger_folds WHERE tenant = 2 ORDER BY 1 LIMIT 1) k WHERE tenant = 2";
    run(fold).await;
    wait_until(system, &open_breaks("ledger_unbalanced", "ledger"), |open| open == 1.0).await;
    run(&fold.replace("+ 1", "- 1")).await;
    wait_until(system, &open_breaks("ledger_unbalanced", "ledger"), |open| open == 0.0).await;

    // Money at the bank that cannot be credited for longer than the grace: a break, until it can.
    let ask_for = json!({ "currency": "GBP", "amount": "5.00" });
    let topup = client.post("/v1/treasury/topups", "topup", &ask_for).await.unwrap().success().unwrap();
    let mut other = PgConnection::connect(&system.facts.database_url).await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT FROM settla.tenant_locks FOR UPDATE").execute(&mut other).await.unwrap();
    let bank = &system.facts.bank;
    let incoming = json!({
        "account": bank.account, "currency": "GBP", "amount": "500", "payer_name": "Acme", "reference": topup["reference"],
    });
    ask(bank, "POST", "/_control/incoming", &incoming).await;
    let credit = open_breaks("bank_credit_unknown", "bank");
    let begun = Instant::now();
    wait_until(system, &credit, |open| open == 1.0).await;
    assert!(begun.elapsed() > Duration::from_secs(2), "it might have been on its way");
    let (open, _) = settla_reconcile(&fixture, &["list"]).await;
    assert_eq!((&open[0]["kind"], &open[0]["size_minor"]), (&json!("bank_credit_unknown"), &json!(500)), "{open}");
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    wait_until(system, &credit, |open| open == 0.0).await;
    let (resolved, _) = settla_reconcile(&fixture, &["list", "--resolved"]).await;
    // The bank's balance is compared with the sums that were changed: it may have differed as well while they were.
    let kinds: Vec<_> = resolved.as_array().unwrap().iter().map(|found| found["kind"].as_str().unwrap()).collect();
    let caused = kinds.iter().filter(|kind| **kind == "bank_balance_differs").count();
    assert!(kinds.len() - caused == 3 && caused <= 1, "{resolved}");
    fixture.books_agree().await;
    fixture.stop().await;
}

#[tokio::test]
async fn a_sound_system_under_load_has_no_break() {
    const TRANSFERS: usize = 120;
    let fixture = Fixture::start("load", &["--reconcile-every-s", "1"]).await;
    let client = fixture.system.client(0).unwrap();
    let mut database = PgConnection::connect(&fixture.system.facts.database_url).await.unwrap();
    let pay = async |n: usize| {
        // Some of each way: paid, refused by either side, never answered.
        let amount = match n % 20 {
            0 => "4000.01".to_owned(),
            1 => "4000.03".to_owned(),
            _ => format!("{}.{:02}", 20 + n, n % 100),
        };
        let transfer = if n % 20 == 2 {
            client.pay(Amount::Destination("4000000.01"), "load").await
        } else {
            client.pay(Amount::Source(&amount), "load").await
        };
        let id = transfer.unwrap()["id"].as_str().unwrap().to_owned();
        client.wait_for(&id, &["COMPLETED", "REFUNDED"], Duration::from_secs(120)).await.unwrap();
    };
    let on_demand = async || {
        let mut seen = Vec::new();
        for _ in 0..3 {
            let (report, content) = settla_reconcile(&fixture, &[]).await;
            assert!(content, "{report}");
            seen.push(report["postings"].as_u64().unwrap());
        }
        seen
    };
    let mut watched = 0;
    let watch = async {
        // Until the end, which the others make.
        for _ in 0..400 {
            let waiting = "SELECT count(*) FROM settla.reconciliation_items";
            watched += sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut database).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let (_, seen, ()) = tokio::join!(join_all((0..TRANSFERS).map(pay)), on_demand(), watch);
    assert!(seen[0] > 0 && watched > 0, "nothing was on its way when books were compared: {seen:?} {watched}");
    let compared = r#"settla_reconciliation_compared_timestamp_seconds{book="chain"}"#;
    let now_s = scrape(&fixture.system).await.at_s;
    let last = wait_until(&fixture.system, compared, |at| at > now_s).await;
    for kind in Kind::ALL {
        assert_eq!(last.get(&open_breaks(kind.name(), kind.book().name())), Some(0.0), "{}", kind.name());
    }
    let ever = "SELECT count(*) FROM settla.reconciliation_breaks WHERE opened_at IS NOT NULL";
    assert_eq!(sqlx::query_scalar::<_, i64>(ever).fetch_one(&mut database).await.unwrap(), 0);
    fixture.books_agree().await;
    fixture.stop().await;
}
