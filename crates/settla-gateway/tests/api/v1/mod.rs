mod ledger;
mod me;
mod quotes;
mod routes;
mod settlement_batches;
mod transfers;
mod treasury;
mod webhook_endpoints;
