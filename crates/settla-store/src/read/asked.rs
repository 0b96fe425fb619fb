//! What every change of a tenant's own has in common: an idempotency key that is used up, and an entry in the audit log, in
//! the change's own transaction.

use crate::StoreError;
use crate::batch::{Idempotency, Recorded};
use crate::row::{at, tenant_i32};
use settla_domain::time::Timestamp;
use sqlx::Row;
use uuid::Uuid;

/// A change that a request asks for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Its idempotency key; the subject is what it makes or changes.
    pub first: &'a Idempotency,
    /// Who does it.
    pub actor: &'a str,
    /// The request.
    pub request_id: &'a str,
}

/// What a key was used for, and when.
#[derive(Debug)]
pub struct Used {
    /// The request.
    pub recorded: Recorded,
    /// When it was carried out.
    pub at: Timestamp,
}

pub(super) type Tx = sqlx::Transaction<'static, sqlx::Postgres>;

/// Takes an idempotency key within the transaction and says when, or returns what it was used for. A concurrent first
/// use is waited for.
pub(super) async fn claim_key(tx: &mut Tx, first: &Idempotency) -> Result<Result<Timestamp, Used>, StoreError> {
    let made = sqlx::query("INSERT INTO idempotency (tenant, key, fingerprint, subject, created_at) VALUES ($1, $2, $3, $4, now()) ON CONFLICT DO NOTHING RETURNING created_at")
        .bind(tenant_i32(first.tenant))
        .bind(&first.key)
        .bind(&first.fingerprint)
        .bind(first.subject)
        .fetch_optional(&mut **tx)
        .await?;
    if let Some(made) = made {
        return Ok(Ok(at(&made, "created_at")?));
    }
    let row = sqlx::query("SELECT fingerprint, subject, created_at FROM idempotency WHERE tenant = $1 AND key = $2")
        .bind(tenant_i32(first.tenant))
        .bind(&first.key)
        .fetch_one(&mut **tx)
        .await?;
    let recorded =
        Recorded { fingerprint: row.try_get("fingerprint")?, refusal: None, subject: row.try_get("subject")? };
    Ok(Err(Used { recorded, at: at(&row, "created_at")? }))
}

pub(super) async fn audit(tx: &mut Tx, asked: &Asked<'_>, action: &str, object: String) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO audit_log (id, tenant, at, actor, action, object, request_id) VALUES ($1, $2, now(), $3, $4, $5, $6)")
        .bind(Uuid::now_v7())
        .bind(tenant_i32(asked.first.tenant))
        .bind(asked.actor)
        .bind(action)
        .bind(object)
        .bind(asked.request_id)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
