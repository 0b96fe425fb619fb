//! One statement by one role, and what came of it.

use settla_domain::tenant::TenantNo;
use sqlx::PgConnection;

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Came {
    /// So many rows were seen or changed.
    Rows(u64),
    /// The role lacks the privilege.
    Denied,
    /// The row is not one it may write.
    Hidden,
    /// A constraint stood in the way: everything that asks who it is had been passed.
    Constraint,
}

/// A statement by a role.
pub struct Attempt<'a> {
    pub role: &'a str,
    /// `settla.tenant` and `settla.tenants`.
    pub settings: Option<(String, String)>,
    pub statement: String,
}

/// Makes it, in a transaction that is rolled back.
pub async fn come(superuser: &mut PgConnection, attempt: &Attempt<'_>) -> Came {
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

/// One statement a privilege, on the rows of one tenant. `columns` are those that a row can be given.
pub fn statement(privilege: &str, table: &str, columns: &str, tenant: TenantNo) -> String {
    let (name, granted) = privilege.split_once('(').unwrap_or((privilege, ""));
    let tenant = tenant.0;
    match name {
        "select" => format!("SELECT * FROM {table} WHERE tenant = {tenant}"),
        // Copies of the tenant's rows: whatever else holds for a row of this table holds for them.
        "insert" => format!(
            "INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE
             SELECT {columns} FROM jsonb_populate_recordset(NULL::{table}, current_setting('test.{table}_{tenant}')::jsonb)"
        ),
        "update" => {
            let column = granted.trim_end_matches(')').split(',').next().unwrap_or_default();
            let column = if column.is_empty() { "tenant" } else { column };
            format!("UPDATE {table} SET {column} = {column} WHERE tenant = {tenant}")
        }
        "delete" => format!("DELETE FROM {table} WHERE tenant = {tenant}"),
        "truncate" => format!("TRUNCATE {table} CASCADE"),
        other => panic!("no attempt at {other}"),
    }
}

/// What must come of an attempt at rows that the role does or does not reach.
pub fn must_come(role: &str, table: &str, held: Option<&str>, privilege: &str, visible: bool, rows: u64) -> Came {
    // The owner lacks no privilege: to it all rows are hidden, and what is never to change is guarded.
    let guarded = ["postings", "audit_log"].contains(&table);
    match (privilege, role, held) {
        ("update" | "delete", "owner", _) if guarded => Came::Constraint,
        ("insert", "owner", _) => Came::Hidden,
        (_, "owner", _) => Came::Rows(0),
        (_, _, None) => Came::Denied,
        ("insert", _, Some(_)) if visible => Came::Constraint,
        ("insert", _, Some(_)) => Came::Hidden,
        (_, _, Some(_)) => Came::Rows(if visible { rows } else { 0 }),
    }
}
