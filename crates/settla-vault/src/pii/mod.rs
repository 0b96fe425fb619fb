//! Personal data that prints masked: enforced by the type, not by the care of whoever writes a log line.

use std::fmt;
use std::marker::PhantomData;

use serde::{Deserialize, Deserializer, de::Error as _};

/// Personal data of type `T`. `Debug` and `Display` show what the mask `Shown` lets through: nothing (`***`) unless told
/// otherwise. There is no `Serialize`; what leaves goes through [`reveal_pii`](Self::reveal_pii).
pub struct Pii<T, Shown = Nothing> {
    value: T,
    shown: PhantomData<fn() -> Shown>,
}

/// A person's or a company's name; prints as `J***`.
pub type PiiName = Pii<String, FirstLetter>;

/// An account number, IBAN or phone number; prints as `****4567`.
pub type PiiAccount = Pii<String, LastFour>;

/// How a mask shows a value of type `T`.
pub trait Masking<T> {
    /// The text that may be printed.
    fn mask(value: &T) -> String;
}

/// Shows `***`, whatever the value.
#[derive(Debug, Clone, Copy)]
pub enum Nothing {}

/// Shows the first letter, as [`mask_name`].
#[derive(Debug, Clone, Copy)]
pub enum FirstLetter {}

/// Shows the last four characters, as [`mask_account`].
#[derive(Debug, Clone, Copy)]
pub enum LastFour {}

impl<T> Masking<T> for Nothing {
    fn mask(_: &T) -> String {
        "***".to_owned()
    }
}

impl Masking<String> for FirstLetter {
    fn mask(value: &String) -> String {
        mask_name(value)
    }
}

impl Masking<String> for LastFour {
    fn mask(value: &String) -> String {
        mask_account(value)
    }
}

impl<T, Shown> Pii<T, Shown> {
    /// Takes the value in.
    pub fn new(value: T) -> Self {
        Self { value, shown: PhantomData }
    }

    /// Lends the bare value. `reason` is for whoever reviews the call: it says, in place, why the value has to be seen.
    pub fn reveal_pii(&self, reason: &'static str) -> &T {
        debug_assert!(!reason.is_empty(), "say why personal data is revealed");
        &self.value
    }
}

impl<T: Clone, Shown> Clone for Pii<T, Shown> {
    fn clone(&self) -> Self {
        Self::new(self.value.clone())
    }
}

impl<T: PartialEq, Shown> PartialEq for Pii<T, Shown> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq, Shown> Eq for Pii<T, Shown> {}

impl<T, Shown> From<T> for Pii<T, Shown> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T, Shown: Masking<T>> fmt::Display for Pii<T, Shown> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Shown::mask(&self.value))
    }
}

impl<T, Shown: Masking<T>> fmt::Debug for Pii<T, Shown> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pii({self})")
    }
}

/// Reads like `T`, but an error does not quote the input, as serde's own would.
impl<'de, T: Deserialize<'de>, Shown> Deserialize<'de> for Pii<T, Shown> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::new).map_err(|_| D::Error::custom("a value has the wrong type or form"))
    }
}

/// `****4567`: the last four characters, when at least as many again stay hidden; otherwise `****`.
pub fn mask_account(account: &str) -> String {
    let compact: Vec<char> = account.chars().filter(|c| !c.is_whitespace()).collect();
    let tail = &compact[compact.len().saturating_sub(4)..];
    // Odd characters are hidden too: they could break a log line apart.
    if compact.len() >= 8 && tail.iter().all(char::is_ascii_alphanumeric) {
        format!("****{}", tail.iter().collect::<String>())
    } else {
        "****".to_owned()
    }
}

/// `J***`: the first letter, or `***` when the name does not start with one.
pub fn mask_name(name: &str) -> String {
    match name.trim_start().chars().next() {
        Some(first) if first.is_alphanumeric() => format!("{first}***"),
        _ => "***".to_owned(),
    }
}

#[cfg(test)]
mod tests;
