//! A value that does not print, does not serialise and is wiped when it is dropped.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use zeroize::Zeroize;

/// Holds a secret: no `Display`, no `Serialize`, a `Debug` without content, wiped on drop.
///
/// A clone is a second secret that wipes itself. What [`expose`](Self::expose) lends must not be copied into a plain value.
#[derive(Clone)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Takes the value in.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// Lends the value. Each call of this is a place to review.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

/// So that a command line option or an environment variable can be read straight into a secret.
impl FromStr for Secret<String> {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assert_not_impl::assert_not_impl;

    assert_not_impl!(Secret<String>, fmt::Display);
    assert_not_impl!(Secret<String>, serde::Serialize);
    assert_not_impl!(Secret<String>, AsRef<str>);

    #[test]
    fn debug_says_nothing() {
        let secret = Secret::new("canary-4f1a".to_owned());
        assert_eq!(format!("{secret:?} {secret:#?}"), "Secret(***) Secret(***)");
        let parsed: Secret<String> = "canary-4f1a".parse().unwrap();
        assert_eq!(parsed.expose(), "canary-4f1a");
    }

    #[test]
    fn drop_wipes_the_value() {
        use std::sync::atomic::{AtomicBool, Ordering};
        static WIPED: AtomicBool = AtomicBool::new(false);
        struct Probe;
        impl Zeroize for Probe {
            fn zeroize(&mut self) {
                WIPED.store(true, Ordering::SeqCst);
            }
        }
        let secret = Secret::new(Probe);
        assert!(!WIPED.load(Ordering::SeqCst));
        drop(secret);
        assert!(WIPED.load(Ordering::SeqCst));
    }
}
