//! Query parameters: only those that the row of the table names, each at most once.

use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::http::Uri;
use axum::http::request::Parts;
use serde_json::Value;
use settla_port::page::{PAGE_SIZE_MAX, PageRequest};

use crate::problem::Problem;

/// Items of a page if the caller does not say.
pub(crate) const PAGE_SIZE_DEFAULT: u16 = 50;
/// Longest cursor that is looked at; ours are far shorter.
const CURSOR_LENGTH_MAX: usize = 1_024;

/// A parameter that a row allows.
pub(crate) struct Param {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Its JSON schema, for the documentation.
    pub(crate) schema: fn() -> Value,
}

/// The parameters of a request, decoded.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn strict(uri: &Uri, allowed: &[Param]) -> Result<Self, Problem> {
        let axum::extract::Query(pairs) = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|_| Problem::bad_request("invalid_query", "The query string cannot be decoded."))?;
        for (index, (name, _)) in pairs.iter().enumerate() {
            // Bounded: at most one more than there are parameters is compared before the request is refused.
            if !allowed.iter().any(|param| param.name == name) {
                let shown: String = name.chars().take(64).collect();
                return Err(Problem::bad_request("unknown_parameter", "There is no such query parameter.").at(shown));
            }
            if pairs[..index].iter().any(|(earlier, _)| earlier == name) {
                let problem = Problem::bad_request("duplicate_parameter", "The query parameter is there twice.");
                return Err(problem.at(name));
            }
        }
        Ok(Self(pairs))
    }

    /// The decoded value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// A parameter that must be of a certain form if it is there.
    pub(crate) fn parse<T: FromStr>(&self, name: &str, form: &str) -> Result<Option<T>, Problem> {
        let parsed = self.get(name).map(str::parse).transpose();
        parsed.map_err(|_| invalid(name, form))
    }

    /// `limit` and `cursor`.
    pub(crate) fn page(&self) -> Result<PageRequest, Problem> {
        let form = format!("a number from 1 to {PAGE_SIZE_MAX}");
        let limit = match self.get("limit") {
            None => PAGE_SIZE_DEFAULT,
            // `str::parse` alone would take `+5` and `005` too.
            Some(text) if text.starts_with(['+', '0']) => return Err(invalid("limit", &form)),
            Some(_) => self.parse::<u16>("limit", &form)?.unwrap_or(PAGE_SIZE_DEFAULT),
        };
        if !(1..=PAGE_SIZE_MAX).contains(&limit) {
            return Err(invalid("limit", &form));
        }
        let cursor = self.get("cursor").map(str::to_owned);
        if cursor.as_ref().is_some_and(|text| text.is_empty() || text.len() > CURSOR_LENGTH_MAX) {
            return Err(settla_port::error::PortError::BadCursor.into());
        }
        Ok(PageRequest { limit, cursor })
    }
}

/// A parameter of the wrong form.
pub(crate) fn invalid(name: &str, form: &str) -> Problem {
    Problem::bad_request("invalid_parameter", format!("The query parameter `{name}` must be {form}.")).at(name)
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_bounded() {
        let page = |pairs: &[(&str, &str)]| {
            Query(pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()).page()
        };
        assert_eq!(page(&[]).unwrap(), PageRequest { limit: PAGE_SIZE_DEFAULT, cursor: None });
        for (text, limit) in [("1", 1), ("200", 200)] {
            assert_eq!(
                page(&[("limit", text), ("cursor", "c")]).unwrap(),
                PageRequest { limit, cursor: Some("c".into()) }
            );
        }
        for bad in ["0", "201", "-1", "+5", "05", "1.0", "", "x", "99999999"] {
            assert!(page(&[("limit", bad)]).is_err(), "{bad}");
        }
        assert!(page(&[("cursor", "")]).is_err());
        assert!(page(&[("cursor", &"c".repeat(CURSOR_LENGTH_MAX + 1))]).is_err());
    }
}
