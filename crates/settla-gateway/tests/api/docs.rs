//! The OpenAPI document and its page.

use std::collections::BTreeSet;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use settla_gateway::{Access, openapi_json, routes};

use sha2::{Digest, Sha256};

use crate::support::client::Ask;
use crate::support::start;

/// Set to write the committed document anew.
const UPDATE: &str = "SETTLA_UPDATE_SNAPSHOTS";

fn document() -> Value {
    serde_json::from_str(&openapi_json()).unwrap()
}

/// Path, method and operation of every operation.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(move |(method, operation)| (path.clone(), method.to_ascii_uppercase(), operation.clone()))
    });
    all.collect()
}

#[test]
fn the_committed_document_is_the_one_that_is_served() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    if std::env::var_os(UPDATE).is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, openapi_json()).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == openapi_json(), "docs/openapi.json is out of date; run this test with {UPDATE}=1");
}

#[test]
fn document_and_table_hold_the_same_routes() {
    let documented: BTreeSet<_> = operations(&document()).into_iter().map(|(path, method, _)| (path, method)).collect();
    let rows = routes();
    let served: BTreeSet<_> = rows.iter().map(|route| (route.path.to_owned(), route.method.to_string())).collect();
    assert_eq!(documented, served);
    assert_eq!(rows.len(), served.len(), "a row is there twice");
}

#[test]
fn every_operation_says_what_it_needs_and_how_it_ends() {
    let document = document();
    let mut names = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let place = format!("{method} {path}");
        assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()), "{place}");
        for part in ["summary", "tags"] {
            assert!(!operation[part].is_null(), "{part} of {place}");
        }
        let statuses: BTreeSet<_> = operation["responses"].as_object().unwrap().keys().cloned().collect();
        assert!(statuses.iter().any(|status| status.starts_with('2')), "{place}");
        let route = routes().into_iter().find(|route| route.path == path && route.method == method.as_str()).unwrap();
        if let Access::Key(scope) = route.access {
            assert_eq!(operation["security"][0]["apiKey"][0], scope.name(), "{place}");
            assert!(
                ["400", "401", "403", "500", "503", "504"].iter().all(|status| statuses.contains(*status)),
                "{place}"
            );
            let has_key = operation["parameters"].as_array().unwrap().iter().any(|p| p["name"] == "idempotency-key");
            assert_eq!(has_key, route.mutates, "{place}");
            assert_eq!(statuses.contains("409"), route.mutates, "{place}");
            assert!(statuses.contains("422") || !route.mutates, "{place}");
        } else {
            assert_eq!(operation["security"], serde_json::json!([]), "{place}");
        }
        assert_eq!(statuses.contains("404"), path.contains('{'), "{place}");
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_answer_has_an_example() {
    let document = document();
    let mut references = Vec::new();
    collect_references(&document, &mut references);
    assert!(references.len() > 100);
    for target in references {
        assert!(document.pointer(target.strip_prefix('#').unwrap()).is_some(), "{target}");
    }
    for (path, method, operation) in operations(&document) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            let Some(content) = response.pointer("/content/application~1json") else { continue };
            assert!(content["example"].is_object() || path == "/v1/openapi.json", "{method} {path} {status}");
        }
    }
}

fn collect_references(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(target)) = members.get("$ref") {
                into.push(target.clone());
            }
            members.values().for_each(|member| collect_references(member, into));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, into)),
        _ => {}
    }
}

#[tokio::test]
async fn document_and_page_are_served_to_anybody() {
    let gateway = start().await;
    let answer = Ask::new(gateway.at, "GET", "/v1/openapi.json").send().await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(answer.text(), openapi_json());

    let page = Ask::new(gateway.at, "GET", "/docs").send().await;
    let html = page.text();
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    for route in routes() {
        assert!(html.contains(route.path), "{}", route.path);
    }
    let style = html.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
    let hash = STANDARD.encode(Sha256::digest(style));
    assert!(page.header("content-security-policy").unwrap().contains(&format!("style-src 'sha256-{hash}'")));
    for foreign in ["<script", "http://", "https://cdn", "@import", "src="] {
        assert!(!html.contains(foreign), "{foreign}");
    }
}
