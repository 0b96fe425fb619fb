//! What handlers take from a request, with problem details for what is wrong with it.

use axum::{
    extract::{FromRequest, FromRequestParts, Query, Request},
    http::{HeaderMap, StatusCode, request::Parts},
};
use serde::{Deserialize, de::DeserializeOwned};
use uuid::Uuid;

use super::Problem;

/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = axum::body::Bytes::from_request(request, state).await.map_err(|rejection| {
            Problem::new(rejection.status(), "body_refused", "The body is too large or was cut off.")
        })?;
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "invalid_body", error.to_string()))
    }
}

/// The `Idempotency-Key` header, which every start must carry.
pub(crate) struct IdempotencyKey(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        optional_idempotency_key(&parts.headers)?.map(Self).ok_or_else(|| {
            Problem::new(StatusCode::BAD_REQUEST, "idempotency_key_missing", "Send an Idempotency-Key header.")
        })
    }
}

/// The key, bare or as the quoted string of the IETF draft.
pub(crate) fn optional_idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let bare = value.to_str().ok().map(|text| text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text));
    match bare {
        Some(key) if values.next().is_none() && (1..=255).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "idempotency_key_invalid",
            "Send one Idempotency-Key of 1 to 255 visible characters.",
        )),
    }
}

/// An id from the path; what is not an id is not found.
pub(crate) fn path_id(text: &str, missing: &'static str) -> Result<Uuid, Problem> {
    text.parse().map_err(|_| Problem::not_found(missing))
}

/// A page of a statement: entries with a higher sequence number than `after`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    #[serde(default)]
    pub(crate) after: u64,
    #[serde(default = "page_default")]
    limit: usize,
}

/// Most entries on a page.
const PAGE_MAX: usize = 1_000;

fn page_default() -> usize {
    100
}

impl Page {
    /// Cuts the page out of entries that are numbered from 1 without gaps, and says where the next one starts.
    pub(crate) fn cut<'a, T>(&self, entries: &'a [T]) -> (&'a [T], u64) {
        let start = usize::try_from(self.after).unwrap_or(usize::MAX).min(entries.len());
        let end = (start + self.limit).min(entries.len());
        let page = &entries[start..end];
        (page, if page.is_empty() { self.after } else { end as u64 })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Page {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Query::<Self>::try_from_uri(&parts.uri)
            .ok()
            .map(|query| query.0)
            .filter(|page| (1..=PAGE_MAX).contains(&page.limit))
            .ok_or_else(|| {
                let detail = "`after` is a sequence number, `limit` 1 to 1000.";
                Problem::new(StatusCode::BAD_REQUEST, "invalid_page", detail)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::{Page, optional_idempotency_key};
    use axum::http::{HeaderMap, HeaderValue};

    #[test]
    fn pages_follow_one_another_and_end_where_they_began() {
        let entries: Vec<u64> = (1..=25).collect();
        let page = |after| Page { after, limit: 10 }.cut(&entries).1;
        assert_eq!([page(0), page(10), page(20), page(25), page(99)], [10, 20, 25, 25, 99]);
        assert_eq!(Page { after: 20, limit: 10 }.cut(&entries).0, [21, 22, 23, 24, 25]);
    }

    #[test]
    fn keys_are_taken_bare_or_quoted_and_once() {
        let headers = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("idempotency-key", HeaderValue::from_static(value));
            }
            optional_idempotency_key(&headers)
        };
        assert_eq!(headers(&["k1"]).unwrap().as_deref(), Some("k1"));
        assert_eq!(headers(&["\"k1\""]).unwrap().as_deref(), Some("k1"));
        assert_eq!(headers(&[]).unwrap(), None);
        assert!(headers(&["a", "b"]).is_err());
        assert!(headers(&[""]).is_err());
    }
}
