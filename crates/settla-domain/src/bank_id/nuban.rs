//! NUBAN (Nigeria): ten digits, the last of which checks the bank's code and the other nine.
//!
//! The number does not contain the bank, so the check needs its code, and one in ten wrong banks pass.

use super::{BankIdError, is_digits};

/// What the check digit says. Only a deposit bank's wrong digit is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NubanCheck {
    /// The check digit fits.
    Passed,
    /// It does not fit, but need not: wallet numbers made from phone numbers do not follow the rule, and the six-digit codes
    /// that payment systems use are not always the central bank's. Ask for the name before paying.
    Doubtful,
}

/// Checks an account number against a bank code as the central bank gives them: three digits (deposit bank), five (other
/// institution) or all six.
pub fn check_nuban(bank_code: &str, account: &str) -> Result<NubanCheck, BankIdError> {
    let institution = match bank_code.len() {
        _ if !is_digits(bank_code) => return Err(BankIdError::NubanBankCode),
        3 => format!("000{bank_code}"),
        5 => format!("9{bank_code}"),
        6 => bank_code.to_owned(),
        _ => return Err(BankIdError::NubanBankCode),
    };
    if account.len() != 10 || !is_digits(account) {
        return Err(BankIdError::NubanLength);
    }
    let (serial, check_digit) = account.split_at(9);
    if check_digit.as_bytes() == [check_digit_of(&institution, serial)] {
        Ok(NubanCheck::Passed)
    } else if bank_code.len() == 3 {
        Err(BankIdError::NubanCheckDigit)
    } else {
        Ok(NubanCheck::Doubtful)
    }
}

/// The digit (as a character) that makes the sum, weighted 3, 7, 3 and so on, a multiple of ten.
fn check_digit_of(institution: &str, serial: &str) -> u8 {
    let digits = institution.bytes().chain(serial.bytes()).map(|byte| u32::from(byte - b'0'));
    let sum: u32 = digits.zip([3, 7, 3].into_iter().cycle()).map(|(digit, weight)| digit * weight).sum();
    // 0 to 9, so the cast keeps it.
    b'0' + ((10 - sum % 10) % 10) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_numbers_pass_under_each_way_to_write_the_bank() {
        for account in ["0000014579", "0000000220"] {
            assert_eq!(check_nuban("011", account), Ok(NubanCheck::Passed), "{account}");
            assert_eq!(check_nuban("000011", account), Ok(NubanCheck::Passed), "{account}");
        }
    }

    #[test]
    fn a_deposit_banks_number_has_one_right_check_digit() {
        let passed: Vec<_> = (0..10).filter(|digit| check_nuban("011", &format!("000001457{digit}")).is_ok()).collect();
        assert_eq!(passed, [9]);
        assert_eq!(check_nuban("011", "0000014578"), Err(BankIdError::NubanCheckDigit));
    }

    #[test]
    fn any_one_mistyped_digit_is_noticed() {
        // 3 and 7 have no factor in common with 10, so a change of one digit always changes the sum's last one.
        for index in 0..10 {
            for typed in b'0'..=b'9' {
                let mut account = *b"0000014579";
                account[index] = typed;
                let account = String::from_utf8(account.to_vec()).unwrap();
                assert_eq!(check_nuban("011", &account).is_ok(), account == "0000014579", "{account}");
            }
        }
    }

    #[test]
    fn a_wrong_bank_is_noticed_most_of_the_time() {
        assert_eq!(check_nuban("058", "0000014579"), Err(BankIdError::NubanCheckDigit));
        let passed = (0..1000).filter(|code| check_nuban(&format!("{code:03}"), "0000014579").is_ok()).count();
        assert_eq!(passed, 100);
    }

    #[test]
    fn other_institutions_are_doubted_not_refused() {
        // By hand for 950211 and 000000001: 9*3 + 5*7 + 0*3 + 2*3 + 1*7 + 1*3 + 1*3 = 81, so the digit is 9.
        assert_eq!(check_nuban("50211", "0000000019"), Ok(NubanCheck::Passed));
        assert_eq!(check_nuban("950211", "0000000019"), Ok(NubanCheck::Passed));
        assert_eq!(check_nuban("50211", "0000000018"), Ok(NubanCheck::Doubtful));
        assert_eq!(check_nuban("950211", "0000000018"), Ok(NubanCheck::Doubtful));
    }

    #[test]
    fn codes_and_numbers_of_another_form_are_refused() {
        for code in ["", "01", "0111", "0000011", "01A", "+11", "٠١"] {
            assert_eq!(check_nuban(code, "0000014579"), Err(BankIdError::NubanBankCode), "{code}");
        }
        for account in ["", "000001457", "00000145790", "000001457A", " 000014579", "-000014579", "٠٠٠٠٠"] {
            assert_eq!(check_nuban("011", account), Err(BankIdError::NubanLength), "{account}");
        }
    }
}
