//! Quotes, transfers and their events.

use crate::StoreError;
use crate::batch;
use crate::bounded::BoundedPool;
use crate::data::not_before;
use crate::row::{at, tenant, tenant_i32};
use crate::tenant_tx;
use settla_domain::id::{QuoteId, TransferId};
use settla_domain::quote::Quote;
use settla_domain::tenant::TenantNo;
use settla_domain::time::Timestamp;
use settla_domain::transfer::{Transfer, TransferState};
use sqlx::Row;
use std::collections::HashMap;
use uuid::Uuid;

/// One quote.
pub async fn quote(app: &BoundedPool, tenant: TenantNo, id: QuoteId) -> Result<Option<Quote>, StoreError> {
    let mut tx = tenant_tx::begin(app, tenant).await?;
    let row = sqlx::query("SELECT * FROM quotes WHERE tenant = $1 AND id = $2")
        .bind(tenant_i32(tenant))
        .bind(id.0)
        .fetch_optional(&mut *tx)
        .await?;
    row.as_ref().map(batch::quote).transpose()
}

/// One transfer.
pub async fn transfer(app: &BoundedPool, tenant: TenantNo, id: TransferId) -> Result<Option<Transfer>, StoreError> {
    let mut tx = tenant_tx::begin(app, tenant).await?;
    let row = sqlx::query("SELECT * FROM transfers WHERE tenant = $1 AND id = $2")
        .bind(tenant_i32(tenant))
        .bind(id.0)
        .fetch_optional(&mut *tx)
        .await?;
    row.as_ref().map(batch::transfer).transpose()
}

/// Transfers before `before`, newest first.
pub async fn transfers(
    app: &BoundedPool,
    tenant: TenantNo,
    state: Option<TransferState>,
    reference: Option<&str>,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Transfer>, StoreError> {
    let mut tx = tenant_tx::begin(app, tenant).await?;
    let rows = sqlx::query(
        "SELECT * FROM transfers WHERE tenant = $1 AND ($2::text IS NULL OR state = $2) AND ($3::text IS NULL OR reference = $3)
             AND id < coalesce($4, 'ffffffff-ffff-ffff-ffff-ffffffffffff') ORDER BY id DESC LIMIT $5",
    )
    .bind(tenant_i32(tenant))
    .bind(state.map(TransferState::name))
    .bind(reference)
    .bind(before)
    .bind(limit)
    .fetch_all(&mut *tx)
    .await?;
    rows.iter().map(batch::transfer).collect()
}

/// An event as stored.
#[derive(Debug, Clone)]
pub struct EventRow {
    /// Its id.
    pub id: Uuid,
    /// Its number within the tenant.
    pub sequence: i64,
    /// Its type.
    pub kind: String,
    /// Its data.
    pub data: serde_json::Value,
    /// When it happened.
    pub at: Timestamp,
}

/// Events of a subject after a number, oldest first.
pub async fn event_rows(
    app: &BoundedPool,
    tenant: TenantNo,
    subject: Uuid,
    after: i64,
    limit: i64,
) -> Result<Vec<EventRow>, StoreError> {
    let mut tx = tenant_tx::begin(app, tenant).await?;
    let rows = sqlx::query(
        "SELECT * FROM events WHERE tenant = $1 AND subject = $2 AND sequence > $3 AND id >= $5 ORDER BY sequence LIMIT $4",
    )
    .bind(tenant_i32(tenant))
    .bind(subject)
    .bind(after)
    .bind(limit)
    .bind(not_before(subject))
    .fetch_all(&mut *tx)
    .await?;
    rows.iter()
        .map(|r| {
            Ok(EventRow {
                id: r.try_get("id")?,
                sequence: r.try_get("sequence")?,
                kind: r.try_get("kind")?,
                data: r.try_get("data")?,
                at: at(r, "at")?,
            })
        })
        .collect()
}

/// Sealed personal data of transfers and withdrawals, in three round trips however many there are. Those that have none
/// are left out.
pub async fn personal_data(
    payer: &BoundedPool,
    subjects: &[(TenantNo, Uuid)],
) -> Result<HashMap<(TenantNo, Uuid), batch::SealedParties>, StoreError> {
    let tenants = subjects.iter().map(|(tenant, _)| *tenant).collect();
    let mut tx = tenant_tx::begin_for(payer, &tenants).await?;
    let rows = sqlx::query(
        "SELECT p.* FROM personal_data p JOIN unnest($1::int[], $2::uuid[]) k (tenant, subject)
             ON p.tenant = k.tenant AND p.subject = k.subject",
    )
    .bind(subjects.iter().map(|(tenant, _)| tenant_i32(*tenant)).collect::<Vec<_>>())
    .bind(subjects.iter().map(|(_, subject)| *subject).collect::<Vec<_>>())
    .fetch_all(&mut *tx)
    .await?;
    rows.iter()
        .map(|r| {
            let parties = batch::SealedParties {
                sender_name: r.try_get("sender_name")?,
                sender_account: r.try_get("sender_account")?,
                recipient_name: r.try_get("recipient_name")?,
                recipient_account: r.try_get("recipient_account")?,
                recipient_bank: r.try_get("recipient_bank")?,
            };
            Ok(((tenant(r)?, r.try_get("subject")?), parties))
        })
        .collect()
}
