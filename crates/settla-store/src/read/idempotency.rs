//! First answers, for requests that cannot be decided now but may have been before.

use crate::StoreError;
use crate::batch::{Recorded, recorded};
use crate::bounded::BoundedPool;
use crate::row::tenant_i32;
use crate::tenant_tx;
use settla_domain::tenant::TenantNo;

/// What an idempotency key was used for.
pub async fn first_answer(app: &BoundedPool, tenant: TenantNo, key: &str) -> Result<Option<Recorded>, StoreError> {
    let mut tx = tenant_tx::begin(app, tenant).await?;
    let row = sqlx::query("SELECT * FROM idempotency WHERE tenant = $1 AND key = $2")
        .bind(tenant_i32(tenant))
        .bind(key)
        .fetch_optional(&mut *tx)
        .await?;
    row.as_ref().map(recorded).transpose()
}
