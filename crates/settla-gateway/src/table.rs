//! The route table: every path that is served, who may call it, and what stands in the documentation about it. The
//! router and the OpenAPI document are both built from it, so neither can know a route that the other does not.

use axum::http::{Method, StatusCode};
use serde_json::json;
use settla_domain::refusal::Refusal;
use settla_domain::transfer::TransferState;
use settla_port::api_key::{CreateApiKey, RotateApiKey};
use settla_port::caller::Scope;
use settla_port::page::PAGE_SIZE_MAX;
use settla_port::quote::CreateQuote;
use settla_port::rate_limit::RateClass;
use settla_port::settlement::SettlementBatchView;
use settla_port::transfer::CreateTransfer;
use settla_port::treasury::{CreateTopup, CreateWithdrawal};
use settla_port::webhook::{CreateEndpoint, CreateRedelivery, DeliveryStatus, RotateSecret, UpdateEndpoint};

use crate::admission::Param;
use crate::api::{
    api_keys, health, ledger, me, providers, quotes, reference, settlements, transfers, treasury, webhooks,
};
use crate::endpoint::{Access, Endpoint, RouteInfo, endpoint};
use crate::openapi::{Content, example};
use crate::sample;

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PATCH: Method = Method::PATCH;
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

const DELIVERY_PAGE: &[Param] = &[
    LIMIT,
    CURSOR,
    Param {
        name: "endpoint_id",
        about: "Only deliveries to this endpoint.",
        schema: || json!({ "type": "string", "pattern": "^whe_[0-9a-f]{32}$" }),
    },
    Param {
        name: "status",
        about: "Only deliveries that stand so.",
        schema: || json!({ "type": "string", "enum": DeliveryStatus::ALL.map(DeliveryStatus::name) }),
    },
];
const INSTANT: &[Param] = &[Param {
    name: "at",
    about: "The balance at this instant, which must not be in the future.",
    schema: || json!({ "type": "string", "format": "date-time" }),
}];

/// All rows, without what only this crate needs.
pub fn routes() -> Vec<RouteInfo> {
    endpoints()
        .into_iter()
        .map(|row| RouteInfo { method: row.method, path: row.path, access: row.access, mutates: row.mutates })
        .collect()
}

/// All rows.
pub(crate) fn endpoints() -> Vec<Endpoint> {
    let groups =
        [quote_rows(), transfer_rows(), treasury_rows(), ledger_rows(), webhook_rows(), key_rows(), other_rows()];
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
                Refusal::RouteNotAvailable,
                Refusal::AmountTooSmall,
                Refusal::AmountOutOfRange,
            ]),
        endpoint(POST, "/v1/routes", Access::Key(Scope::Quotes), quotes::routes)
            .asks()
            .counts_as(RateClass::Quotes)
            .named("listRoutes", "Quotes", "Compare the ways that a transfer could take")
            .about("Every way with its price and its score, the best first: cost 40, speed 30, liquidity 20 and reliability 10 points. A quote takes the first. Nothing is kept and nothing is promised.")
            .takes::<CreateQuote>(example::QUOTE)
            .gives(OK, Content::list(&sample::route()))
            .refuses(&[
                Refusal::CorridorNotOffered,
                Refusal::RouteNotAvailable,
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
        endpoint(GET, "/v1/webhook-endpoints/{id}", Access::Key(Scope::Read), webhooks::show)
            .named("getWebhookEndpoint", "Webhooks", "Get a webhook endpoint")
            .gives(OK, Content::one(&sample::endpoint())),
        endpoint(PATCH, "/v1/webhook-endpoints/{id}", Access::Key(Scope::Webhooks), webhooks::update)
            .named("updateWebhookEndpoint", "Webhooks", "Change a webhook endpoint")
            .about("Its address, its event types, or whether it is enabled: an endpoint that answered 410 Gone is disabled until you enable it. What happened meanwhile was not kept for it; `redeliveries` brings it.")
            .takes::<UpdateEndpoint>(example::ENDPOINT_UPDATE)
            .gives(NO_CONTENT, Content::Nothing),
        endpoint(DELETE, "/v1/webhook-endpoints/{id}", Access::Key(Scope::Webhooks), webhooks::delete)
            .named("deleteWebhookEndpoint", "Webhooks", "Remove a webhook endpoint")
            .about("Deliveries to it that were not made are dropped, and its secrets are erased.")
            .gives(NO_CONTENT, Content::Nothing),
        endpoint(POST, "/v1/webhook-endpoints/{id}/secret", Access::Key(Scope::Webhooks), webhooks::rotate_secret)
            .named("rotateWebhookSecret", "Webhooks", "Give a webhook endpoint a new secret")
            .about("The answer shows the secret; a replay of the request does not show it again. The secret before it signs too for `overlap_s` seconds (a day if not said otherwise): `webhook-signature` then has two signatures, the new secret's first, and one that fits is enough. Then it is erased. At most two secrets sign: a second rotation within the overlap ends the oldest at once.")
            .takes::<RotateSecret>(example::SECRET)
            .gives(CREATED, webhooks::rotated_content()),
        endpoint(POST, "/v1/webhook-endpoints/{id}/test", Access::Key(Scope::Webhooks), webhooks::send_test)
            .named("testWebhookEndpoint", "Webhooks", "Send a test event to a webhook endpoint")
            .about("An event of type `webhook.test` with `sequence` 0, to this endpoint alone, signed like any other and sent once. 409 `endpoint_disabled` if the endpoint is.")
            .gives(CREATED, Content::one(&sample::test_delivery()))
            .located(),
        endpoint(POST, "/v1/webhook-endpoints/{id}/redeliveries", Access::Key(Scope::Webhooks), webhooks::redeliver_range)
            .named("createWebhookRedelivery", "Webhooks", "Deliver a range of events again")
            .about("Events by their `sequence`, at most 1,000 numbers at once, of the types that the endpoint has now, whether they were to be delivered to it before or not. Each is a new delivery of the same event, with the same `webhook-id` and body; what is pending already is left alone. 409 `endpoint_disabled` if the endpoint is.")
            .takes::<CreateRedelivery>(example::REDELIVERY)
            .gives(CREATED, Content::one(&sample::redelivery())),
        endpoint(GET, "/v1/webhook-deliveries", Access::Key(Scope::Read), webhooks::deliveries)
            .named("listWebhookDeliveries", "Webhooks", "List deliveries with their attempts, newest first")
            .query(DELIVERY_PAGE)
            .gives(OK, Content::page(&sample::delivery())),
        endpoint(GET, "/v1/webhook-deliveries/{id}", Access::Key(Scope::Read), webhooks::delivery)
            .named("getWebhookDelivery", "Webhooks", "Get a delivery with its attempts")
            .about("There are at most ten, over about 75 hours.")
            .gives(OK, Content::one(&sample::delivery())),
        endpoint(POST, "/v1/webhook-deliveries/{id}/redeliver", Access::Key(Scope::Webhooks), webhooks::redeliver)
            .named("redeliverWebhook", "Webhooks", "Deliver the event of a delivery once more")
            .about("As a new delivery with attempts of its own, with the same `webhook-id` and body. 409 `delivery_pending` while the event is on its way to the endpoint, 409 `endpoint_disabled` if the endpoint is.")
            .gives(CREATED, Content::one(&sample::new_delivery()))
            .located(),
    ]
}

fn key_rows() -> Vec<Endpoint> {
    vec![
        endpoint(POST, "/v1/api-keys", Access::Key(Scope::Keys), api_keys::create)
            .named("createApiKey", "API keys", "Make an API key")
            .about("The answer shows the key; nobody can show it again, nor does a replay of the request. It may do no more than the key of the request, from no other addresses, and for no longer. At most 100 keys are good at once.")
            .takes::<CreateApiKey>(example::API_KEY)
            .gives(CREATED, api_keys::created_content())
            .located(),
        endpoint(GET, "/v1/api-keys", Access::Key(Scope::Keys), api_keys::list)
            .named("listApiKeys", "API keys", "List API keys, newest first")
            .about("Of this environment, with those that have expired or were revoked.")
            .query(PAGE)
            .gives(OK, Content::page(&sample::api_key())),
        endpoint(GET, "/v1/api-keys/{id}", Access::Key(Scope::Keys), api_keys::show)
            .named("getApiKey", "API keys", "Get an API key")
            .gives(OK, Content::one(&sample::api_key())),
        endpoint(POST, "/v1/api-keys/{id}/rotate", Access::Key(Scope::Keys), api_keys::rotate)
            .named("rotateApiKey", "API keys", "Replace an API key by a new one")
            .about("The new key has the name, scopes and addresses of the present one, which works for `overlap_s` seconds more (a day if not said otherwise) and is then none any more. The key of the request may do all that the other one may, from wherever that may: whoever rotates a key has the new one. The answer shows the key; a replay of the request does not.")
            .takes::<RotateApiKey>(example::KEY_ROTATION)
            .gives(CREATED, api_keys::rotated_content())
            .located(),
        endpoint(DELETE, "/v1/api-keys/{id}", Access::Key(Scope::Keys), api_keys::revoke)
            .named("revokeApiKey", "API keys", "Revoke an API key")
            .about("For good, and everywhere within a second. Whoever may manage keys may revoke any of them. It stays in the list. One that is revoked already stays as it is.")
            .gives(NO_CONTENT, Content::Nothing),
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
