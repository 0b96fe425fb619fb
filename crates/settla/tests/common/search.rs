//! Searching for what must not be there: raw, and in the encodings that bytes take on their way through a
//! program.

use aho_corasick::AhoCorasick;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// A value that must not turn up.
pub struct Canary {
    pub what: String,
    pub bytes: Vec<u8>,
}

impl Canary {
    pub fn new(what: &str, value: impl AsRef<[u8]>) -> Self {
        Self { what: what.to_owned(), bytes: value.as_ref().to_vec() }
    }

    /// A number among other digits is not this number.
    fn is_number(&self) -> bool {
        self.bytes.iter().all(u8::is_ascii_digit)
    }

    /// How it may be written, with a name for each way.
    pub fn forms(&self) -> Vec<(&'static str, Vec<u8>)> {
        let decimal =
            |between: &str| self.bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(between).into_bytes();
        let mut forms = vec![
            ("raw", self.bytes.clone()),
            ("hex", hex::encode(&self.bytes).into_bytes()),
            ("a list of bytes", decimal(", ")),
            ("a JSON array of bytes", decimal(",")),
        ];
        for offset in 0..3 {
            forms.push(("base64", inside(&STANDARD_NO_PAD, offset, &self.bytes)));
            forms.push(("base64, URL-safe", inside(&URL_SAFE_NO_PAD, offset, &self.bytes)));
        }
        forms
    }
}

/// What of a value's base64 is the same whatever is encoded around it, for a value that begins `offset` bytes
/// into a group of three.
fn inside(engine: &impl Engine, offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut padded = vec![0; offset];
    padded.extend_from_slice(bytes);
    let text = engine.encode(&padded).into_bytes();
    text[(offset * 8).div_ceil(6)..padded.len() * 8 / 6].to_vec()
}

/// Where to look.
pub struct Place {
    pub name: String,
    pub bytes: Vec<u8>,
}

/// Looks for all canaries in all forms at once.
pub struct Finder {
    canaries: Vec<Canary>,
    /// Canary and form by pattern.
    patterns: Vec<(usize, &'static str)>,
    automaton: AhoCorasick,
}

impl Finder {
    pub fn new(canaries: Vec<Canary>) -> Self {
        let mut patterns = Vec::new();
        let mut texts = Vec::new();
        for (index, canary) in canaries.iter().enumerate() {
            assert!(canary.bytes.len() >= 6, "{} is too short to be found for certain", canary.what);
            for (form, text) in canary.forms() {
                patterns.push((index, form));
                texts.push(text);
            }
        }
        // Without regard to case, so that hex and names in capitals are found.
        let automaton = AhoCorasick::builder().ascii_case_insensitive(true).build(texts).unwrap();
        Self { canaries, patterns, automaton }
    }

    pub fn canaries(&self) -> &[Canary] {
        &self.canaries
    }

    /// What is found in a place, with what stands around it.
    pub fn find(&self, place: &Place) -> Vec<String> {
        let bytes = &place.bytes;
        let mut found = Vec::new();
        for hit in self.automaton.find_overlapping_iter(bytes) {
            let (index, form) = self.patterns[hit.pattern()];
            let canary = &self.canaries[index];
            let touches = |at: Option<usize>| {
                at.and_then(|at| bytes.get(at)).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'.')
            };
            if form == "raw" && canary.is_number() && (touches(hit.start().checked_sub(1)) || touches(Some(hit.end())))
            {
                continue;
            }
            let around = &bytes[hit.start().saturating_sub(160)..(hit.end() + 40).min(bytes.len())];
            found.push(format!("{} ({form}) in {}: …{}…", canary.what, place.name, String::from_utf8_lossy(around)));
        }
        found
    }
}
