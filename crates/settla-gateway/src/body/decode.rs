//! From bytes to a typed body, and from serde's errors to problems that name the field but neither our types nor the
//! value that was sent (it may be personal data, and error texts travel far).

use std::fmt;

use serde_path_to_error::{Path, Segment};

use super::JsonBody;
use super::scan::{Fault, Scan};
use crate::problem::Problem;

/// Longest pointer that is given back: a key may be as long as the body.
const POINTER_CHARS_MAX: usize = 200;

/// A JSON pointer (RFC 6901) without the leading slash: `beneficiary/account/iban`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pointer(Vec<String>);

impl Pointer {
    #[cfg(test)]
    pub(super) fn of(parts: &[&str]) -> Self {
        Self(parts.iter().map(|part| (*part).to_owned()).collect())
    }

    pub(super) fn push(&mut self, part: &str) {
        self.0.push(part.to_owned());
    }

    pub(super) fn pop(&mut self) {
        self.0.pop();
    }

    pub(super) fn is(&self, text: &str) -> bool {
        self.0.iter().map(String::as_str).eq(text.split('/'))
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: Vec<_> = self.0.iter().map(|part| part.replace('~', "~0").replace('/', "~1")).collect();
        f.write_str(&text.join("/").chars().take(POINTER_CHARS_MAX).collect::<String>())
    }
}

impl From<&Path> for Pointer {
    fn from(path: &Path) -> Self {
        let part = |segment: &Segment| match segment {
            Segment::Seq { index } => Some(index.to_string()),
            Segment::Map { key } => Some(key.clone()),
            Segment::Enum { .. } | Segment::Unknown => None,
        };
        Self(path.iter().filter_map(part).collect())
    }
}

/// Decodes a body strictly.
pub(super) fn json<T: JsonBody>(bytes: &[u8]) -> Result<T, Problem> {
    match Scan::run(bytes, T::ARRAYS).map_err(|error| malformed(&error))? {
        None => {}
        Some(Fault::Duplicate(at)) => return Err(at_field("duplicate_field", "The field is there twice.".into(), &at)),
        Some(Fault::Array(at)) => return Err(at_field("invalid_type", "An array is not expected here.".into(), &at)),
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let mut at = Pointer::from(error.path());
        let text = error.inner().to_string();
        let (code, detail, field) = explain(&text);
        if let Some(field) = field.filter(|field| at.0.last().map(String::as_str) != Some(*field)) {
            at.push(field);
        }
        at_field(code, detail, &at)
    })
}

fn malformed(error: &serde_json::Error) -> Problem {
    let place = format!("The body is not valid JSON (line {}, column {}).", error.line(), error.column());
    Problem::bad_request("invalid_json", place)
}

fn at_field(code: &'static str, detail: String, at: &Pointer) -> Problem {
    let problem = Problem::bad_request(code, detail);
    if at.0.is_empty() { problem } else { problem.at(at.to_string()) }
}

/// Code, detail, and the field that serde names in the text rather than in the path. The names in these texts are
/// those of our documentation; values, which may stand there too, are left out.
fn explain(text: &str) -> (&'static str, String, Option<&str>) {
    let named = || text.split('`').nth(1);
    if text.starts_with("missing field") {
        ("missing_field", "The field is required.".into(), named())
    } else if text.starts_with("unknown field") {
        ("unknown_field", "There is no such field here.".into(), named())
    } else if text.starts_with("unknown variant") {
        let names = text.rsplit_once("expected ").map_or("", |(_, names)| names);
        let names = names.split(" at line ").next().unwrap_or_default();
        ("invalid_value", format!("The value must be {names}."), None)
    } else if text.starts_with("invalid type") && text.contains("expected a string") {
        ("invalid_type", "The value must be a string.".into(), None)
    } else if text.starts_with("invalid type") {
        ("invalid_type", "The value has the wrong type.".into(), None)
    } else {
        // Personal data says no more than that: its type hides even that a value is not there.
        ("invalid_value", "A value here is missing, or has the wrong type or form.".into(), None)
    }
}
