//! Webhooks, as their tenant sees and changes them.

mod delivery;
mod endpoint;
mod redelivery;

pub use delivery::{AttemptRow, DeliveryFilter, DeliveryRow, deliveries, delivery};
pub use endpoint::{
    EndpointChange, EndpointMade, EndpointRow, NewEndpoint, change_endpoint, create_endpoint, delete_endpoint,
    endpoint, endpoints, rotate_secret,
};
pub use redelivery::{NewRedelivery, RedeliveryRow, Which, redeliver, redeliver_range, redelivery, send_test};

use super::asked::{Asked, Tx, Used, audit, claim_key};

/// What came of it.
#[derive(Debug)]
pub enum Changed<T> {
    /// It was made.
    Made(T),
    /// The key was used before.
    Before(Used),
    /// There is nothing of that id.
    Absent,
    /// The endpoint is not enabled.
    Disabled,
    /// The event is pending for the endpoint already.
    Pending,
}
