//! What the server says, as HTTP says it.

use axum::http::StatusCode;
use settla_domain::refusal::Refusal;
use settla_port::error::PortError;

use super::Problem;

/// After the queue was full: it empties in far less than this.
const OVERLOADED_RETRY_S: u32 = 1;
/// After a dependency did not answer.
const UNAVAILABLE_RETRY_S: u32 = 5;
/// After the price feed was found stale: feeds state prices every few seconds.
const RATE_RETRY_S: u32 = 5;

/// After no way was found: providers come back and liquidity is refilled within minutes.
const ROUTE_RETRY_S: u32 = 30;

impl From<PortError> for Problem {
    fn from(error: PortError) -> Self {
        match error {
            PortError::Refused(refusal) => refused(refusal),
            PortError::Invalid { field, code, message } => Self::bad_request(code, message).at(field),
            PortError::NotFound(what) => Self::not_found(what),
            PortError::Unauthenticated => {
                Self::unauthenticated("Bearer error=\"invalid_token\"", "The API key is not valid.")
            }
            PortError::Forbidden(scope) => Self::forbidden(scope),
            PortError::BadSignature => {
                Self::new(StatusCode::FORBIDDEN, "bad_signature", "The webhook's signature is not valid.")
            }
            PortError::InFlight => Self::new(
                StatusCode::CONFLICT,
                "request_in_flight",
                "The first request with this Idempotency-Key is still running; ask again in a moment.",
            ),
            PortError::BadCursor => {
                Self::bad_request("bad_cursor", "The cursor was not made for this list and filter.").at("cursor")
            }
            PortError::Overloaded => {
                Self::unavailable("overloaded", "Too busy; try again in a moment.", OVERLOADED_RETRY_S)
            }
            PortError::Unavailable => {
                Self::unavailable("unavailable", "Temporarily unavailable; try again.", UNAVAILABLE_RETRY_S)
            }
            PortError::Internal => Self::internal(),
        }
    }
}

fn refused(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::RateStale => {
            Problem::unavailable(refusal.code(), "No current exchange rate; try again in a moment.", RATE_RETRY_S)
        }
        Refusal::RouteNotAvailable => Problem::unavailable(
            refusal.code(),
            "No provider can carry this at the moment; try again in a moment or a smaller amount.",
            ROUTE_RETRY_S,
        ),
        // Both parts of the body may be right by themselves; this is the one that names where.
        Refusal::CurrencyNotPaidHere => {
            Problem::bad_request(refusal.code(), refusal.to_string()).at("beneficiary/country")
        }
        Refusal::NotCancellable | Refusal::EndpointDisabled | Refusal::DeliveryPending => {
            Problem::new(StatusCode::CONFLICT, refusal.code(), refusal.to_string())
        }
        _ => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, refusal.code(), refusal.to_string()),
    }
}

/// For handlers whose path names the object: that it is not there is then a 404, not a refusal of the body.
pub(crate) fn of_path(error: PortError) -> Problem {
    match error {
        PortError::Refused(Refusal::QuoteNotFound) => Problem::not_found("quote"),
        PortError::Refused(Refusal::TransferNotFound) => Problem::not_found("transfer"),
        other => other.into(),
    }
}
