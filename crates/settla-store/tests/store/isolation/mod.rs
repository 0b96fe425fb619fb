//! Who may see and change what: every role on every table that there is, by attempt and by the catalogue.
//! A table or role that has no expectation fails the test.

mod attempt;
mod expected;

use crate::life::live;
use crate::support::open;
use attempt::{Attempt, Came, come, must_come, statement};
use expected::{ROLES, WORKING, Whose, expected};
use settla_devkit::TestDatabase;
use settla_domain::tenant::TenantNo;
use sqlx::{Connection, PgConnection, Row};

async fn texts(connection: &mut PgConnection, statement: &str) -> Vec<String> {
    let rows = sqlx::query(statement).fetch_all(connection).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

async fn tables(connection: &mut PgConnection) -> Vec<String> {
    // Partitions have a test of their own: nobody is to reach them but through their table.
    let statement = "SELECT relname::text FROM pg_class WHERE relnamespace = 'settla'::regnamespace
                     AND relkind NOT IN ('i', 'I', 'S', 'c') AND NOT relispartition ORDER BY relname";
    texts(connection, statement).await
}

async fn tenant_tables(connection: &mut PgConnection) -> Vec<String> {
    let statement = "SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
                     WHERE c.relnamespace = 'settla'::regnamespace AND c.relkind NOT IN ('i', 'I', 'S', 'c')
                     AND NOT relispartition AND a.attname = 'tenant' AND NOT a.attisdropped ORDER BY 1";
    texts(connection, statement).await
}

async fn partitions(connection: &mut PgConnection) -> Vec<String> {
    let statement = "SELECT relname::text FROM pg_class WHERE relnamespace = 'settla'::regnamespace
                     AND relkind NOT IN ('i', 'I') AND relispartition ORDER BY relname";
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
                   AND relkind NOT IN ('i', 'I', 'S', 'c') AND NOT (relkind IN ('r', 'p') AND relrowsecurity AND relforcerowsecurity)";
    let without = texts(&mut superuser, without).await;
    let with_tenants = tenant_tables(&mut superuser).await;
    assert_eq!(with_tenants.len(), 26);
    assert!(with_tenants.iter().all(|table| !without.contains(table)), "not forced: {without:?}");
    let partitions = partitions(&mut superuser).await;
    assert!(partitions.iter().all(|table| !without.contains(table)), "not forced: {without:?}");
    // A column by another name that holds tenants would escape the rule.
    let look_alikes =
        "SELECT attrelid::regclass::text || '.' || attname FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
                       WHERE relnamespace = 'settla'::regnamespace AND attname LIKE '%tenant%' AND attname <> 'tenant'";
    assert_eq!(texts(&mut superuser, look_alikes).await, Vec::<String>::new());
}

#[tokio::test]
async fn no_role_owns_a_table_or_passes_by_row_level_security() {
    let (_database, mut superuser) = ground().await;
    let roles =
        texts(&mut superuser, r"SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'settla\_%' ORDER BY 1").await;
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
async fn functions_that_see_more_than_their_caller_are_nine_and_closed_to_others() {
    let (_database, mut superuser) = ground().await;
    let definers = "SELECT p.proname || ' of ' || p.proowner::regrole || ' for '
                        || (SELECT string_agg(r.rolname, ',' ORDER BY r.rolname) FROM pg_roles r
                            WHERE r.rolname LIKE 'settla\\_%' AND has_function_privilege(r.oid, p.oid, 'EXECUTE'))
                        || ' with ' || array_to_string(p.proconfig, ';')
                    FROM pg_proc p WHERE p.pronamespace = 'settla'::regnamespace AND p.prosecdef ORDER BY 1";
    assert_eq!(
        texts(&mut superuser, definers).await,
        [
            "access_changed of settla_auth for settla_auth,settla_owner with search_path=settla, pg_temp",
            "detach_partition of settla_owner for settla_operator,settla_owner with search_path=settla, pg_temp;lock_timeout=2s",
            "find_api_keys of settla_auth for settla_app,settla_auth with search_path=settla, pg_temp;enable_seqscan=off;plan_cache_mode=force_generic_plan",
            "find_topup_owner of settla_auth for settla_auth,settla_worker with search_path=settla, pg_temp",
            "make_partitions of settla_owner for settla_owner,settla_worker with search_path=settla, pg_temp;lock_timeout=2s",
            "note_key_uses of settla_auth for settla_app,settla_auth with search_path=settla, pg_temp;enable_seqscan=off",
            "partition_needed_for of settla_auditor for settla_auditor,settla_owner with search_path=settla, pg_temp",
            "rehash_api_key of settla_auth for settla_app,settla_auth with search_path=settla, pg_temp;enable_seqscan=off",
            "terms_changed of settla_auth for settla_auth,settla_owner with search_path=settla, pg_temp",
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

#[tokio::test]
async fn every_role_has_just_the_privileges_that_are_expected() {
    let (_database, mut superuser) = ground().await;
    let (expected, with_tenants) = (expected(), tenant_tables(&mut superuser).await);
    let tables = tables(&mut superuser).await;
    let unnamed: Vec<&String> = tables.iter().filter(|table| !expected.contains_key(table.as_str())).collect();
    assert!(unnamed.is_empty(), "tables without an expectation: {unnamed:?}");
    assert_eq!(tables.len(), expected.len(), "an expectation is of no table");
    for (table, roles) in &expected {
        let has_tenants = with_tenants.iter().any(|name| name == table);
        for role in WORKING {
            let (whose, granted) = roles.get(role).copied().unwrap_or_default();
            assert_eq!(privileges(&mut superuser, role, table).await, granted, "{role} on {table}");
            assert!(granted.is_empty() || has_tenants == (whose != Whose::Nobodys), "{role} on {table}: whose rows?");
            assert!(!granted.contains("tenant"), "{role} may give rows of {table} to another tenant");
        }
    }
}

/// What the settings of a transaction may be, and whether the role's policy then goes by `own`.
fn settings(role: &str, own: TenantNo, other: TenantNo) -> [(Option<(String, String)>, bool); 4] {
    let (one, list) = (|tenant: TenantNo| tenant.0.to_string(), |tenant: TenantNo| format!("{{{}}}", tenant.0));
    // Each setting names a tenant; the role's policy must not go by the other role's.
    let crossed = if ["runner", "payer"].contains(&role) { (one(other), list(own)) } else { (one(own), list(other)) };
    [
        (None, false),
        (Some((String::new(), String::new())), false),
        (Some((one(own), list(own))), true),
        (Some(crossed), true),
    ]
}

/// Keeps a copy of a tenant's rows where attempts to insert find it; says how many they are.
async fn copy(superuser: &mut PgConnection, table: &str, tenant: TenantNo) -> u64 {
    let tenant = tenant.0;
    let statement = format!(
        "SELECT count(*), set_config('test.{table}_{tenant}', coalesce(jsonb_agg(t), '[]')::text, false)
         FROM {table} t WHERE tenant = {tenant}"
    );
    let count: i64 = sqlx::query(&statement).fetch_one(superuser).await.unwrap().get(0);
    assert!(count > 0, "nothing to attack: {table} has no rows of a tenant");
    u64::try_from(count).unwrap()
}

#[tokio::test]
async fn every_role_reaches_just_the_rows_that_are_expected() {
    let (database, mut superuser) = ground().await;
    let store = open(database.url()).await;
    let (ours, theirs) = (live(&store, "ours").await.tenant, live(&store, "theirs").await.tenant);
    store.close().await;
    let expected = expected();
    let mut attempts = 0;
    for table in tenant_tables(&mut superuser).await {
        let given = format!(
            "SELECT string_agg(attname, ', ') FROM pg_attribute WHERE attrelid = 'settla.{table}'::regclass
             AND attnum > 0 AND NOT attisdropped AND attgenerated = ''"
        );
        let columns = texts(&mut superuser, &given).await.remove(0);
        let rows = [copy(&mut superuser, &table, theirs).await, copy(&mut superuser, &table, ours).await];
        for role in ROLES {
            let (whose, granted) = expected[table.as_str()].get(role).copied().unwrap_or_default();
            for (settings, is_set) in settings(role, ours, theirs) {
                // To the owner rows are hidden as to anybody; but it may empty a table, or drop it.
                let privileges = ["select", "insert", "update", "delete", "truncate"];
                for privilege in privileges.into_iter().filter(|p| (role, *p) != ("owner", "truncate")) {
                    let held = granted.split(' ').find(|held| held.split('(').next() == Some(privilege));
                    let own = is_set && whose != Whose::Old;
                    let targets = [(theirs, whose == Whose::All), (ours, whose == Whose::All || own)];
                    for ((tenant, visible), rows) in targets.into_iter().zip(rows) {
                        let statement = statement(held.unwrap_or(privilege), &table, &columns, tenant);
                        let attempt = Attempt { role, settings: settings.clone(), statement };
                        let came = come(&mut superuser, &attempt).await;
                        let must = must_come(role, &table, held, privilege, visible, rows);
                        assert_eq!(came, must, "{role} with {settings:?}: {}", attempt.statement);
                        attempts += 1;
                    }
                }
            }
        }
    }
    assert_eq!(attempts, 26 * (8 * 5 + 4) * 4 * 2);
}

/// But for the auditor, who watches what belongs to no month.
#[tokio::test]
async fn a_partition_is_reached_through_its_table_alone_and_guarded_as_that_is() {
    let (_database, mut superuser) = ground().await;
    let partitions = partitions(&mut superuser).await;
    assert!(partitions.len() >= 4 * 6, "{partitions:?}");
    for partition in partitions {
        for role in WORKING {
            let may = if role == "auditor" && partition.ends_with("_rest") { "select" } else { "" };
            assert_eq!(privileges(&mut superuser, role, &partition).await, may, "{role} on {partition}");
        }
        if partition.starts_with("postings") || partition.starts_with("audit_log") {
            for statement in [format!("DELETE FROM {partition}"), format!("TRUNCATE {partition}")] {
                let attempt = Attempt { role: "owner", settings: None, statement };
                assert_eq!(come(&mut superuser, &attempt).await, Came::Constraint, "{partition}");
            }
        }
    }
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
