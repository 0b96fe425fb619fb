//! What serde lets pass and we do not: a key twice in an object, and an array where an object belongs.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::decode::Pointer;

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// An object has this key twice.
    Duplicate(Pointer),
    /// There is an array where none may be.
    Array(Pointer),
}

/// Walks through a JSON text without keeping it. Depth is bounded by serde_json's recursion limit, the rest by the
/// size of the body.
pub(super) struct Scan {
    arrays: &'static [&'static str],
    at: Pointer,
    fault: Option<Fault>,
}

impl Scan {
    /// The first fault, or serde_json's error if the text is no JSON.
    pub(super) fn run(bytes: &[u8], arrays: &'static [&'static str]) -> Result<Option<Fault>, serde_json::Error> {
        let mut scan = Self { arrays, at: Pointer::default(), fault: None };
        let mut json = serde_json::Deserializer::from_slice(bytes);
        let walked = scan.deserialize(&mut json).and_then(|()| json.end());
        match (scan.fault, walked) {
            (Some(fault), _) => Ok(Some(fault)),
            (None, walked) => walked.map(|()| None),
        }
    }

    fn stop<E: Error>(&mut self, fault: Fault) -> E {
        self.fault = Some(fault);
        E::custom("stopped")
    }
}

impl<'de> DeserializeSeed<'de> for &mut Scan {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Scan {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        if !self.arrays.iter().any(|allowed| self.at.is(allowed)) {
            let at = self.at.clone();
            return Err(self.stop(Fault::Array(at)));
        }
        let mut index = 0;
        loop {
            self.at.push(&index.to_string());
            if seq.next_element_seed(&mut *self)?.is_none() {
                self.at.pop();
                return Ok(());
            }
            self.at.pop();
            index += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            self.at.push(&key);
            if !seen.insert(key) {
                let at = self.at.clone();
                return Err(self.stop(Fault::Duplicate(at)));
            }
            map.next_value_seed(&mut *self)?;
            self.at.pop();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(text: &str) -> Option<Fault> {
        Scan::run(text.as_bytes(), &["list"]).unwrap()
    }

    #[test]
    fn finds_what_serde_lets_pass() {
        assert_eq!(scan(r#"{"a":{"b":1},"c":{"b":1.5},"list":["x","x"]}"#), None);
        assert_eq!(scan(r#"{"a":{"b":1,"b":2}}"#), Some(Fault::Duplicate(Pointer::of(&["a", "b"]))));
        // The same key in another spelling.
        assert_eq!(scan(r#"{"a":1,"\u0061":2}"#), Some(Fault::Duplicate(Pointer::of(&["a"]))));
        assert_eq!(scan("[1]"), Some(Fault::Array(Pointer::default())));
        assert_eq!(scan(r#"{"a":["x"]}"#), Some(Fault::Array(Pointer::of(&["a"]))));
        assert_eq!(scan(r#"{"list":[["x"]]}"#), Some(Fault::Array(Pointer::of(&["list", "0"]))));
    }

    #[test]
    fn depth_is_bounded() {
        let deep = r#"{"a":"#.repeat(10_000);
        assert!(Scan::run(deep.as_bytes(), &[]).is_err());
    }
}
