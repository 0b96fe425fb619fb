//! Bank identifiers: what a beneficiary's bank would refuse is refused before money moves.
//!
//! Every function takes the text as a caller typed it and gives back the one form to store, or says what is wrong without
//! quoting the input (it is personal data). A pass means well formed, never that the account exists: that is the provider's
//! name enquiry to tell.

mod bic;
mod country;
mod domestic;
mod iban;
mod nuban;
mod uk;

use thiserror::Error;

pub use bic::parse_bic;
pub use country::parse_country;
pub use domestic::{parse_domestic_account, parse_domestic_bank_code};
pub use iban::parse_iban;
pub use nuban::{NubanCheck, check_nuban};
pub use uk::{parse_sort_code, parse_uk_account};

/// Why a bank identifier is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BankIdError {
    /// Not an ISO 3166-1 alpha-2 code.
    #[error("country is not an ISO 3166-1 alpha-2 code")]
    Country,
    /// Not 15 to 34 characters.
    #[error("an IBAN has 15 to 34 characters")]
    IbanLength,
    /// Something else than letters, digits and spaces.
    #[error("an IBAN consists of letters and digits")]
    IbanCharacter,
    /// The first two characters are not a country of the IBAN registry.
    #[error("the IBAN's country does not use IBANs")]
    IbanCountry,
    /// Right for some country, not for this one.
    #[error("an IBAN of {country} has {expected} characters, not {got}")]
    IbanCountryLength {
        /// The IBAN's country.
        country: &'static str,
        /// How long its IBANs are.
        expected: usize,
        /// How long this one is.
        got: usize,
    },
    /// Letters where the country has digits, or the other way.
    #[error("the IBAN does not have the form of {country}")]
    IbanStructure {
        /// The IBAN's country.
        country: &'static str,
    },
    /// The third and fourth characters are not a number from 02 to 98.
    #[error("the IBAN's check digits are not between 02 and 98")]
    IbanCheckDigits,
    /// The check digits do not fit the rest: mistyped.
    #[error("the IBAN's checksum is wrong")]
    IbanChecksum,
    /// Not six digits.
    #[error("a sort code has six digits")]
    SortCode,
    /// Not six to eight digits.
    #[error("a UK account number has eight digits")]
    UkAccount,
    /// Not three, five or six digits.
    #[error("a Nigerian bank code has three, five or six digits")]
    NubanBankCode,
    /// Not ten digits.
    #[error("a NUBAN account number has ten digits")]
    NubanLength,
    /// The check digit does not fit this deposit bank and account.
    #[error("the NUBAN check digit is wrong for this bank")]
    NubanCheckDigit,
    /// Not 8 or 11 characters.
    #[error("a BIC has 8 or 11 characters")]
    BicLength,
    /// Something else than letters and digits, or a digit in the country.
    #[error("the BIC has a character where it cannot be")]
    BicCharacter,
    /// The fifth and sixth characters are not a country.
    #[error("the BIC's country is unknown")]
    BicCountry,
    /// Not 6 to 20 digits.
    #[error("an account number has 6 to 20 digits")]
    DomesticAccount,
    /// Not 2 to 6 digits.
    #[error("a bank code has 2 to 6 digits")]
    DomesticBankCode,
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}
