//! A transaction on behalf of one tenant. Row-level security shows it that tenant's rows and no others.

use crate::StoreError;
use settla_domain::tenant::TenantNo;
use sqlx::postgres::PgPool;
use sqlx::{Postgres, Transaction};

/// Begins a transaction that sees one tenant.
pub async fn begin(app: &PgPool, tenant: TenantNo) -> Result<Transaction<'static, Postgres>, StoreError> {
    // The number is ours, not a caller's text, so it may stand in the statement; that saves a round trip.
    Ok(app.begin_with(format!("BEGIN; SELECT set_config('settla.tenant', '{}', true)", tenant.0)).await?)
}
