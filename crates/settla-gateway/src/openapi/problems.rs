//! What all operations share in the document: the problem schema, the error responses, and the headers.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::schema::{Components, header_reference, reference};
use crate::problem::{QUOTA_EXCEEDED, TYPE_BASE};

/// An error response of the document.
pub(super) struct ErrorDoc {
    pub(super) name: &'static str,
    pub(super) status: StatusCode,
    code: &'static str,
    detail: &'static str,
    about: &'static str,
    header: Option<&'static str>,
}

const fn doc(
    name: &'static str,
    status: StatusCode,
    code: &'static str,
    detail: &'static str,
    about: &'static str,
) -> ErrorDoc {
    ErrorDoc { name, status, code, detail, about, header: None }
}

pub(super) const BAD_REQUEST: ErrorDoc = doc(
    "BadRequest",
    StatusCode::BAD_REQUEST,
    "missing_field",
    "The field is required.",
    "A parameter, header or field cannot be used; `field` names it.",
);
pub(super) const UNAUTHENTICATED: ErrorDoc = ErrorDoc {
    header: Some("WWW-Authenticate"),
    ..doc(
        "Unauthenticated",
        StatusCode::UNAUTHORIZED,
        "unauthenticated",
        "The API key is not valid.",
        "No key, or one that is unknown, revoked, expired, or for another environment.",
    )
};
pub(super) const FORBIDDEN: ErrorDoc = ErrorDoc {
    header: Some("WWW-Authenticate"),
    ..doc(
        "Forbidden",
        StatusCode::FORBIDDEN,
        "forbidden",
        "The API key lacks the scope `transfers`.",
        "The key lacks the scope, or may not be used from this address (`address_not_allowed`).",
    )
};
pub(super) const BAD_SIGNATURE: ErrorDoc = doc(
    "BadSignature",
    StatusCode::FORBIDDEN,
    "bad_signature",
    "The webhook's signature is not valid.",
    "Not signed as it must be.",
);
pub(super) const NOT_FOUND: ErrorDoc = doc(
    "NotFound",
    StatusCode::NOT_FOUND,
    "transfer_not_found",
    "There is no such transfer.",
    "Nothing of this id belongs to you.",
);
pub(super) const BODY_TIMEOUT: ErrorDoc = doc(
    "BodyTimeout",
    StatusCode::REQUEST_TIMEOUT,
    "body_timeout",
    "The body took too long to arrive.",
    "The body took too long to arrive.",
);
pub(super) const CONFLICT: ErrorDoc = doc(
    "Conflict",
    StatusCode::CONFLICT,
    "request_in_flight",
    "The first request with this Idempotency-Key is still running; ask again in a moment.",
    "The first request with this Idempotency-Key is still running, or the object's state does not allow it.",
);
pub(super) const BODY_TOO_LARGE: ErrorDoc = doc(
    "BodyTooLarge",
    StatusCode::PAYLOAD_TOO_LARGE,
    "body_too_large",
    "The body is larger than 65536 bytes.",
    "The body is too large.",
);
pub(super) const UNSUPPORTED_MEDIA_TYPE: ErrorDoc = doc(
    "UnsupportedMediaType",
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    "unsupported_media_type",
    "Send the body as `Content-Type: application/json`.",
    "The body is not JSON.",
);
pub(super) const REFUSED: ErrorDoc = doc(
    "Refused",
    StatusCode::UNPROCESSABLE_ENTITY,
    "idempotency_conflict",
    "this Idempotency-Key was used for a different request",
    "A business rule says no. Nothing has changed.",
);
pub(super) const RATE_LIMITED: ErrorDoc = ErrorDoc {
    header: Some("Retry-After"),
    ..doc(
        "RateLimited",
        StatusCode::TOO_MANY_REQUESTS,
        "rate_limited",
        "More requests of the class `quotes` than you may make in a minute.",
        "More requests than the tenant may make in a minute; `violated-policies` names the class.",
    )
};
pub(super) const INTERNAL: ErrorDoc = doc(
    "InternalError",
    StatusCode::INTERNAL_SERVER_ERROR,
    "internal_error",
    "Something went wrong on our side.",
    "A defect on our side.",
);
pub(super) const UNAVAILABLE: ErrorDoc = ErrorDoc {
    header: Some("Retry-After"),
    ..doc(
        "Unavailable",
        StatusCode::SERVICE_UNAVAILABLE,
        "overloaded",
        "Too busy; try again in a moment.",
        "Too busy, a dependency does not answer, or there is no current rate. Nothing has changed unless an earlier attempt with the same Idempotency-Key did it.",
    )
};
pub(super) const TIMEOUT: ErrorDoc = doc(
    "Timeout",
    StatusCode::GATEWAY_TIMEOUT,
    "timeout",
    "The request took too long. If it was to change something, repeat it with the same Idempotency-Key.",
    "The outcome is not known; repeat the request with the same Idempotency-Key.",
);

const ALL: [&ErrorDoc; 14] = [
    &BAD_REQUEST,
    &UNAUTHENTICATED,
    &FORBIDDEN,
    &BAD_SIGNATURE,
    &NOT_FOUND,
    &BODY_TIMEOUT,
    &CONFLICT,
    &BODY_TOO_LARGE,
    &UNSUPPORTED_MEDIA_TYPE,
    &REFUSED,
    &RATE_LIMITED,
    &INTERNAL,
    &UNAVAILABLE,
    &TIMEOUT,
];

/// Adds the problem schema.
pub(super) fn register(components: &mut Components) {
    components.add("Problem", json!({
        "type": "object",
        "description": "An error (RFC 9457). Programs look at `code`.",
        "required": ["type", "title", "status", "code", "detail", "request_id"],
        "properties": {
            "type": { "type": "string", "format": "uri", "description": "What kind of problem." },
            "title": { "type": "string", "description": "The same for every problem of this code." },
            "status": { "type": "integer", "description": "The HTTP status." },
            "code": { "type": "string", "description": "Stable.", "pattern": "^[a-z0-9_]+$" },
            "detail": { "type": "string", "description": "For people; may change." },
            "request_id": { "type": "string", "description": "Name it when you ask us about the problem." },
            "field": {
                "type": "string",
                "description": "The header, parameter or field it is about; fields as JSON pointers without the leading slash.",
            },
            "violated-policies": {
                "type": "array", "items": { "type": "string" }, "description": "Of `rate_limited` alone.",
            },
            "dependencies": { "type": "array", "items": { "type": "object" }, "description": "Of `not_ready` alone." },
        },
    }));
}

/// The shared responses.
pub(super) fn responses() -> Value {
    Value::Object(ALL.iter().map(|error| (error.name.to_owned(), error.response(error.about))).collect::<Map<_, _>>())
}

impl ErrorDoc {
    /// The reference to the shared response.
    pub(super) fn reference(&self) -> Value {
        json!({ "$ref": format!("#/components/responses/{}", self.name) })
    }

    /// The response with a text of its own.
    pub(super) fn response(&self, about: &str) -> Value {
        let mut headers = Map::new();
        headers.insert("x-request-id".into(), header_reference("RequestId"));
        if let Some(name) = self.header {
            headers.insert(name.into(), header_reference(&name.replace('-', "")));
        }
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            headers.extend(rate_headers());
        }
        let mut example = json!({
            "type": format!("{TYPE_BASE}{}", self.code),
            "title": crate::problem::title(self.code),
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
            "request_id": "req_01939d2a7f0e7c4e9a53a1c2b3d4e5f6",
        });
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            example["type"] = QUOTA_EXCEEDED.into();
            example["violated-policies"] = json!(["quotes"]);
        }
        if self.status == StatusCode::BAD_REQUEST {
            example["field"] = "beneficiary/name".into();
        }
        json!({
            "description": about,
            "headers": headers,
            "content": { "application/problem+json": { "schema": reference("Problem"), "example": example } },
        })
    }
}

/// How a tenant stands with its requests a minute.
pub(super) fn rate_headers() -> [(String, Value); 2] {
    [("RateLimit", "RateLimit"), ("RateLimit-Policy", "RateLimitPolicy")]
        .map(|(name, component)| (name.to_owned(), header_reference(component)))
}

/// The shared response headers.
pub(super) fn headers() -> Value {
    let text = |about: &str| json!({ "description": about, "schema": { "type": "string" } });
    json!({
        "RequestId": text("The id of the request, yours or ours."),
        "IdempotentReplayed": {
            "description": "There, and `true`, if an earlier request with this key had been carried out.",
            "schema": { "type": "string", "enum": ["true"] },
        },
        "Location": text("The path of what was made."),
        "WWWAuthenticate": text("RFC 6750."),
        "RateLimit": text("How many requests of which class are left (`r`), and when the next place comes free (`t`, seconds)."),
        "RateLimitPolicy": text("Requests (`q`) of a class in a window (`w`, seconds)."),
        "RetryAfter": { "description": "Seconds to wait.", "schema": { "type": "integer", "minimum": 0 } },
    })
}
