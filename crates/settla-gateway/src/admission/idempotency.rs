//! The `Idempotency-Key` header (draft-ietf-httpapi-idempotency-key-header) and the fingerprint of a request.
//!
//! The draft wants a structured-field string, `"8e03…"`; most clients send the value bare. Both are taken, and both
//! spellings are the same key.

use axum::http::{HeaderMap, HeaderName, Method, Uri};
use sha2::{Digest, Sha256};

use crate::problem::Problem;

/// The header.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("idempotency-key");

const LENGTH_MAX: usize = 255;

/// The key, unquoted: 1 to 255 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdempotencyKey(pub(crate) String);

impl IdempotencyKey {
    /// Every mutation must carry exactly one.
    pub(super) fn required(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut values = headers.get_all(HEADER).iter();
        let Some(value) = values.next() else {
            let detail = "Send an Idempotency-Key header: a new value for each new request, the same for a repeat.";
            return Err(Problem::bad_request("idempotency_key_missing", detail).at("idempotency-key"));
        };
        match value.to_str().ok().and_then(parse) {
            Some(key) if values.next().is_none() => Ok(Self(key)),
            _ => {
                let detail = "Send one Idempotency-Key of 1 to 255 visible ASCII characters, quoted or bare.";
                Err(Problem::bad_request("idempotency_key_invalid", detail).at("idempotency-key"))
            }
        }
    }
}

fn parse(text: &str) -> Option<String> {
    let key = match text.strip_prefix('"') {
        Some(rest) => unescape(rest.strip_suffix('"')?)?,
        // A quote inside would leave open which spelling is meant.
        None if text.contains('"') => return None,
        None => text.to_owned(),
    };
    let usable = (1..=LENGTH_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    usable.then_some(key)
}

/// The inside of an sf-string (RFC 9651): a backslash escapes a quote or a backslash and nothing else.
fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return None,
            '\\' => out.push(chars.next().filter(|c| matches!(c, '"' | '\\'))?),
            _ => out.push(c),
        }
    }
    Some(out)
}

/// SHA-256 over method, path, query and body, each with its length before it so that no two requests run together.
pub(crate) fn fingerprint(method: &Method, uri: &Uri, body: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [method.as_str().as_bytes(), uri.path().as_bytes(), uri.query().unwrap_or_default().as_bytes(), body] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_and_bare_are_the_same_key() {
        for (text, key) in [
            ("k-1", Some("k-1")),
            ("\"k-1\"", Some("k-1")),
            (r#""a\"b\\c""#, Some(r#"a"b\c"#)),
            (r"a\b", Some(r"a\b")),
            ("", None),
            ("\"\"", None),
            ("\"", None),
            ("\"a", None),
            ("a\"", None),
            ("a b", None),
            ("a, b", None),
            (r#""a\n""#, None),
            (r#""a\""#, None),
            (r#""a"b""#, None),
            ("\"a\";p=1", None),
        ] {
            assert_eq!(parse(text).as_deref(), key, "{text}");
        }
        assert!(parse(&"a".repeat(255)).is_some());
        assert!(parse(&"a".repeat(256)).is_none());
    }

    #[test]
    fn a_fingerprint_covers_every_part() {
        let print =
            |method, uri: &'static str, body: &str| fingerprint(&method, &Uri::from_static(uri), body.as_bytes());
        let base = print(Method::POST, "/v1/a?b=1", "{}");
        assert_eq!(base, print(Method::POST, "/v1/a?b=1", "{}"));
        for other in [
            print(Method::DELETE, "/v1/a?b=1", "{}"),
            print(Method::POST, "/v1/b?b=1", "{}"),
            print(Method::POST, "/v1/a?b=2", "{}"),
            print(Method::POST, "/v1/a?b=1", "{ }"),
            print(Method::POST, "/v1/a?b=", "1{}"),
        ] {
            assert_ne!(base, other);
        }
    }
}
