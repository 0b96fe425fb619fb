//! Who is paid. Only the masked form exists in this crate; the clear one is sealed before a command is made.

use crate::money::Currency;
use serde::{Deserialize, Serialize};

/// What may be shown of a beneficiary: `J***`, `****4567`, and the bank's code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaskedBeneficiary {
    /// First letter and asterisks.
    pub name: String,
    /// Asterisks and the last four digits.
    pub account: String,
    /// ISO 3166-1 alpha-2.
    pub country: String,
}

/// Countries that a currency is paid out in.
fn countries(currency: Currency) -> &'static [&'static str] {
    match currency {
        Currency::NGN => &["NG"],
        Currency::KES => &["KE"],
        Currency::GHS => &["GH"],
        Currency::GBP => &["GB"],
        Currency::JPY => &["JP"],
        Currency::KWD => &["KW"],
        Currency::EUR => &[
            "AT", "BE", "CY", "DE", "EE", "ES", "FI", "FR", "GR", "HR", "IE", "IT", "LT", "LU", "LV", "MT", "NL", "PT",
            "SI", "SK",
        ],
        _ => &[],
    }
}

/// Whether a currency is paid out in a country (ISO 3166-1 alpha-2).
pub fn is_paid_in(currency: Currency, country: &str) -> bool {
    countries(currency).contains(&country)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_currency_is_paid_out_where_it_is_money() {
        assert!(is_paid_in(Currency::NGN, "NG") && is_paid_in(Currency::EUR, "FI") && is_paid_in(Currency::GBP, "GB"));
        assert!(
            !is_paid_in(Currency::NGN, "GH") && !is_paid_in(Currency::EUR, "GB") && !is_paid_in(Currency::USDC, "NG")
        );
        assert!(!is_paid_in(Currency::NGN, "") && !is_paid_in(Currency::NGN, "ng"));
    }
}
