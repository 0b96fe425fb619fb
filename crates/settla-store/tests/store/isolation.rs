//! Who may see and change what: every role on every table that there is, by attempt and by the catalogue.
//! A table or role that [`EXPECTED`] does not name fails the test.

use crate::life::live;
use crate::support::open;
use settla_devkit::TestDatabase;
use settla_domain::tenant::TenantNo;
use sqlx::{Connection, PgConnection, Row};
use std::collections::BTreeMap;

/// Privileges by table and role. Before the colon: whose rows, `own` those of the transaction's tenant (app) or
/// tenants (runner), `all` those of every tenant, nothing where the table knows no tenants.
const EXPECTED: &str = "
api_keys
    app      own: select
    operator all: select insert update(expires_at,revoked_at)
    auth     all: select
audit_log
    runner   own: insert
    app      own: insert
    operator all: select insert
    auditor  all: select
bank_entries
    runner   : select insert
    auditor  : select
checkpoints
    worker   : select insert update(value)
    auditor  : select
commit_markers
    runner   : select insert
    auditor  : select
events
    runner   own: insert
    app      own: select
    worker   all: select
    auditor  all: select
fee_schedules
    runner   own: select
    app      own: select
    operator all: select insert update delete
    auditor  all: select
idempotency
    runner   own: select insert
    app      own: select insert
    auditor  all: select
limits
    runner   own: select
    app      own: select
    operator all: select insert update delete
    auditor  all: select
outbox
    runner   own: select insert update(lease_until,next_at,status)
    worker   all: select update(attempts,epoch,first_attempt_at,lease_until,next_at,status)
    auditor  all: select
personal_data
    runner   own: insert
    app      own: select
positions
    runner   own: select insert update(available,held,in_transit,usage_day,usage_day_total,usage_pending)
    app      own: select
    auditor  all: select
postings
    runner   own: insert
    app      own: select
    auditor  all: select
provider_events
    worker   : select insert update(attempts,next_at,processed)
    auditor  : select
quotes
    runner   own: select insert update(used)
    app      own: select
    auditor  all: select
settlement_members
    worker   all: select insert update(released)
    auditor  all: select
settlements
    worker   : select insert update(nonce,raw,status,tx_hash,updated_at)
    auditor  : select
shared_facts
    operator : select insert
    auditor  : select
tenant_locks
    runner   own: select update(event_sequence)
    operator all: select insert
    auditor  all: select
tenants
    runner   own: select
    app      own: select
    operator all: select insert update(name,spread_bps,status)
    auditor  all: select
    auth     all: select
topups
    runner   own: select insert update(credited)
    app      own: select
    auditor  all: select
    auth     all: select
transfers
    runner   own: select insert update(progress,state,updated_at,version)
    app      own: select
    auditor  all: select
webhook_attempts
    app      own: select
    worker   all: select insert
    auditor  all: select
webhook_deliveries
    runner   own: insert
    app      own: select update(status)
    worker   all: select update(attempts,lease_until,next_at,status)
    auditor  all: select
webhook_endpoints
    runner   own: select
    app      own: select insert update(status)
    worker   all: select update(status)
    auditor  all: select
withdrawals
    runner   own: select insert update(failure,state,updated_at)
    app      own: select
    auditor  all: select
";

/// `owner` is in the list to show that not even it sees a tenant's row; it may do nothing else here.
const ROLES: [&str; 7] = ["app", "auditor", "auth", "operator", "owner", "runner", "worker"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Own,
    All,
    Nobodys,
}

fn expected() -> BTreeMap<&'static str, BTreeMap<&'static str, (Whose, &'static str)>> {
    let mut tables: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    let mut table = "";
    for line in EXPECTED.lines().filter(|line| !line.is_empty()) {
        if !line.starts_with(' ') {
            table = line;
            tables.insert(table, BTreeMap::new());
            continue;
        }
        let (who, privileges) = line.split_once(": ").unwrap();
        let (role, whose) = who.trim_start().split_once(' ').unwrap();
        let whose = match whose.trim() {
            "own" => Whose::Own,
            "all" => Whose::All,
            _ => Whose::Nobodys,
        };
        tables.get_mut(table).unwrap().insert(role, (whose, privileges));
    }
    tables
}

async fn texts(connection: &mut PgConnection, statement: &str) -> Vec<String> {
    let rows = sqlx::query(statement).fetch_all(connection).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

async fn tables(connection: &mut PgConnection) -> Vec<String> {
    let statement = "SELECT relname::text FROM pg_class WHERE relnamespace = 'settla'::regnamespace
                     AND relkind NOT IN ('i', 'S', 'c') ORDER BY relname";
    texts(connection, statement).await
}

async fn tenant_tables(connection: &mut PgConnection) -> Vec<String> {
    let statement = "SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
                     WHERE c.relnamespace = 'settla'::regnamespace AND c.relkind NOT IN ('i', 'S', 'c')
                     AND a.attname = 'tenant' AND NOT a.attisdropped ORDER BY 1";
    texts(connection, statement).await
}

async fn ground() -> (TestDatabase, PgConnection) {
    let database = TestDatabase::create().await.unwrap();
    open(database.url()).await.close().await;
    let mut superuser = PgConnection::connect(database.url()).await.unwrap();
    sqlx::raw_sql("SET search_path = settla").execute(&mut superuser).await.unwrap();
    (database, superuser)
}

#[tokio::test]
async fn every_table_of_tenants_has_forced_row_level_security() {
    let (_database, mut superuser) = ground().await;
    let without = "SELECT relname::text FROM pg_class WHERE relnamespace = 'settla'::regnamespace
                   AND relkind NOT IN ('i', 'S', 'c') AND NOT (relkind = 'r' AND relrowsecurity AND relforcerowsecurity)";
    let without = texts(&mut superuser, without).await;
    let with_tenants = tenant_tables(&mut superuser).await;
    assert_eq!(with_tenants.len(), 20);
    assert!(with_tenants.iter().all(|table| !without.contains(table)), "not forced: {without:?}");
    // A column by another name that holds tenants would escape the rule.
    let look_alikes = "SELECT attrelid::regclass::text || '.' || attname FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
                       WHERE relnamespace = 'settla'::regnamespace AND attname LIKE '%tenant%' AND attname <> 'tenant'";
    assert_eq!(texts(&mut superuser, look_alikes).await, Vec::<String>::new());
}

#[tokio::test]
async fn no_role_owns_a_table_or_passes_by_row_level_security() {
    let (_database, mut superuser) = ground().await;
    let roles = texts(&mut superuser, r"SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'settla\_%' ORDER BY 1").await;
    assert_eq!(roles, ROLES.map(|role| format!("settla_{role}")));
    let mighty = r"SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'settla\_%'
                   AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication OR rolcanlogin)";
    assert_eq!(texts(&mut superuser, mighty).await, Vec::<String>::new());
    let members = r"SELECT member::regrole::text FROM pg_auth_members WHERE member::regrole::text LIKE 'settla\_%'";
    assert_eq!(texts(&mut superuser, members).await, Vec::<String>::new());
    let owners = "SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE relnamespace = 'settla'::regnamespace";
    assert_eq!(texts(&mut superuser, owners).await, ["settla_owner"]);
    let makers = "SELECT nspname || ' ' || r.rolname FROM pg_namespace, pg_roles r
                  WHERE nspname = 'settla' AND rolname LIKE 'settla\\_%' AND rolname <> 'settla_owner'
                  AND has_schema_privilege(r.oid, 'settla', 'CREATE')";
    assert_eq!(texts(&mut superuser, makers).await, Vec::<String>::new());
}

#[tokio::test]
async fn functions_that_see_more_than_their_caller_are_two_and_closed_to_others() {
    let (_database, mut superuser) = ground().await;
    let definers = "SELECT p.proname || ' of ' || p.proowner::regrole || ' for '
                        || (SELECT string_agg(r.rolname, ',' ORDER BY r.rolname) FROM pg_roles r
                            WHERE r.rolname LIKE 'settla\\_%' AND has_function_privilege(r.oid, p.oid, 'EXECUTE'))
                        || ' with ' || array_to_string(p.proconfig, ';')
                    FROM pg_proc p WHERE p.pronamespace = 'settla'::regnamespace AND p.prosecdef ORDER BY 1";
    assert_eq!(
        texts(&mut superuser, definers).await,
        [
            "find_api_key of settla_auth for settla_app,settla_auth with search_path=settla, pg_temp",
            "find_topup_owner of settla_auth for settla_auth,settla_worker with search_path=settla, pg_temp",
        ]
    );
}

/// As the catalogue has it, in the words of [`EXPECTED`].
async fn privileges(superuser: &mut PgConnection, role: &str, table: &str) -> String {
    let row = sqlx::query(
        "SELECT array_to_string(ARRAY(
             SELECT CASE WHEN has_table_privilege($1, $2, p) THEN lower(p) ELSE lower(p) || '(' || columns || ')' END
             FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) WITH ORDINALITY AS k (p, n),
             LATERAL (SELECT string_agg(attname, ',' ORDER BY attname) AS columns FROM pg_attribute
                      WHERE attrelid = $2::regclass AND attnum > 0 AND NOT attisdropped
                      AND CASE WHEN p IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES') THEN has_column_privilege($1, $2, attname, p) END) c
             WHERE has_table_privilege($1, $2, p) OR columns IS NOT NULL ORDER BY n), ' ') AS found",
    )
    .bind(format!("settla_{role}"))
    .bind(format!("settla.{table}"))
    .fetch_one(superuser)
    .await
    .unwrap();
    row.get("found")
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Came {
    /// So many rows were seen or changed.
    Rows(u64),
    /// The role lacks the privilege.
    Denied,
    /// The row is not one it may write.
    Hidden,
    /// A constraint stood in the way: everything that asks who it is had been passed.
    Constraint,
}

struct Attempt<'a> {
    role: &'a str,
    /// `settla.tenant` and `settla.tenants`.
    settings: Option<(String, String)>,
    statement: String,
}

async fn come(superuser: &mut PgConnection, attempt: &Attempt<'_>) -> Came {
    let mut begin = format!("BEGIN; SET LOCAL ROLE settla_{};", attempt.role);
    if let Some((tenant, tenants)) = &attempt.settings {
        begin += &format!("SET LOCAL settla.tenant = '{tenant}'; SET LOCAL settla.tenants = '{tenants}';");
    }
    sqlx::raw_sql(&begin).execute(&mut *superuser).await.unwrap();
    let done = sqlx::raw_sql(&attempt.statement).execute(&mut *superuser).await;
    sqlx::raw_sql("ROLLBACK").execute(superuser).await.unwrap();
    let error = match done {
        Ok(done) => return Came::Rows(done.rows_affected()),
        Err(error) => error.into_database_error().unwrap(),
    };
    match error.code().as_deref() {
        Some("42501") if error.message().contains("row-level security") => Came::Hidden,
        Some("42501") => Came::Denied,
        Some(code) if code.starts_with("23") => Came::Constraint,
        other => panic!("{other:?}: {error} by {}: {}", attempt.role, attempt.statement),
    }
}

/// One statement a privilege, on the rows of one tenant.
fn statement(privilege: &str, table: &str, tenant: TenantNo) -> String {
    let (name, columns) = privilege.split_once('(').unwrap_or((privilege, ""));
    let tenant = tenant.0;
    match name {
        "select" => format!("SELECT * FROM {table} WHERE tenant = {tenant}"),
        // Copies of the tenant's rows: whatever else holds for a row of this table holds for them.
        "insert" => format!(
            "INSERT INTO {table} OVERRIDING SYSTEM VALUE
             SELECT * FROM jsonb_populate_recordset(NULL::{table}, current_setting('test.{table}_{tenant}')::jsonb)"
        ),
        "update" => {
            let column = columns.trim_end_matches(')').split(',').next().unwrap_or_default();
            let column = if column.is_empty() { "tenant" } else { column };
            format!("UPDATE {table} SET {column} = {column} WHERE tenant = {tenant}")
        }
        "delete" => format!("DELETE FROM {table} WHERE tenant = {tenant}"),
        "truncate" => format!("TRUNCATE {table} CASCADE"),
        other => panic!("no attempt at {other}"),
    }
}

/// What must come of it.
fn outcome(privilege: &str, visible: bool, rows: u64) -> Came {
    match (privilege.split('(').next().unwrap_or_default(), visible) {
        ("insert", true) => Came::Constraint,
        ("insert", false) => Came::Hidden,
        (_, true) => Came::Rows(rows),
        (_, false) => Came::Rows(0),
    }
}

#[tokio::test]
async fn every_role_on_every_table_sees_and_changes_what_it_should() {
    let (database, mut superuser) = ground().await;
    let store = open(database.url()).await;
    let (ours, theirs) = (live(&store, "ours").await.tenant, live(&store, "theirs").await.tenant);
    store.close().await;

    let expected = expected();
    let all = tables(&mut superuser).await;
    let public_ones: Vec<&String> = all.iter().filter(|table| !expected.contains_key(table.as_str())).collect();
    assert!(public_ones.is_empty(), "tables without an expectation: {public_ones:?}");
    assert_eq!(all.len(), expected.len(), "an expectation is of no table");
    let with_tenants = tenant_tables(&mut superuser).await;

    let mut attempts = 0;
    for table in &all {
        let has_tenants = with_tenants.contains(table);
        let mut rows = BTreeMap::new();
        for tenant in [ours, theirs].into_iter().filter(|_| has_tenants) {
            let copy = format!(
                "SELECT count(*), set_config('test.{table}_{}', coalesce(jsonb_agg(t), '[]')::text, false) FROM {table} t WHERE tenant = {}",
                tenant.0, tenant.0
            );
            let count: i64 = sqlx::query(&copy).fetch_one(&mut superuser).await.unwrap().get(0);
            assert!(count > 0, "nothing to attack: {table} has no rows of {tenant:?}");
            rows.insert(tenant, u64::try_from(count).unwrap());
        }
        for role in ROLES.into_iter().filter(|role| *role != "owner") {
            let (whose, granted) = expected[table.as_str()].get(role).copied().unwrap_or((Whose::Nobodys, ""));
            assert_eq!(privileges(&mut superuser, role, table).await, granted, "privileges of {role} on {table}");
            assert!(granted.is_empty() || has_tenants == (whose != Whose::Nobodys), "{role} on {table}: whose rows?");
            if !has_tenants {
                continue;
            }
            let (own, other) = (ours.0.to_string(), theirs.0.to_string());
            // The setting that the role's policy goes by names our tenant, the other one theirs.
            let crossed = if role == "runner" { (other.clone(), format!("{{{own}}}")) } else { (own.clone(), format!("{{{other}}}")) };
            let settings = [None, Some((String::new(), String::new())), Some((own.clone(), format!("{{{own}}}"))), Some(crossed)];
            for (number, settings) in settings.into_iter().enumerate() {
                for privilege in ["select", "insert", "update", "delete", "truncate"] {
                    let held = granted.split(' ').find(|held| held.split('(').next() == Some(privilege));
                    for (tenant, is_set) in [(theirs, false), (ours, number >= 2)] {
                        let attempt = Attempt { role, settings: settings.clone(), statement: statement(held.unwrap_or(privilege), table, tenant) };
                        let visible = whose == Whose::All || is_set;
                        let must = match held {
                            Some(held) => outcome(held, visible, rows[&tenant]),
                            None => Came::Denied,
                        };
                        let came = come(&mut superuser, &attempt).await;
                        // A row that others refer to cannot be deleted; that it could be tried is what counts.
                        assert_eq!(came, must, "{role} with {settings:?}: {}", attempt.statement);
                        attempts += 1;
                    }
                }
            }
        }
        if has_tenants {
            for tenant in [ours, theirs] {
                let settings = Some((tenant.0.to_string(), format!("{{{}}}", tenant.0)));
                let attempt = Attempt { role: "owner", settings, statement: statement("select", table, tenant) };
                assert_eq!(come(&mut superuser, &attempt).await, Came::Rows(0), "the owner sees rows of {table}");
            }
        }
    }
    assert_eq!(attempts, 20 * 6 * 4 * 5 * 2);
}

#[tokio::test]
async fn personal_data_and_keys_are_closed_to_workers_and_auditors() {
    let (_database, mut superuser) = ground().await;
    for table in ["personal_data", "api_keys"] {
        for role in ["worker", "auditor"] {
            let attempt = Attempt { role, settings: None, statement: format!("SELECT FROM {table}") };
            assert_eq!(come(&mut superuser, &attempt).await, Came::Denied, "{role} on {table}");
        }
    }
}
