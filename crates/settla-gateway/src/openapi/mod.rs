//! The OpenAPI 3.1 document, made from the route table and the schemas of the port's types.

pub(crate) mod example;
mod operation;
mod problems;
mod schema;

use serde_json::{Map, Value, json};

pub(crate) use schema::{Content, TypeDoc};

use crate::endpoint::Endpoint;
use crate::table;
use schema::Components;

const ABOUT: &str = "\
Settla moves money across borders on stablecoin rails.

**Authentication.** Send your key as `Authorization: Bearer sk_test_…` (sandbox) or `sk_live_…` (real money). The key \
decides whose data you see and in which environment. Each operation names the scope that the key needs.

**Idempotency.** Every POST, PATCH and DELETE under `/v1` needs an `Idempotency-Key`, quoted or bare, 1 to 255 visible ASCII \
characters, kept for 24 hours. The same key with the same request gets the first answer, with `Idempotent-Replayed: \
true`, and nothing is done twice; with another request it is refused with 422 `idempotency_conflict`, and while the \
first one runs with 409 `request_in_flight`.

**Amounts** are decimal strings with at most the currency's decimals, `\"1250.00\"`. Never numbers.

**Lists** answer with `data` and, if there is more, `next_cursor`. Cursors are opaque and belong to one list and filter.

**Bodies** are JSON of at most 64 KiB. Unknown fields, fields that are there twice, and unknown query parameters are \
refused.

**Errors** are RFC 9457 problem documents with a stable `code`. Unknown paths answer 404 `route_not_found`, wrong \
methods 405 `method_not_allowed`. Every answer has an `x-request-id`; send your own (1 to 128 of `A-Za-z0-9._-`) or get \
one.";

/// The document as it is served and committed: indented, its members sorted.
pub fn openapi_json() -> String {
    text(&document(&table::endpoints()))
}

pub(crate) fn text(document: &Value) -> String {
    // Indenting a value that has only string keys does not fail.
    serde_json::to_string_pretty(&sorted(document)).unwrap_or_default() + "\n"
}

/// Builds the document.
pub(crate) fn document(endpoints: &[Endpoint]) -> Value {
    let mut components = Components::default();
    problems::register(&mut components);
    let mut paths = Map::new();
    let mut tags: Vec<&str> = Vec::new();
    for endpoint in endpoints {
        let operation = operation::describe(endpoint, &mut components);
        let item = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        item[endpoint.method.as_str().to_ascii_lowercase()] = operation;
        if !tags.contains(&endpoint.docs.tag) {
            tags.push(endpoint.docs.tag);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Settla API",
            "version": "1",
            "description": ABOUT,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": tags.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": components.into_schemas(),
            "responses": problems::responses(),
            "headers": problems::headers(),
            "securitySchemes": {
                "apiKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "sk_live_ or sk_test_ and 64 hex digits",
                },
            },
        },
    })
}

/// Members in order of their names, whatever `serde_json` was built with: the text is compared with a committed one.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut entries: Vec<_> = members.iter().collect();
            entries.sort_by(|a, b| a.0.cmp(b.0));
            Value::Object(entries.into_iter().map(|(name, value)| (name.clone(), sorted(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}
