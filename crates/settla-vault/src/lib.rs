//! Keys, sealing, key hashing, masking and webhook signatures: everything that touches a secret.
//!
//! **Costs**: AES-256-GCM and HMAC-SHA256 of a few hundred bytes are well under a microsecond each; only
//! [`MasterKey::load_or_create`] and [`MasterKey::load`] read or write a file, once, at start. No network, no async.
//!
//! **Never**: prints, logs or serialises a secret or personal data. The types that hold them have no `Serialize`, and their
//! `Debug` says what they are, not what is in them.
//!
//! How the keys hang together: the [`MasterKey`] wraps one [`Dek`] a tenant; the [`Dek`] seals that tenant's fields. Losing
//! the wrapped key of a tenant makes all of its sealed fields unreadable for good, which is how they are erased.

mod aead;
pub mod api_key;
pub mod master;
pub mod pii;
pub mod random;
pub mod seal;
pub mod secret;
pub mod webhook;

#[cfg(test)]
mod assert_not_impl;

pub use api_key::{ApiKey, ApiKeyError, Environment, KeyHash, KeyHasher, KeyHasherError};
pub use master::{MasterKey, MasterKeyError};
pub use pii::{Pii, PiiAccount, PiiName, mask_account, mask_name};
pub use random::{fill_random, random_bytes};
pub use seal::{Aad, Dek, OpenError, open, open_pii, seal};
pub use secret::Secret;
pub use webhook::{SecretError, VerifyError, WebhookHeaders, WebhookSecret};
