//! UK sort code and account number: length and characters.
//!
//! The modulus check needs the payment scheme's own table, whose licence does not clearly allow shipping it; sort codes
//! outside that table would have to be accepted anyway.

use super::{BankIdError, is_digits};

/// Takes `123456`, `12-34-56` or `12 34 56`; gives back six digits.
pub fn parse_sort_code(text: &str) -> Result<String, BankIdError> {
    let digits = match text.as_bytes() {
        [a, b, separator @ (b'-' | b' '), c, d, again, e, f] if separator == again => [*a, *b, *c, *d, *e, *f],
        bytes => bytes.try_into().map_err(|_| BankIdError::SortCode)?,
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(BankIdError::SortCode);
    }
    Ok(digits.map(char::from).iter().collect())
}

/// Takes six to eight digits; gives back eight, shorter ones padded with zeros on the left as the banks do.
pub fn parse_uk_account(text: &str) -> Result<String, BankIdError> {
    if (6..=8).contains(&text.len()) && is_digits(text) {
        Ok(format!("{text:0>8}"))
    } else {
        Err(BankIdError::UkAccount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sort_codes_come_back_as_six_digits() {
        for text in ["089999", "08-99-99", "08 99 99"] {
            assert_eq!(parse_sort_code(text).as_deref(), Ok("089999"), "{text}");
        }
    }

    #[test]
    fn other_text_is_no_sort_code() {
        for text in [
            "", "08999", "0899999", "08-9999", "08-99 99", "08--99-9", "08/99/99", "08999A", " 89999", "-8-99-99",
            "٠٨٩",
        ] {
            assert_eq!(parse_sort_code(text), Err(BankIdError::SortCode), "{text}");
        }
    }

    #[test]
    fn short_account_numbers_are_padded() {
        for (text, stored) in [("66374958", "66374958"), ("6374958", "06374958"), ("374958", "00374958")] {
            assert_eq!(parse_uk_account(text).as_deref(), Ok(stored), "{text}");
        }
    }

    #[test]
    fn other_text_is_no_account_number() {
        for text in ["", "12345", "123456789", "1234567A", "1234 567", "-1234567", "+1234567", "١٢٣٤"] {
            assert_eq!(parse_uk_account(text), Err(BankIdError::UkAccount), "{text}");
        }
    }
}
