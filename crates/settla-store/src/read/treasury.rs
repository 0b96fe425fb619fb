//! Positions, top-ups and withdrawals.

use crate::StoreError;
use crate::batch;
use crate::bounded::BoundedPool;
use crate::row::{currency, tenant_i32};
use crate::tenant_tx;
use settla_domain::money::Currency;
use settla_domain::position::Position;
use settla_domain::tenant::TenantNo;
use settla_domain::topup::Topup;
use settla_domain::withdrawal::Withdrawal;
use uuid::Uuid;

/// All positions, by currency code.
pub async fn positions(app: &BoundedPool, tenant: TenantNo) -> Result<Vec<(Currency, Position)>, StoreError> {
    let mut tx = tenant_tx::begin(app, tenant).await?;
    let rows = sqlx::query("SELECT * FROM positions WHERE tenant = $1 ORDER BY currency")
        .bind(tenant_i32(tenant))
        .fetch_all(&mut *tx)
        .await?;
    rows.iter().map(|r| Ok((currency(r, "currency")?, batch::position(r)?))).collect()
}

/// Top-ups before `before`, newest first.
pub async fn topups(
    app: &BoundedPool,
    tenant: TenantNo,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Topup>, StoreError> {
    let mut tx = tenant_tx::begin(app, tenant).await?;
    let rows = sqlx::query(
        "SELECT * FROM topups WHERE tenant = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3",
    )
    .bind(tenant_i32(tenant))
    .bind(before)
    .bind(limit)
    .fetch_all(&mut *tx)
    .await?;
    rows.iter().map(batch::topup).collect()
}

/// Withdrawals before `before`, newest first.
pub async fn withdrawals(
    app: &BoundedPool,
    tenant: TenantNo,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Withdrawal>, StoreError> {
    let mut tx = tenant_tx::begin(app, tenant).await?;
    let rows = sqlx::query(
        "SELECT * FROM withdrawals WHERE tenant = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3",
    )
    .bind(tenant_i32(tenant))
    .bind(before)
    .bind(limit)
    .fetch_all(&mut *tx)
    .await?;
    rows.iter().map(batch::withdrawal).collect()
}
