//! API keys: `sk_live_` or `sk_test_` and 32 random bytes in hex. Shown once, stored only as a keyed hash.

use std::fmt;

use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::aead::mac;
use crate::random::fill_random;
use crate::secret::Secret;

const PREFIX_BYTES: usize = 8;
const DIGITS: usize = 64;
const SECRET_BYTES_MIN: usize = 32;

/// Which of the two worlds a key opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Environment {
    /// Real money.
    Live,
    /// The sandbox.
    Test,
}

impl Environment {
    /// `live` or `test`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }

    fn key_prefix(self) -> &'static str {
        match self {
            Self::Live => "sk_live_",
            Self::Test => "sk_test_",
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is not a key of ours. Does not say how, nor quote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not an API key")]
pub struct ApiKeyError;

/// A whole API key in memory: not printable, not comparable, wiped on drop.
#[derive(Clone)]
pub struct ApiKey {
    environment: Environment,
    text: Secret<String>,
}

impl ApiKey {
    /// A new key of 32 random bytes.
    pub fn generate(environment: Environment) -> Self {
        let mut bytes = Zeroizing::new([0; DIGITS / 2]);
        fill_random(bytes.as_mut_slice());
        let mut digits = Zeroizing::new([0; DIGITS]);
        hex::encode_to_slice(bytes.as_slice(), digits.as_mut_slice()).expect("64 digits hold 32 bytes");
        // The exact capacity: growing would leave a part of the key in freed memory.
        let mut text = String::with_capacity(PREFIX_BYTES + DIGITS);
        text.push_str(environment.key_prefix());
        text.extend(digits.iter().copied().map(char::from));
        Self { environment, text: Secret::new(text) }
    }

    /// Takes exactly what [`generate`](Self::generate) makes: prefix and 64 lower-case hex digits, nothing around them.
    pub fn parse(text: &str) -> Result<Self, ApiKeyError> {
        let (environment, digits) = [Environment::Live, Environment::Test]
            .into_iter()
            .find_map(|environment| Some((environment, text.strip_prefix(environment.key_prefix())?)))
            .ok_or(ApiKeyError)?;
        let well_formed = digits.len() == DIGITS && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !well_formed {
            return Err(ApiKeyError);
        }
        Ok(Self { environment, text: Secret::new(text.to_owned()) })
    }

    /// The world that the prefix names.
    pub fn environment(&self) -> Environment {
        self.environment
    }

    /// The whole key, to be shown to its owner once.
    pub fn expose(&self) -> &str {
        self.text.expose()
    }

    /// What may be stored and shown to tell keys apart: `sk_live_****3f9a`.
    pub fn hint(&self) -> String {
        let text = self.text.expose();
        // A key is ASCII, so a cut inside it is always at a character.
        format!("{}****{}", self.environment.key_prefix(), &text[text.len() - 4..])
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({}***)", self.environment.key_prefix())
    }
}

/// The secret for hashing keys cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyHasherError {
    /// Too short to resist guessing.
    #[error("the secret for hashing API keys has {got} bytes, at least {min} are needed")]
    TooShort {
        /// Bytes given.
        got: usize,
        /// Bytes needed.
        min: usize,
    },
}

/// Hashes API keys under one version of the platform's secret.
///
/// To rotate the secret, hold one hasher a version: stored hashes name theirs ([`KeyHash::version`]), new ones are made with
/// the newest.
#[derive(Debug, Clone)]
pub struct KeyHasher {
    version: u16,
    secret: Secret<Vec<u8>>,
}

impl KeyHasher {
    /// `secret` is the raw value of the platform's setting, at least 32 bytes.
    pub fn new(version: u16, secret: &[u8]) -> Result<Self, KeyHasherError> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(KeyHasherError::TooShort { got: secret.len(), min: SECRET_BYTES_MIN });
        }
        Ok(Self { version, secret: Secret::new(secret.to_vec()) })
    }

    /// Which version of the secret this is.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// The HMAC-SHA256 of the full key text.
    pub fn hash(&self, key: &ApiKey) -> KeyHash {
        KeyHash { version: self.version, mac: mac(self.secret.expose(), &[key.expose().as_bytes()]) }
    }

    /// Whether `stored` is this key's hash under this version of the secret; constant time.
    pub fn verify(&self, key: &ApiKey, stored: &KeyHash) -> bool {
        self.hash(key) == *stored
    }

    /// A value that is equal for equal secrets and tells nothing of them. Instances compare it at start, for the same
    /// version, so that two with different secrets cannot both serve. No key text can hash to it: keys start with `sk_`.
    pub fn fingerprint(&self) -> String {
        hex::encode(mac(self.secret.expose(), &[b"settla/api-key-secret-fingerprint/1"]))
    }
}

/// A stored key hash with the version of the secret it was made with. Compares in constant time.
#[derive(Clone, Copy)]
pub struct KeyHash {
    version: u16,
    mac: [u8; 32],
}

impl KeyHash {
    /// From what was stored.
    pub fn from_parts(version: u16, mac: [u8; 32]) -> Self {
        Self { version, mac }
    }

    /// The version of the secret.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// The 32 bytes to store and to look up by.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.mac
    }
}

impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        bool::from(self.version.ct_eq(&other.version) & self.mac.ct_eq(&other.mac))
    }
}

impl Eq for KeyHash {}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyHash(v{}, ***)", self.version)
    }
}

#[cfg(test)]
mod tests;
