mod ledger;
mod me;
mod quotes;
mod settlement_batches;
mod transfers;
mod treasury;
mod webhook_deliveries;
mod webhook_endpoints;
