//! RFC 9457 problem details.
//!
//! A [`Problem`] becomes a response without a body that carries it as an extension; the outermost layer
//! [renders](render) it, because only there the request id is known. The same layer turns every other error response
//! (an unknown route, a wrong method) into a problem too, so that no error leaves in another form.

mod port;
mod render;

use std::borrow::Cow;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

pub(crate) use port::of_path;
pub(crate) use render::{render, title};

/// Where problem types are explained; the code follows.
pub(crate) const TYPE_BASE: &str = "https://docs.settla.dev/problems/";

/// The registered type of [`Problem::rate_limited`].
pub(crate) const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

/// An error answer. `code` is for programs, `detail` for people.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    status: StatusCode,
    code: Cow<'static, str>,
    detail: Cow<'static, str>,
    more: Option<Box<More>>,
}

/// What few problems have.
#[derive(Debug, Clone, Default)]
struct More {
    /// A registered problem type, instead of one of ours.
    kind: Option<&'static str>,
    field: Option<String>,
    retry_after_s: Option<u32>,
    challenge: Option<Cow<'static, str>>,
    extension: Option<(&'static str, Value)>,
}

impl Problem {
    pub(crate) fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { status, code: code.into(), detail: detail.into(), more: None }
    }

    /// A defect of ours. What is known of it is in the log.
    pub(crate) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "Something went wrong on our side.")
    }

    /// No usable key.
    pub(crate) fn unauthenticated(challenge: &'static str, detail: &'static str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail).challenging(challenge)
    }

    /// A key without the scope.
    pub(crate) fn forbidden(scope: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", format!("The API key lacks the scope `{scope}`."))
            .challenging(format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\""))
    }

    /// A key that is limited to addresses, from another one.
    pub(crate) fn address_not_allowed() -> Self {
        let detail = "The API key may not be used from this address.";
        Self::new(StatusCode::FORBIDDEN, "address_not_allowed", detail)
    }

    /// There is none, or it is somebody else's: the caller cannot tell which.
    pub(crate) fn not_found(what: &'static str) -> Self {
        let code = format!("{}_not_found", what.replace([' ', '-'], "_"));
        Self::new(StatusCode::NOT_FOUND, code, format!("There is no such {}.", what.replace('_', " ")))
    }

    /// A part of the request that cannot be used.
    pub(crate) fn bad_request(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// Try again later.
    pub(crate) fn unavailable(code: &'static str, detail: &'static str, retry_after_s: u32) -> Self {
        let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail);
        problem.more().retry_after_s = Some(retry_after_s);
        problem
    }

    /// More requests of a class than the tenant may make in a minute. The type is the one registered by
    /// draft-ietf-httpapi-ratelimit-headers.
    pub(crate) fn rate_limited(class: &'static str, retry_after_s: u64) -> Self {
        let detail = format!("More requests of the class `{class}` than you may make in a minute.");
        let mut problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail)
            .with("violated-policies", Value::from(vec![class]));
        let more = problem.more();
        more.kind = Some(QUOTA_EXCEEDED);
        more.retry_after_s = Some(u32::try_from(retry_after_s.max(1)).unwrap_or(u32::MAX));
        problem
    }

    /// Names the part of the request that the problem is with.
    pub(crate) fn at(mut self, field: impl Into<String>) -> Self {
        self.more().field = Some(field.into());
        self
    }

    /// Adds a member.
    pub(crate) fn with(mut self, member: &'static str, value: Value) -> Self {
        self.more().extension = Some((member, value));
        self
    }

    fn challenging(mut self, challenge: impl Into<Cow<'static, str>>) -> Self {
        self.more().challenge = Some(challenge.into());
        self
    }

    fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
