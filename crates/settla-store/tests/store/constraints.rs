//! What the database refuses by itself, whatever the code above it believes.

use crate::apply::{apply, apply_with, transfer};
use crate::life::live;
use crate::support::{check::assert_books, create, funding, open, quote, tenant, withdrawal};
use settla_devkit::TestDatabase;
use settla_domain::account::{AccountId, AccountKind};
use settla_domain::decide::{Answer, Command};
use settla_domain::id::derived;
use settla_domain::tenant::TenantNo;
use settla_store::batch::Outcome;
use settla_store::{Store, StoreError, inbox, outbox};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

/// As the runner, in a transaction of these tenants.
async fn as_runner(store: &Store, tenants: &[TenantNo], statement: &str) -> Result<u64, StoreError> {
    let tenants: Vec<String> = tenants.iter().map(|tenant| tenant.0.to_string()).collect();
    let begin = format!("BEGIN; SELECT set_config('settla.tenants', '{{{}}}', true)", tenants.join(","));
    let mut tx = store.runner.begin_with(begin).await?;
    let done = sqlx::query(statement).execute(&mut *tx).await?;
    tx.rollback().await?;
    Ok(done.rows_affected())
}

fn constraint<T: std::fmt::Debug>(came: Result<T, StoreError>) -> String {
    match came {
        Err(StoreError::Constraint(name)) => name,
        other => panic!("no constraint refused it: {other:?}"),
    }
}

fn posting(tenant: TenantNo, debit: AccountId, credit: AccountId, amount: i64) -> String {
    let subject = Uuid::now_v7();
    named(derived(subject, 7), subject, tenant, (debit, credit), amount)
}

fn named(id: Uuid, subject: Uuid, tenant: TenantNo, (debit, credit): (AccountId, AccountId), amount: i64) -> String {
    format!(
        "INSERT INTO postings (id, tenant, subject, code, debit, credit, currency, amount, at)
         VALUES ('{id}', {}, '{subject}', 1, '{}', '{}', 'GBP', {amount}, now())",
        tenant.0,
        debit.to_uuid(),
        credit.to_uuid()
    )
}

#[tokio::test]
async fn postings_of_two_tenants_of_nothing_or_within_one_account_are_refused() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let (one, two) = (tenant(&store, "one").await, tenant(&store, "two").await);
    let both = [one, two];
    let available = |tenant| AccountId::tenant(tenant, AccountKind::Available);
    let held = AccountId::tenant(one, AccountKind::Held);
    let bank = AccountId::platform(AccountKind::Bank);
    let largest = 1_000_000_000_000_000;

    assert_eq!(as_runner(&store, &both, &posting(one, bank, available(one), largest)).await.unwrap(), 1);
    for (posting, refused_by) in [
        (posting(one, available(one), available(two), 1), "one_tenant"),
        (posting(one, available(two), available(one), 1), "one_tenant"),
        (posting(one, bank, available(two), 1), "one_tenant"),
        (posting(TenantNo::PLATFORM, bank, available(one), 1), "one_tenant"),
        (posting(one, available(one), held, 0), "postings_amount_check"),
        (posting(one, available(one), held, -1), "postings_amount_check"),
        (posting(one, available(one), held, largest + 1), "postings_amount_check"),
        (posting(one, held, held, 1), "postings_check"),
        (named(Uuid::now_v7(), Uuid::now_v7(), one, (available(one), held), 1), "postings_id_of_subject"),
    ] {
        let tenants = [one, two, TenantNo::PLATFORM];
        assert_eq!(constraint(as_runner(&store, &tenants, &posting).await), refused_by, "{posting}");
    }
}

#[tokio::test]
async fn postings_and_audit_entries_are_never_changed_by_anybody() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let life = live(&store, "acme").await;
    store.close().await;
    let mut superuser = PgConnection::connect(database.url()).await.unwrap();
    let roles = [
        "none",
        "settla_owner",
        "settla_auth",
        "settla_runner",
        "settla_app",
        "settla_worker",
        "settla_operator",
        "settla_auditor",
    ];
    for table in ["settla.postings", "settla.audit_log"] {
        for role in roles {
            for statement in [
                format!("UPDATE {table} SET at = at"),
                format!("DELETE FROM {table}"),
                format!("DELETE FROM {table} WHERE false"),
                format!("TRUNCATE {table}"),
                format!("TRUNCATE {table} CASCADE"),
            ] {
                let tenant = life.tenant.0;
                let begin = format!(
                    "BEGIN; SET LOCAL ROLE {role}; SET LOCAL settla.tenant = '{tenant}'; SET LOCAL settla.tenants = '{{{tenant}}}'"
                );
                sqlx::raw_sql(&begin).execute(&mut superuser).await.unwrap();
                let error = sqlx::raw_sql(&statement).execute(&mut superuser).await.unwrap_err();
                sqlx::raw_sql("ROLLBACK").execute(&mut superuser).await.unwrap();
                let error = error.into_database_error().unwrap();
                // Who may not even try is told so; the table's owner and a superuser meet the trigger.
                let code = if ["none", "settla_owner"].contains(&role) { "23000" } else { "42501" };
                assert_eq!(error.code().as_deref(), Some(code), "{statement} as {role}: {error}");
            }
        }
    }
}

#[tokio::test]
async fn a_quote_carries_one_transfer() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let tenant = tenant(&store, "acme").await;
    apply(&store, tenant, &funding(tenant, 1_000_000)).await;
    let first = transfer(&store, tenant, 10_000).await;
    let columns = "tenant, quote, reference, beneficiary, terms, debit_currency, debit_amount, destination_currency,
                   destination_amount, state, version, progress, created_at, updated_at";
    let again = |tenant_no: &str| {
        format!(
            "INSERT INTO transfers (id, {columns}) SELECT '{}', {} FROM transfers WHERE id = '{}'",
            Uuid::now_v7(),
            columns.replacen("tenant", tenant_no, 1),
            first.id.0
        )
    };
    let used_twice = as_runner(&store, &[tenant], &again("tenant")).await;
    assert_eq!(constraint(used_twice), "transfers_quote_tenant_key");
    // Another tenant's quote is no quote.
    let other = crate::support::tenant(&store, "other").await;
    let stolen = as_runner(&store, &[tenant, other], &again(&other.0.to_string())).await;
    assert_eq!(constraint(stolen), "transfers_tenant_quote_fkey");

    // And by the engine, when it is asked.
    let second = quote(tenant, 10_000);
    let creates = [create(&second), create(&second)].map(Command::CreateTransfer);
    let answers = apply_with(
        &store,
        tenant,
        &[vec![Command::CreateQuote(second)], creates.to_vec()].concat(),
        Outcome::default(),
    )
    .await
    .unwrap();
    assert!(matches!(answers[1], Ok(Answer::Transfer(_))));
    assert_eq!(answers[2], Err(settla_domain::refusal::Refusal::QuoteUsed));
    assert_books(&store).await;
}

#[tokio::test]
async fn a_withdrawals_reference_is_used_once_for_ever() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let (one, two) = (tenant(&store, "one").await, tenant(&store, "two").await);
    for tenant in [one, two] {
        apply(&store, tenant, &funding(tenant, 1_000_000)).await;
        apply(&store, tenant, &[Command::CreateWithdrawal(withdrawal(tenant, 100, "rent"))]).await;
    }
    let again = format!(
        "INSERT INTO withdrawals (tenant, id, reference, currency, amount, account_masked, state, created_at, updated_at)
         VALUES ({}, '{}', 'rent', 'GBP', 100, '', 'PENDING', now(), now())",
        one.0,
        Uuid::now_v7()
    );
    assert_eq!(constraint(as_runner(&store, &[one], &again).await), "withdrawals_tenant_reference_key");
    let command = Command::CreateWithdrawal(withdrawal(one, 200, "rent"));
    let answers = apply_with(&store, one, &[command], Outcome::default()).await.unwrap();
    assert_eq!(answers, [Err(settla_domain::refusal::Refusal::ReferenceUsed)]);
    assert_books(&store).await;
}

#[tokio::test]
async fn a_position_below_zero_is_refused() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let tenant = tenant(&store, "acme").await;
    apply(&store, tenant, &funding(tenant, 1_000)).await;
    for part in ["available", "held", "in_transit"] {
        let statement = format!("UPDATE positions SET {part} = -1");
        let refused = constraint(as_runner(&store, &[tenant], &statement).await);
        assert_eq!(refused, format!("positions_{part}_check"));
    }
    assert_books(&store).await;
}

/// Accounts, references and bank entries that belong to nobody we know go to suspense, once.
#[tokio::test]
async fn a_bank_entry_is_applied_once() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let tenant = tenant(&store, "acme").await;
    let [topup, credit] = funding(tenant, 1_000);
    let Command::CreateTopup(announced) = &topup else { panic!() };
    assert_eq!(inbox::topup_owner(&store.worker, &announced.reference).await.unwrap(), None);
    apply(&store, tenant, &[topup.clone(), credit.clone()]).await;
    assert_eq!(inbox::topup_owner(&store.worker, &announced.reference).await.unwrap(), Some(tenant));
    assert_eq!(apply(&store, tenant, &[credit]).await, [Answer::Nothing]);
    let [_, Command::BankCredit { id, mut credit, .. }] = funding(tenant, 500) else { panic!() };
    credit.reference = "happy birthday".to_owned();
    let stray = [Command::BankCredit { id, credit, sale_of: None }];
    assert_eq!(apply(&store, TenantNo::PLATFORM, &stray).await, [Answer::Applied]);
    assert_eq!(apply(&store, TenantNo::PLATFORM, &stray).await, [Answer::Nothing]);
    assert_books(&store).await;
    assert!(outbox::backlog(&store.worker).await.unwrap().is_empty());
}
