//! Account addresses and transaction hashes as plain, printable values.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Why a text is not an address or a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The text does not start with `0x`.
    #[error("must start with 0x")]
    MissingPrefix,
    /// The number of hexadecimal digits is wrong.
    #[error("has the wrong length")]
    Length,
    /// A character is not a hexadecimal digit.
    #[error("holds a character that is not hexadecimal")]
    NotHex,
    /// Upper and lower case are mixed, but not as EIP-55 says: most likely a typing error.
    #[error("EIP-55 checksum does not match")]
    Checksum,
}

/// A 20-byte account or contract address. Displays with its EIP-55 checksum.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub [u8; 20]);

/// A 32-byte transaction hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TxHash(pub [u8; 32]);

impl Address {
    /// The address that nobody owns; a transfer from it is a mint, a transfer to it a burn.
    pub const ZERO: Self = Self([0; 20]);
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&alloy::primitives::Address::from(self.0).to_checksum(None))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    /// Accepts `0x` and 40 hexadecimal digits: all lower case, all upper case, or mixed case with a right checksum.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let address = Self(decode_fixed(text)?);
        let digits = &text[2..];
        let mixed = digits.bytes().any(|b| b.is_ascii_lowercase()) && digits.bytes().any(|b| b.is_ascii_uppercase());
        if mixed && address.to_string()[2..] != *digits {
            return Err(AddressError::Checksum);
        }
        Ok(address)
    }
}

impl fmt::Display for TxHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(self.0))
    }
}

impl fmt::Debug for TxHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TxHash {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        decode_fixed(text).map(Self)
    }
}

fn decode_fixed<const N: usize>(text: &str) -> Result<[u8; N], AddressError> {
    let digits = text.strip_prefix("0x").ok_or(AddressError::MissingPrefix)?;
    // Length first, so that no long text is decoded.
    if digits.len() != 2 * N {
        return Err(AddressError::Length);
    }
    let mut bytes = [0; N];
    hex::decode_to_slice(digits, &mut bytes).map_err(|_| AddressError::NotHex)?;
    Ok(bytes)
}

macro_rules! as_string_in_serde {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

as_string_in_serde!(Address);
as_string_in_serde!(TxHash);

impl From<alloy::primitives::Address> for Address {
    fn from(address: alloy::primitives::Address) -> Self {
        Self(address.into_array())
    }
}

impl From<Address> for alloy::primitives::Address {
    fn from(address: Address) -> Self {
        Self::new(address.0)
    }
}

impl From<alloy::primitives::B256> for TxHash {
    fn from(hash: alloy::primitives::B256) -> Self {
        Self(hash.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // From EIP-55 itself.
    const CHECKSUMMED: [&str; 6] = [
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "0xde709f2102306220921060314715629080e2fb77",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ];

    #[test]
    fn eip55_vectors_round_trip() {
        for text in CHECKSUMMED {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(text.to_lowercase().parse(), Ok(address));
        }
    }

    #[test]
    fn a_wrong_checksum_is_refused() {
        let wrong = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD";
        assert_eq!(wrong.parse::<Address>(), Err(AddressError::Checksum));
    }

    #[test]
    fn malformed_texts_are_refused() {
        let cases = [
            ("", AddressError::MissingPrefix),
            ("5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", AddressError::MissingPrefix),
            ("0x5aAe", AddressError::Length),
            ("0x5aaeb6053f3e94c9b9a09f33669435e7ef1beae\u{e9}", AddressError::Length),
            ("0xzzaeb6053f3e94c9b9a09f33669435e7ef1beaed", AddressError::NotHex),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<Address>(), Err(error), "{text}");
        }
    }

    #[test]
    fn serde_uses_the_checked_text() {
        let address: Address = CHECKSUMMED[2].parse().unwrap();
        let json = serde_json::to_string(&address).unwrap();
        assert_eq!(json, format!("\"{}\"", CHECKSUMMED[2]));
        assert_eq!(serde_json::from_str::<Address>(&json).unwrap(), address);
        assert!(serde_json::from_str::<Address>("\"0x00\"").is_err());
    }
}
