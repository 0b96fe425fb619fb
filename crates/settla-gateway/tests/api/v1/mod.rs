mod ledger;
mod me;
mod quotes;
mod transfers;
mod treasury;
mod webhook_endpoints;
