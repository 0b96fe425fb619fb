//! The well-known key of local development chains. It is public, so it must never hold anything of worth.

use alloy::signers::local::PrivateKeySigner;
use tokio::sync::Mutex;

use crate::Address;

/// Account 0 of the mnemonic "test test … junk" that every local node funds: known to the whole world, no secret.
const ACCOUNT_0: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

/// A key for local chains. Its nonces come from the chain, so one instance sends one transaction at a time and no two
/// instances should send at once; a real payer uses [`LocalSigner`](crate::LocalSigner).
pub struct DevKey {
    pub(crate) key: PrivateKeySigner,
    pub(crate) sending: Mutex<()>,
}

impl DevKey {
    /// The first funded account of a local node: deployer, minter and giver of gas.
    ///
    /// # Panics
    /// Never: the key is a constant, and a test parses it.
    #[must_use]
    pub fn account_0() -> Self {
        let key = ACCOUNT_0.parse().expect("the well-known key is a valid key");
        Self { key, sending: Mutex::new(()) }
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> Address {
        self.key.address().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_0_has_its_well_known_address() {
        let address = DevKey::account_0().address();
        assert_eq!(address.to_string(), "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
    }
}
