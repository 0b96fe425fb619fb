//! A tenant's status, fees and limits, changed by an operator who says why. They count from the tenant's next batch on,
//! since the change moves up the revision in the row that every batch of the tenant locks.

use super::audit_with;
use crate::StoreError;
use crate::bounded::BoundedPool;
use crate::row::tenant_i32;
use serde_json::{Value, json};
use settla_domain::money::Currency;
use settla_domain::tenant::{TenantNo, TenantStatus};
use sqlx::{Postgres, Row, Transaction};

/// Who changes what of whom, and why: for the audit log.
#[derive(Debug, Clone, Copy)]
pub struct Reason<'a> {
    /// Whose.
    pub tenant: TenantNo,
    /// Who does it.
    pub actor: &'a str,
    /// Why.
    pub reason: &'a str,
}

/// Changes a tenant's status if it is one of `from`; else says which it is.
pub async fn set_status(
    operator: &BoundedPool,
    why: &Reason<'_>,
    from: &[TenantStatus],
    to: TenantStatus,
) -> Result<Result<(), TenantStatus>, StoreError> {
    let mut tx = operator.begin().await?;
    let before = lock(&mut tx, why.tenant).await?;
    if !from.contains(&before) {
        return Ok(Err(before));
    }
    status(&mut tx, why, before, to).await?;
    tx.commit().await?;
    Ok(Ok(()))
}

/// The status of a tenant, which nobody else changes until the transaction ends.
pub(super) async fn lock(tx: &mut Transaction<'_, Postgres>, tenant: TenantNo) -> Result<TenantStatus, StoreError> {
    let row = sqlx::query("SELECT status FROM tenants WHERE tenant = $1 FOR NO KEY UPDATE")
        .bind(tenant_i32(tenant))
        .fetch_one(&mut **tx)
        .await?;
    TenantStatus::from_name(row.try_get("status")?).ok_or(StoreError::Corrupt("status"))
}

pub(super) async fn status(
    tx: &mut Transaction<'_, Postgres>,
    why: &Reason<'_>,
    before: TenantStatus,
    to: TenantStatus,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE tenants SET status = $2 WHERE tenant = $1")
        .bind(tenant_i32(why.tenant))
        .bind(to.name())
        .execute(&mut **tx)
        .await?;
    let detail = json!({ "reason": why.reason, "before": before.name(), "after": to.name() });
    audit_with(tx, why.tenant, why.actor, "tenant.status", to.name(), &detail).await
}

/// Parts of the limits in one source currency, minor units; what is absent stays.
#[derive(Debug, Clone, Copy, Default)]
pub struct LimitsChange {
    /// One transfer.
    pub per_transfer: Option<i64>,
    /// One UTC day.
    pub per_day: Option<i64>,
    /// All that have not ended.
    pub pending: Option<i64>,
}

/// Parts of the fees in one source currency; what is absent stays.
#[derive(Debug, Clone, Copy, Default)]
pub struct FeesChange {
    /// Basis points of the on-ramp leg.
    pub on_ramp_bps: Option<i16>,
    /// Basis points of the off-ramp leg.
    pub off_ramp_bps: Option<i16>,
    /// The least, minor units.
    pub minimum: Option<i64>,
    /// The most, minor units.
    pub maximum: Option<i64>,
}

/// Changes limits that there are. Returns whether there are any in this currency.
pub async fn change_limits(
    operator: &BoundedPool,
    why: &Reason<'_>,
    currency: Currency,
    change: LimitsChange,
) -> Result<bool, StoreError> {
    let mut tx = operator.begin().await?;
    let row = sqlx::query(
        "WITH before AS (SELECT l.* FROM limits l WHERE tenant = $1 AND currency = $2 FOR UPDATE)
         UPDATE limits l SET per_transfer = coalesce($3, l.per_transfer), per_day = coalesce($4, l.per_day), pending = coalesce($5, l.pending)
         FROM before b WHERE l.tenant = b.tenant AND l.currency = b.currency RETURNING to_jsonb(b) AS before, to_jsonb(l) AS after",
    )
    .bind(tenant_i32(why.tenant))
    .bind(currency.code())
    .bind(change.per_transfer)
    .bind(change.per_day)
    .bind(change.pending)
    .fetch_optional(&mut *tx)
    .await?;
    changed(tx, why, currency, "tenant.limits", row).await
}

/// Changes fees that there are. Returns whether there are any in this currency.
pub async fn change_fees(
    operator: &BoundedPool,
    why: &Reason<'_>,
    currency: Currency,
    change: FeesChange,
) -> Result<bool, StoreError> {
    let mut tx = operator.begin().await?;
    let row = sqlx::query(
        "WITH before AS (SELECT f.* FROM fee_schedules f WHERE tenant = $1 AND currency = $2 FOR UPDATE)
         UPDATE fee_schedules f SET on_ramp_bps = coalesce($3, f.on_ramp_bps), off_ramp_bps = coalesce($4, f.off_ramp_bps),
             minimum = coalesce($5, f.minimum), maximum = coalesce($6, f.maximum)
         FROM before b WHERE f.tenant = b.tenant AND f.currency = b.currency RETURNING to_jsonb(b) AS before, to_jsonb(f) AS after",
    )
    .bind(tenant_i32(why.tenant))
    .bind(currency.code())
    .bind(change.on_ramp_bps)
    .bind(change.off_ramp_bps)
    .bind(change.minimum)
    .bind(change.maximum)
    .fetch_optional(&mut *tx)
    .await?;
    changed(tx, why, currency, "tenant.fees", row).await
}

async fn changed(
    mut tx: Transaction<'_, Postgres>,
    why: &Reason<'_>,
    currency: Currency,
    action: &str,
    row: Option<sqlx::postgres::PgRow>,
) -> Result<bool, StoreError> {
    let Some(row) = row else { return Ok(false) };
    let (before, after): (Value, Value) = (row.try_get("before")?, row.try_get("after")?);
    let detail = json!({ "reason": why.reason, "before": before, "after": after });
    audit_with(&mut tx, why.tenant, why.actor, action, currency.code(), &detail).await?;
    tx.commit().await?;
    Ok(true)
}
