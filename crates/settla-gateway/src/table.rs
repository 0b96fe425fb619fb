//! The route table: every path that is served, who may call it, and what stands in the documentation about it. The
//! router and the OpenAPI document are both built from it, so neither can know a route that the other does not.

use axum::http::{Method, StatusCode};
use serde_json::json;
use settla_domain::refusal::Refusal;
use settla_domain::transfer::TransferState;
use settla_port::caller::Scope;
use settla_port::page::PAGE_SIZE_MAX;
use settla_port::quote::CreateQuote;
use settla_port::rate_limit::RateClass;
use settla_port::settlement::SettlementBatchView;
use settla_port::transfer::CreateTransfer;
use settla_port::treasury::{CreateTopup, CreateWithdrawal};
use settla_port::webhook::CreateEndpoint;

use crate::admission::Param;
use crate::api::{health, ledger, me, providers, quotes, reference, settlements, transfers, treasury, webhooks};
use crate::endpoint::{Access, Endpoint, RouteInfo, endpoint};
use crate::openapi::{Content, example};
use crate::sample;

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const DELETE: Method = Method::DELETE;

const OK: StatusCode = StatusCode::OK;
const CREATED: StatusCode = StatusCode::CREATED;
const NO_CONTENT: StatusCode = StatusCode::NO_CONTENT;

const LIMIT: Param = Param {
    name: "limit",
    about: "Most items of the page.",
    schema: || json!({ "type": "integer", "minimum": 1, "maximum": PAGE_SIZE_MAX, "default": 50 }),
};
const CURSOR: Param = Param {
    name: "cursor",
    about: "The `next_cursor` of the page before, with the same other parameters.",
    schema: || json!({ "type": "string" }),
};
const PAGE: &[Param] = &[LIMIT, CURSOR];
const TRANSFER_PAGE: &[Param] = &[
    LIMIT,
    CURSOR,
    Param {
        name: "state",
        about: "Only transfers in this state.",
        schema: || json!({ "type": "string", "enum": TransferState::ALL.map(TransferState::name) }),
    },
    Param {
        name: "reference",
        about: "Only transfers with this reference of yours.",
        schema: || json!({ "type": "string", "minLength": 1, "maxLength": 64 }),
    },
];
const POSTING_PAGE: &[Param] = &[
    LIMIT,
    CURSOR,
    Param {
        name: "transfer_id",
        about: "Only postings of this transfer.",
        schema: || json!({ "type": "string", "pattern": "^tr_[0-9a-f]{32}$" }),
    },
    Param {
        name: "account",
        about: "Only postings that touch this ledger account.",
        schema: || json!({ "type": "string", "maxLength": 64 }),
    },
];

const INSTANT: &[Param] = &[Param {
    name: "at",
    about: "The balance at this instant, which must not be in the future.",
    schema: || json!({ "type": "string", "format": "date-time" }),
}];

/// All rows, without what only this crate needs.
pub fn routes() -> Vec<RouteInfo> {
    endpoints().into_iter().map(|row| RouteInfo { method: row.method, path: row.path, access: row.access }).collect()
}

/// All rows.
pub(crate) fn endpoints() -> Vec<Endpoint> {
    let groups = [quote_rows(), transfer_rows(), treasury_rows(), ledger_rows(), webhook_rows(), other_rows()];
    groups.into_iter().flatten().collect()
}

fn quote_rows() -> Vec<Endpoint> {
    vec![
        endpoint(POST, "/v1/quotes", Access::Key(Scope::Quotes), quotes::create)
            .counts_as(RateClass::Quotes)
            .named("createQuote", "Quotes", "Price a transfer")
            .about("Give exactly one of `source_amount` and `destination_amount`. The quote is bound to its amounts and currencies, expires, and can be used once.")
            .takes::<CreateQuote>(example::QUOTE)
            .gives(CREATED, Content::one(&sample::quote()))
            .located()
            .refuses(&[
                Refusal::TenantNotActive,
                Refusal::CorridorNotOffered,
                Refusal::AmountTooSmall,
                Refusal::AmountOutOfRange,
            ]),
        endpoint(GET, "/v1/quotes/{id}", Access::Key(Scope::Read), quotes::show)
            .named("getQuote", "Quotes", "Get a quote")
            .gives(OK, Content::one(&sample::quote())),
    ]
}

fn transfer_rows() -> Vec<Endpoint> {
    vec![
        endpoint(POST, "/v1/transfers", Access::Key(Scope::Transfers), transfers::create)
            .counts_as(RateClass::Transfers)
            .named("createTransfer", "Transfers", "Start a transfer")
            .about("Uses up a quote and sets its debit aside in the same step, or is refused and changes nothing.")
            .takes::<CreateTransfer>(example::TRANSFER)
            .gives(CREATED, Content::one(&sample::transfer()))
            .located()
            .refuses(&[
                Refusal::TenantNotActive,
                Refusal::QuoteNotFound,
                Refusal::QuoteExpired,
                Refusal::QuoteUsed,
                Refusal::InsufficientFunds,
                Refusal::LimitPerTransfer,
                Refusal::LimitPerDay,
                Refusal::LimitPending,
                Refusal::CorridorNotOffered,
            ]),
        endpoint(GET, "/v1/transfers", Access::Key(Scope::Read), transfers::list)
            .named("listTransfers", "Transfers", "List transfers, newest first")
            .query(TRANSFER_PAGE)
            .gives(OK, Content::page(&sample::completed_transfer())),
        endpoint(GET, "/v1/transfers/{id}", Access::Key(Scope::Read), transfers::show)
            .named("getTransfer", "Transfers", "Get a transfer")
            .gives(OK, Content::one(&sample::completed_transfer())),
        endpoint(GET, "/v1/transfers/{id}/events", Access::Key(Scope::Read), transfers::events)
            .named("listTransferEvents", "Transfers", "List what happened to a transfer, oldest first")
            .query(PAGE)
            .gives(OK, Content::page(&sample::event())),
        endpoint(POST, "/v1/transfers/{id}/cancel", Access::Key(Scope::Transfers), transfers::cancel)
            .counts_as(RateClass::Transfers)
            .named("cancelTransfer", "Transfers", "Cancel a transfer")
            .about("Possible until the on-ramp may have been instructed; after that 409 `not_cancellable`.")
            .gives(OK, Content::one(&sample::cancelled_transfer())),
        endpoint(GET, "/v1/settlement-batches", Access::Key(Scope::Read), settlements::list)
            .named(
                "listSettlementBatches",
                "Transfers",
                "List settlement batches that your transfers are in, newest first",
            )
            .about("A batch is one transaction on chain for the tokens of many transfers.")
            .query(PAGE)
            .gives(OK, Content::page(&SettlementBatchView { members: None, ..sample::settlement_batch() })),
        endpoint(GET, "/v1/settlement-batches/{id}", Access::Key(Scope::Read), settlements::show)
            .named("getSettlementBatch", "Transfers", "Get a settlement batch with your transfers in it")
            .gives(OK, Content::one(&sample::settlement_batch())),
    ]
}

fn treasury_rows() -> Vec<Endpoint> {
    vec![
        endpoint(GET, "/v1/treasury/positions", Access::Key(Scope::Read), treasury::positions)
            .counts_as(RateClass::TreasuryReads)
            .named("listPositions", "Treasury", "List positions in all currencies")
            .gives(OK, Content::list(&sample::position())),
        endpoint(GET, "/v1/treasury/positions/{currency}", Access::Key(Scope::Read), treasury::position)
            .counts_as(RateClass::TreasuryReads)
            .named("getPosition", "Treasury", "Get the position in one currency")
            .gives(OK, Content::one(&sample::position())),
        endpoint(POST, "/v1/treasury/topups", Access::Key(Scope::Treasury), treasury::create_topup)
            .named("createTopup", "Treasury", "Announce a top-up")
            .about("Answers with the reference to put into the bank payment. The position grows when the bank has credited us, by what it credited.")
            .takes::<CreateTopup>(example::TOPUP)
            .gives(CREATED, Content::one(&sample::topup()))
            .refuses(&[Refusal::TenantNotActive, Refusal::CorridorNotOffered, Refusal::AmountOutOfRange]),
        endpoint(GET, "/v1/treasury/topups", Access::Key(Scope::Read), treasury::topups)
            .counts_as(RateClass::TreasuryReads)
            .named("listTopups", "Treasury", "List top-ups, newest first")
            .query(PAGE)
            .gives(OK, Content::page(&sample::topup())),
        endpoint(POST, "/v1/treasury/withdrawals", Access::Key(Scope::Treasury), treasury::create_withdrawal)
            .named("createWithdrawal", "Treasury", "Withdraw to a bank account of your own")
            .about("The reference is unique for ever: the same one never pays twice, whatever the Idempotency-Key.")
            .takes::<CreateWithdrawal>(example::WITHDRAWAL)
            .gives(CREATED, Content::one(&sample::withdrawal()))
            .refuses(&[
                Refusal::TenantNotActive,
                Refusal::CorridorNotOffered,
                Refusal::InsufficientFunds,
                Refusal::ReferenceUsed,
            ]),
        endpoint(GET, "/v1/treasury/withdrawals", Access::Key(Scope::Read), treasury::withdrawals)
            .counts_as(RateClass::TreasuryReads)
            .named("listWithdrawals", "Treasury", "List withdrawals, newest first")
            .query(PAGE)
            .gives(OK, Content::page(&sample::withdrawal())),
    ]
}

fn ledger_rows() -> Vec<Endpoint> {
    vec![
        endpoint(GET, "/v1/ledger/accounts", Access::Key(Scope::Read), ledger::accounts)
            .counts_as(RateClass::TreasuryReads)
            .named("listLedgerAccounts", "Ledger", "List your ledger accounts")
            .gives(OK, Content::list(&sample::ledger_account())),
        endpoint(GET, "/v1/ledger/accounts/{id}", Access::Key(Scope::Read), ledger::account)
            .counts_as(RateClass::TreasuryReads)
            .named("getLedgerAccount", "Ledger", "Get a ledger account, as it is or as it was")
            .about("With `at`: the sum of all postings to the account that are stamped with that instant or an earlier one. Postings of the last minute may still be on their way into the ledger, so an answer about an instant is final once that is a minute past.")
            .query(INSTANT)
            .gives(OK, Content::one(&sample::ledger_account())),
        endpoint(GET, "/v1/ledger/postings", Access::Key(Scope::Read), ledger::postings)
            .counts_as(RateClass::TreasuryReads)
            .named("listPostings", "Ledger", "List postings, newest first")
            .query(POSTING_PAGE)
            .gives(OK, Content::page(&sample::posting())),
    ]
}

fn webhook_rows() -> Vec<Endpoint> {
    vec![
        endpoint(POST, "/v1/webhook-endpoints", Access::Key(Scope::Webhooks), webhooks::create)
            .named("createWebhookEndpoint", "Webhooks", "Add a webhook endpoint")
            .about("The answer shows the signing secret; a replay of the request does not show it again.")
            .takes::<CreateEndpoint>(example::ENDPOINT)
            .gives(CREATED, webhooks::created_content())
            .located()
            .refuses(&[Refusal::TenantNotActive]),
        endpoint(GET, "/v1/webhook-endpoints", Access::Key(Scope::Read), webhooks::list)
            .named("listWebhookEndpoints", "Webhooks", "List webhook endpoints")
            .query(PAGE)
            .gives(OK, Content::page(&sample::endpoint())),
        endpoint(DELETE, "/v1/webhook-endpoints/{id}", Access::Key(Scope::Webhooks), webhooks::delete)
            .named("deleteWebhookEndpoint", "Webhooks", "Remove a webhook endpoint")
            .about("Deliveries to it that were not made are dropped.")
            .gives(NO_CONTENT, Content::Nothing),
        endpoint(GET, "/v1/webhook-deliveries", Access::Key(Scope::Read), webhooks::deliveries)
            .named("listWebhookDeliveries", "Webhooks", "List deliveries with their attempts, newest first")
            .query(PAGE)
            .gives(OK, Content::page(&sample::delivery())),
    ]
}

fn other_rows() -> Vec<Endpoint> {
    vec![
        endpoint(GET, "/v1/me", Access::Key(Scope::Read), me::show)
            .named("getMe", "Account", "Who am I, at what fees and limits")
            .gives(OK, Content::one(&sample::me(&[Scope::Read, Scope::Quotes, Scope::Transfers]))),
        endpoint(POST, "/webhooks/providers/{provider}", Access::Signed, providers::receive)
            .named("receiveProviderWebhook", "Providers", "Take in a provider's webhook")
            .about("Signed as Standard Webhooks. No API key and no Idempotency-Key: events are told apart by `webhook-id`. Acknowledged once it is kept durably; repeats are acknowledged too.")
            .gives(NO_CONTENT, Content::Nothing),
        endpoint(GET, "/health/live", Access::Probe, health::live)
            .named("getLiveness", "Health", "Whether the process runs")
            .gives(OK, Content::one(&health::AliveView::new())),
        endpoint(GET, "/health/ready", Access::Public, health::ready)
            .named("getReadiness", "Health", "Whether every dependency answers")
            .about("503 `not_ready` with the same `dependencies` if one of them does not.")
            .gives(OK, Content::one(&health::ReadyView::sample())),
        endpoint(GET, "/v1/openapi.json", Access::Public, reference::openapi)
            .named("getOpenapi", "Reference", "This document")
            .gives(OK, Content::AnyJson),
        endpoint(GET, "/docs", Access::Public, reference::docs)
            .named("getDocs", "Reference", "This document, for reading")
            .gives(OK, Content::Html),
    ]
}
