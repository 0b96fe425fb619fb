//! Reads on behalf of one tenant. Every query names the tenant, and row-level security would hide other
//! tenants' rows if one did not.

pub(crate) mod api_key;
mod asked;
mod idempotency;
mod ledger;
mod settlement;
mod tenant;
mod transfer;
mod treasury;
mod webhook;

pub use api_key::{
    ApiKeyRow, KeyMade, KeyRevoked, NewApiKey, Rotation, api_key, api_keys, create_api_key, note_key_uses,
    rehash_api_key, revoke_api_key, rotate_api_key,
};
pub use asked::{Asked, Used};
pub use idempotency::first_answer;
pub use ledger::{BALANCE_AT, BY_INDEX, PostingRow, balance_at, postings};
pub use settlement::{BatchRow, batches, settlement_batch};
pub use tenant::{KeyMatch, TenantProfile, access_revision, find_api_keys, profiles};
pub use transfer::{EventRow, event_rows, personal_data, quote, transfer, transfers};
pub use treasury::{positions, topups, withdrawals};
pub use webhook::{
    AttemptRow, Changed, DeliveryFilter, DeliveryRow, EndpointChange, EndpointMade, EndpointRow, NewEndpoint,
    NewRedelivery, RedeliveryRow, Which, change_endpoint, create_endpoint, delete_endpoint, deliveries, delivery,
    endpoint, endpoints, redeliver, redeliver_range, redelivery, rotate_secret, send_test,
};
