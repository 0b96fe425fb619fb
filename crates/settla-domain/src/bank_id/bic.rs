//! BIC (ISO 9362:2022): four characters of the party, country, two more, and optionally three of the branch.
//!
//! The 2022 edition allows digits in the party's four. There is no check digit. Eight characters name the same party as the
//! same eight with `XXX`.

use super::{BankIdError, parse_country};

/// Kosovo is not in ISO 3166-1, and has banks.
const COUNTRY_BY_CUSTOM: &str = "XK";

/// Takes a BIC in either case; gives it back in upper case.
pub fn parse_bic(text: &str) -> Result<String, BankIdError> {
    if !matches!(text.len(), 8 | 11) {
        return Err(BankIdError::BicLength);
    }
    let bic = text.to_ascii_uppercase();
    if !bic.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(BankIdError::BicCharacter);
    }
    // All ASCII: the cut is between characters.
    let country = &bic[4..6];
    if !country.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err(BankIdError::BicCharacter);
    }
    if country != COUNTRY_BY_CUSTOM && parse_country(country).is_err() {
        return Err(BankIdError::BicCountry);
    }
    Ok(bic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_ones_come_back_in_upper_case() {
        for (text, stored) in [
            ("DEUTDEFF", "DEUTDEFF"),
            ("deutdeff500", "DEUTDEFF500"),
            ("NEDSZAJJXXX", "NEDSZAJJXXX"),
            ("E097AEXX", "E097AEXX"),
            ("GTBINGLA", "GTBINGLA"),
            ("NCBVXKPR", "NCBVXKPR"),
        ] {
            assert_eq!(parse_bic(text).as_deref(), Ok(stored), "{text}");
        }
    }

    #[test]
    fn each_fault_is_told_apart() {
        for (text, error) in [
            ("", BankIdError::BicLength),
            ("DEUTDEF", BankIdError::BicLength),
            ("DEUTDEFF5", BankIdError::BicLength),
            ("DEUTDEFF50", BankIdError::BicLength),
            ("DEUTDEFF5000", BankIdError::BicLength),
            (" DEUTDEFF", BankIdError::BicLength),
            ("DEUT-EFF", BankIdError::BicCharacter),
            ("DEUTDEF ", BankIdError::BicCharacter),
            ("DEUTDEFF 00", BankIdError::BicCharacter),
            ("DEUTD3FF", BankIdError::BicCharacter),
            ("DEUTDEé", BankIdError::BicCharacter),
            ("DEUTXXFF", BankIdError::BicCountry),
            ("DEUTUKFF", BankIdError::BicCountry),
        ] {
            assert_eq!(parse_bic(text), Err(error), "{text}");
        }
    }
}
