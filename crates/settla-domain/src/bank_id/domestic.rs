//! Accounts in countries without a national check digit (Kenya, Ghana): digits only, as many as any bank there uses.
//!
//! They are text, not numbers: leading zeros belong to them. Whether the account exists is the provider's to say.

use super::{BankIdError, is_digits};

/// Takes 6 to 20 digits and gives them back as they are.
pub fn parse_domestic_account(text: &str) -> Result<String, BankIdError> {
    digits(text, 6, 20).ok_or(BankIdError::DomesticAccount)
}

/// Takes 2 to 6 digits (bank, or bank and branch) and gives them back as they are.
pub fn parse_domestic_bank_code(text: &str) -> Result<String, BankIdError> {
    digits(text, 2, 6).ok_or(BankIdError::DomesticBankCode)
}

fn digits(text: &str, min: usize, max: usize) -> Option<String> {
    ((min..=max).contains(&text.len()) && is_digits(text)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_zeros_stay() {
        for text in ["000123", "0012345678901", "254712345678", "00000000000000000001"] {
            assert_eq!(parse_domestic_account(text).as_deref(), Ok(text));
        }
        for text in ["01", "01002", "030100"] {
            assert_eq!(parse_domestic_bank_code(text).as_deref(), Ok(text));
        }
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", "12345", "123456789012345678901", "12345A", "1234-567", " 1234567", "+254712345678", "١٢٣٤"]
        {
            assert_eq!(parse_domestic_account(text), Err(BankIdError::DomesticAccount), "{text}");
        }
        for text in ["", "1", "1234567", "0A", "-1", "01 002"] {
            assert_eq!(parse_domestic_bank_code(text), Err(BankIdError::DomesticBankCode), "{text}");
        }
    }
}
