//! `x-request-id`: taken over if it is harmless, else made, and given back in every answer.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

/// The header.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const LENGTH_MAX: usize = 128;

/// The id of a request: 1 to 128 of `A-Z a-z 0-9 . _ -`, so that it cannot break a log line or a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestId(Arc<str>);

impl RequestId {
    /// The caller's id, or a new one if there is none, more than one, or an unusable one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(X_REQUEST_ID).iter();
        let given = match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().ok().filter(|text| is_sane(text)),
            _ => None,
        };
        match given {
            Some(text) => Self(text.into()),
            None => Self(format!("req_{}", Uuid::now_v7().simple()).into()),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).unwrap_or_else(|_| HeaderValue::from_static("invalid"))
    }
}

fn is_sane(text: &str) -> bool {
    (1..=LENGTH_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_for(values: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(X_REQUEST_ID, HeaderValue::from_str(value).unwrap());
        }
        RequestId::of(&headers).as_str().to_owned()
    }

    #[test]
    fn only_harmless_ids_are_taken_over() {
        let longest = "a".repeat(LENGTH_MAX);
        for sane in ["abc", "A.b_c-9", &longest] {
            assert_eq!(id_for(&[sane]), sane);
        }
        for insane in ["", "a b", "a/b", "a\"b", "${jndi}", &"a".repeat(LENGTH_MAX + 1)] {
            let made = id_for(&[insane]);
            assert!(made.starts_with("req_") && is_sane(&made), "{insane}: {made}");
        }
        assert!(id_for(&["a", "b"]).starts_with("req_"));
        assert_ne!(id_for(&[]), id_for(&[]));
    }
}
