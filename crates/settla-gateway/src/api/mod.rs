//! The handlers. Each reads like its policy: what it takes stands in its signature, and it makes one call of the port.

pub(crate) mod api_keys;
pub(crate) mod health;
pub(crate) mod ledger;
pub(crate) mod me;
pub(crate) mod providers;
pub(crate) mod quotes;
pub(crate) mod reference;
pub(crate) mod settlements;
pub(crate) mod transfers;
pub(crate) mod treasury;
pub(crate) mod webhooks;

pub(crate) mod path;

use axum::response::Response;

use crate::problem::Problem;

type Answer = Result<Response, Problem>;
