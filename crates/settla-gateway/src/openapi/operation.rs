//! From a row of the table to an operation of the document.

use serde_json::{Map, Value, json};

use super::problems::{self, ErrorDoc};
use super::schema::{Components, Content, header_reference};
use crate::admission::IDEMPOTENCY_KEY;
use crate::endpoint::{Access, Endpoint};

pub(super) fn describe(endpoint: &Endpoint, components: &mut Components) -> Value {
    let docs = &endpoint.docs;
    let mut operation = json!({
        "operationId": docs.operation,
        "tags": [docs.tag],
        "summary": docs.summary,
        "parameters": parameters(endpoint),
        "responses": responses(endpoint, components),
        "security": match endpoint.access {
            Access::Key(scope) => json!([{ "apiKey": [scope.name()] }]),
            _ => json!([]),
        },
    });
    if !docs.about.is_empty() {
        operation["description"] = docs.about.into();
    }
    if let Some((doc, example)) = docs.takes {
        let example: Value = serde_json::from_str(example).unwrap_or_default();
        operation["requestBody"] = json!({
            "required": true,
            "content": { "application/json": { "schema": components.of(doc), "example": example } },
        });
    } else if endpoint.access == Access::Signed {
        operation["requestBody"] = json!({
            "required": true,
            "content": { "application/json": { "schema": { "type": "object" } } },
        });
    }
    operation
}

fn parameters(endpoint: &Endpoint) -> Vec<Value> {
    let required = |place: &str, name: &str, about: &str, schema: Value| json!({ "in": place, "name": name, "required": true, "description": about, "schema": schema });
    let text = || json!({ "type": "string" });
    let mut parameters = Vec::new();
    for name in path_parameters(endpoint.path) {
        parameters.push(required("path", name, "Of what the path names.", text()));
    }
    for param in endpoint.query {
        parameters.push(json!({
            "in": "query", "name": param.name, "required": false, "description": param.about, "schema": (param.schema)(),
        }));
    }
    match endpoint.access {
        Access::Key(_) if endpoint.mutates => {
            let schema = json!({ "type": "string", "minLength": 1, "maxLength": 257 });
            let about = "New for each new request, the same for a repeat. Quoted or bare.";
            parameters.push(required("header", IDEMPOTENCY_KEY.as_str(), about, schema));
        }
        Access::Signed => {
            parameters.push(required("header", "webhook-id", "The event, the same over repeats.", text()));
            parameters.push(required("header", "webhook-timestamp", "Unix seconds of this attempt.", text()));
            parameters.push(required("header", "webhook-signature", "`v1,` and base64; several by spaces.", text()));
        }
        _ => {}
    }
    parameters.push(json!({
        "in": "header", "name": "x-request-id", "required": false,
        "description": "An id of your own for this request.",
        "schema": { "type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$" },
    }));
    parameters
}

/// The names between braces.
fn path_parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn responses(endpoint: &Endpoint, components: &mut Components) -> Map<String, Value> {
    let mut responses = Map::new();
    let mut add = |error: &ErrorDoc| responses.insert(error.status.as_str().to_owned(), error.reference());
    add(&problems::BAD_REQUEST);
    add(&problems::INTERNAL);
    if endpoint.access != Access::Probe {
        add(&problems::UNAVAILABLE);
        add(&problems::TIMEOUT);
    }
    if let Access::Key(_) = endpoint.access {
        add(&problems::UNAUTHENTICATED);
        add(&problems::FORBIDDEN);
        add(&problems::RATE_LIMITED);
    }
    if endpoint.access == Access::Signed {
        add(&problems::BAD_SIGNATURE);
    }
    if path_parameters(endpoint.path).next().is_some() {
        add(&problems::NOT_FOUND);
    }
    if endpoint.mutates || endpoint.docs.takes.is_some() {
        add(&problems::BODY_TIMEOUT);
        add(&problems::BODY_TOO_LARGE);
        if let Access::Key(_) = endpoint.access
            && endpoint.mutates
        {
            add(&problems::CONFLICT);
        }
        if endpoint.docs.takes.is_some() {
            add(&problems::UNSUPPORTED_MEDIA_TYPE);
        }
    }
    let mutates = matches!(endpoint.access, Access::Key(_)) && endpoint.mutates;
    if mutates || !endpoint.docs.refuses.is_empty() {
        let own = mutates.then_some("idempotency_conflict");
        let codes = own.into_iter().chain(endpoint.docs.refuses.iter().map(|refusal| refusal.code()));
        let codes: Vec<_> = codes.map(|code| format!("`{code}`")).collect();
        let about = format!("A business rule says no, and nothing has changed: {}.", codes.join(", "));
        responses.insert(problems::REFUSED.status.as_str().to_owned(), problems::REFUSED.response(&about));
    }
    if let Some((status, content)) = &endpoint.docs.gives {
        let mut headers = Map::new();
        headers.insert("x-request-id".into(), header_reference("RequestId"));
        // An answer without a body is the same the second time; there is nothing to tell apart.
        if mutates && !matches!(content, Content::Nothing) {
            headers.insert("Idempotent-Replayed".into(), header_reference("IdempotentReplayed"));
        }
        if let Access::Key(_) = endpoint.access {
            headers.extend(problems::rate_headers());
        }
        if endpoint.docs.located {
            headers.insert("Location".into(), header_reference("Location"));
        }
        let mut response = json!({
            "description": status.canonical_reason().unwrap_or_default(),
            "headers": headers,
        });
        if let Content::Html = content {
            response["content"] = json!({ "text/html": { "schema": { "type": "string" } } });
        } else if let Some(media) = components.of_content(content) {
            response["content"] = json!({ "application/json": media });
        }
        responses.insert(status.as_str().to_owned(), response);
    }
    responses
}
