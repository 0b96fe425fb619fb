//! Writing the webhook deliveries that a batch makes.

use super::write::Writing;
use crate::StoreError;
use crate::row::tenant_i32;
use crate::webhook::hand_over::NewDelivery;
use sqlx::postgres::PgConnection;
use time::OffsetDateTime;

/// Writes them, those that a worker of this process takes over as its first attempt.
pub(super) async fn write(
    tx: &mut PgConnection,
    deliveries: &[NewDelivery],
    at: OffsetDateTime,
    writing: &mut Writing<'_>,
) -> Result<(), StoreError> {
    if deliveries.is_empty() {
        return Ok(());
    }
    let leases: Vec<Option<i64>> =
        deliveries.iter().map(|d| writing.written.handed.delivery(writing.takers, d, writing.begun)).collect();
    writing.written.deliveries_to_claim = leases.iter().any(Option::is_none);
    sqlx::query(
        "INSERT INTO webhook_deliveries (id, tenant, endpoint, event_sequence, event_id, status, attempts, lease_until, next_at, created_at)
         SELECT id, tenant, endpoint, sequence, event, 'pending', CASE WHEN lease IS NULL THEN 0 ELSE 1 END,
             now() + lease * interval '1 millisecond', coalesce(now() + lease * interval '1 millisecond', $7), $7
         FROM unnest($1::uuid[], $2::int[], $3::uuid[], $4::bigint[], $5::uuid[], $6::bigint[]) k (id, tenant, endpoint, sequence, event, lease)",
    )
    .bind(deliveries.iter().map(|d| d.id).collect::<Vec<_>>())
    .bind(deliveries.iter().map(|d| tenant_i32(d.tenant)).collect::<Vec<_>>())
    .bind(deliveries.iter().map(|d| d.endpoint).collect::<Vec<_>>())
    .bind(deliveries.iter().map(|d| d.sequence).collect::<Vec<_>>())
    .bind(deliveries.iter().map(|d| d.event_id).collect::<Vec<_>>())
    .bind(leases)
    .bind(at)
    .execute(&mut *tx)
    .await?;
    Ok(())
}
