//! Top-ups: money that a tenant says it will send. It exists for us only when the bank has credited it.

use crate::id::TopupId;
use crate::money::Money;
use crate::tenant::TenantNo;
use crate::time::Timestamp;

/// A top-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topup {
    /// Its id.
    pub id: TopupId,
    /// Whose.
    pub tenant: TenantNo,
    /// What the tenant announced.
    pub expected: Money,
    /// What the bank credited so far, in minor units of the same currency.
    pub credited: i128,
    /// What the payer must put into the payment; unique for ever.
    pub reference: String,
    /// When it was announced.
    pub created_at: Timestamp,
}

/// The reference of a top-up: letters and digits that every payment scheme takes (18 characters at most).
pub fn reference_for(id: TopupId) -> String {
    // 75 of the id's random bits in base 32 (Crockford, without I, L, O, U): short enough for a Faster
    // Payments reference, and the database holds it unique besides.
    const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let bits = id.0.as_u128();
    let mixed = (bits & 0x3fff_ffff_ffff_ffff) | ((bits >> 64) & 0xfff) << 62;
    let tail: String = (0..15).map(|i| char::from(ALPHABET[((mixed >> (i * 5)) & 31) as usize])).collect();
    format!("STU{tail}")
}

/// An entry of the bank's statement: somebody paid us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BankCredit {
    /// The bank's id of the entry: applied once.
    pub entry_id: String,
    /// The reference that the payer gave.
    pub reference: String,
    /// How much.
    pub amount: Money,
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn references_are_short_and_differ() {
        let a = reference_for(TopupId(Uuid::from_u128(0x0193_aaaa_bbbb_7ccc_8ddd_eeee_ffff_0001)));
        let b = reference_for(TopupId(Uuid::from_u128(0x0193_aaaa_bbbb_7ccc_8ddd_eeee_ffff_0002)));
        assert_ne!(a, b);
        assert!(a.len() == 18 && a.bytes().all(|c| c.is_ascii_alphanumeric()));
    }
}
