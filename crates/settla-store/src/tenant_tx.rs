//! Transactions on behalf of tenants. Row-level security shows them those tenants' rows and no others.

use crate::StoreError;
use crate::bounded::BoundedPool;
use crate::row::tenant_i32;
use settla_domain::tenant::TenantNo;
use sqlx::{Postgres, Transaction};
use std::collections::BTreeSet;

/// Begins a transaction that sees one tenant.
pub async fn begin(app: &BoundedPool, tenant: TenantNo) -> Result<Transaction<'static, Postgres>, StoreError> {
    // The number is ours, not a caller's text, so it may stand in the statement; that saves a round trip.
    Ok(app.begin_with(format!("BEGIN; SELECT set_config('settla.tenant', '{}', true)", tenant.0)).await?)
}

/// Begins a transaction that sees these tenants. `pool` is of a role that may see several at once.
pub async fn begin_for(
    pool: &BoundedPool,
    tenants: &BTreeSet<TenantNo>,
) -> Result<Transaction<'static, Postgres>, StoreError> {
    Ok(pool.begin_with(opening(tenants)).await?)
}

/// The statements that begin a transaction which sees these tenants.
pub(crate) fn opening(tenants: &BTreeSet<TenantNo>) -> String {
    let list: Vec<String> = tenants.iter().map(|t| tenant_i32(*t).to_string()).collect();
    // The numbers are ours here too.
    format!("BEGIN; SELECT set_config('settla.tenants', '{{{}}}', true)", list.join(","))
}
