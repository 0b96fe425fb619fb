//! Growth: what holds over all months, months made and taken out, what is swept, and what a statement touches.

mod detach;
mod keys;
mod months;
mod older;
mod sweep;
mod touched;

use settla_devkit::TestDatabase;
use sqlx::{Connection, PgConnection, Row};
use uuid::Uuid;

async fn superuser(database: &TestDatabase) -> PgConnection {
    let mut superuser = PgConnection::connect(database.url()).await.unwrap();
    run(&mut superuser, "SET search_path = settla").await;
    superuser
}

async fn run(superuser: &mut PgConnection, statements: &str) {
    sqlx::raw_sql(statements).execute(superuser).await.unwrap();
}

async fn number(superuser: &mut PgConnection, statement: &str) -> i64 {
    sqlx::query(statement).fetch_one(superuser).await.unwrap().get(0)
}

async fn text(superuser: &mut PgConnection, statement: &str) -> String {
    sqlx::query(statement).fetch_one(superuser).await.unwrap().get(0)
}

/// An id made at an instant (SQL), with so many random bits as any.
async fn id_at(superuser: &mut PgConnection, instant: &str) -> Uuid {
    let floor: Uuid = sqlx::query(&format!("SELECT id_floor({instant})")).fetch_one(superuser).await.unwrap().get(0);
    Uuid::from_u128(floor.as_u128() | (Uuid::now_v7().as_u128() & ((1 << 80) - 1)))
}
