//! `/docs`: the OpenAPI document as one self-contained page without scripts, made at start.

mod page;

use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("style.css");

/// The page and the policy that lets its own style through, and nothing else.
pub(crate) struct DocsPage {
    html: String,
    policy: String,
}

impl DocsPage {
    pub(crate) fn render(document: &Value) -> Self {
        let style_hash = STANDARD.encode(Sha256::digest(STYLE));
        Self {
            html: page::render(document, STYLE),
            policy: format!("default-src 'none'; style-src 'sha256-{style_hash}'; frame-ancestors 'none'"),
        }
    }

    pub(crate) fn answer(&self) -> Response {
        let headers = [(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, &self.policy)];
        (headers, self.html.clone()).into_response()
    }
}
