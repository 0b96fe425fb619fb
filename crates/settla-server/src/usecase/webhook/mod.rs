//! The tenant's webhook endpoints and deliveries.

mod delivery;
mod endpoint;

pub(super) use delivery::{deliveries, delivery, redeliver, redeliver_range, send_test};
pub(super) use endpoint::{create, delete, get, list, rotate_secret, update};

use super::first_use;
use settla_domain::refusal::Refusal;
use settla_domain::tenant::TenantNo;
use settla_port::error::PortError;
use settla_store::batch::Idempotency;
use settla_store::read::{Changed, Used};
use uuid::Uuid;

const ENDPOINT: &str = "webhook endpoint";
const DELIVERY: &str = "webhook delivery";

/// What a webhook secret is sealed under: it opens for its own endpoint alone.
pub fn secret_label(tenant: TenantNo, endpoint: Uuid) -> String {
    format!("webhook-secret/{}/{endpoint}", tenant.0)
}

/// What was made now, or by an earlier request that was the same.
fn made<T>(changed: Changed<T>, first: &Idempotency, what: &'static str) -> Result<Result<T, Used>, PortError> {
    match changed {
        Changed::Made(made) => Ok(Ok(made)),
        Changed::Before(used) if used.recorded.fingerprint == first.fingerprint => Ok(Err(used)),
        Changed::Before(_) => Err(Refusal::IdempotencyConflict.into()),
        Changed::Absent => Err(PortError::NotFound(what)),
        Changed::Disabled => Err(Refusal::EndpointDisabled.into()),
        Changed::Pending => Err(Refusal::DeliveryPending.into()),
    }
}
