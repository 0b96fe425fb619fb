//! What the double answers with.

use settla_domain::id::{EndpointId, QuoteId, TransferId};
pub use settla_gateway::sample::*;

pub fn quote_id() -> QuoteId {
    quote().id
}

pub fn transfer_id() -> TransferId {
    transfer().id
}

pub fn endpoint_id() -> EndpointId {
    endpoint().id
}
