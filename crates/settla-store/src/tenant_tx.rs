//! A transaction on behalf of one tenant. Row-level security shows it that tenant's rows and no others.

use crate::StoreError;
use settla_domain::tenant::TenantNo;
use sqlx::postgres::PgPool;
use sqlx::{Postgres, Transaction};

/// Begins a transaction that sees one tenant.
pub async fn begin(app: &PgPool, tenant: TenantNo) -> Result<Transaction<'static, Postgres>, StoreError> {
    let mut tx = app.begin().await?;
    sqlx::query("SELECT set_config('settla.tenant', $1, true)").bind(tenant.0.to_string()).execute(&mut *tx).await?;
    Ok(tx)
}
