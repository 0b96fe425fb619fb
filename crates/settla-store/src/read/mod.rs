//! Reads on behalf of one tenant. Every query names the tenant, and row-level security would hide other
//! tenants' rows if one did not.

mod idempotency;
mod ledger;
mod settlement;
mod tenant;
mod transfer;
mod treasury;
mod webhook;

pub use idempotency::first_answer;
pub use ledger::{BALANCE_AT, BY_INDEX, PostingRow, balance_at, postings};
pub use settlement::{BatchRow, batches, settlement_batch};
pub use tenant::{KeyMatch, TenantProfile, find_api_key, profile};
pub use transfer::{EventRow, SealedRow, event_rows, personal_data, quote, transfer, transfers};
pub use treasury::{positions, topups, withdrawals};
pub use webhook::{
    AttemptRow, DeliveryRow, EndpointMade, EndpointRow, NewEndpoint, create_endpoint, delete_endpoint, deliveries,
    endpoint, endpoints,
};
