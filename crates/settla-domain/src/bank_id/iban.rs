//! IBAN (ISO 13616): exact length and form of the country, then the checksum.

use super::BankIdError;

const LENGTH_MIN: usize = 15;
const LENGTH_MAX: usize = 34;
/// An IBAN in groups of four is 42 characters; what is longer than this is not looked at.
const TYPED_BYTES_MAX: usize = 64;

/// What follows country and check digits, by country: runs of `n` digits, `a` letters, `c` either. From the SWIFT IBAN
/// registry; a country that is not here does not use IBANs, so one that joins has to be added.
const COUNTRIES: [(&str, &str); 89] = [
    ("AD", "8n12c"),
    ("AE", "19n"),
    ("AL", "8n16c"),
    ("AT", "16n"),
    ("AZ", "4a20c"),
    ("BA", "16n"),
    ("BE", "12n"),
    ("BG", "4a6n8c"),
    ("BH", "4a14c"),
    ("BI", "23n"),
    ("BR", "23n1a1c"),
    ("BY", "4c4n16c"),
    ("CH", "5n12c"),
    ("CR", "18n"),
    ("CY", "8n16c"),
    ("CZ", "20n"),
    ("DE", "18n"),
    ("DJ", "23n"),
    ("DK", "14n"),
    ("DO", "4c20n"),
    ("EE", "16n"),
    ("EG", "25n"),
    ("ES", "20n"),
    ("FI", "14n"),
    ("FK", "2a12n"),
    ("FO", "14n"),
    ("FR", "10n11c2n"),
    ("GB", "4a14n"),
    ("GE", "2a16n"),
    ("GI", "4a15c"),
    ("GL", "14n"),
    ("GR", "7n16c"),
    ("GT", "24c"),
    ("HN", "4a20n"),
    ("HR", "17n"),
    ("HU", "24n"),
    ("IE", "4a14n"),
    ("IL", "19n"),
    ("IQ", "4a15n"),
    ("IS", "22n"),
    ("IT", "1a10n12c"),
    ("JO", "4a4n18c"),
    ("KW", "4a22c"),
    ("KZ", "3n13c"),
    ("LB", "4n20c"),
    ("LC", "4a24c"),
    ("LI", "5n12c"),
    ("LT", "16n"),
    ("LU", "3n13c"),
    ("LV", "4a13c"),
    ("LY", "21n"),
    ("MC", "10n11c2n"),
    ("MD", "20c"),
    ("ME", "18n"),
    ("MK", "3n10c2n"),
    ("MN", "16n"),
    ("MR", "23n"),
    ("MT", "4a5n18c"),
    ("MU", "4a19n3a"),
    ("NI", "4a20n"),
    ("NL", "4a10n"),
    ("NO", "11n"),
    ("OM", "3n16c"),
    ("PK", "4a16c"),
    ("PL", "24n"),
    ("PS", "4a21c"),
    ("PT", "21n"),
    ("QA", "4a21c"),
    ("RO", "4a16c"),
    ("RS", "18n"),
    ("RU", "14n15c"),
    ("SA", "2n18c"),
    ("SC", "4a20n3a"),
    ("SD", "14n"),
    ("SE", "20n"),
    ("SI", "15n"),
    ("SK", "20n"),
    ("SM", "1a10n12c"),
    ("SO", "19n"),
    ("ST", "21n"),
    ("SV", "4a20n"),
    ("TL", "19n"),
    ("TN", "20n"),
    ("TR", "6n16c"),
    ("UA", "6n19c"),
    ("VA", "18n"),
    ("VG", "4a16n"),
    ("XK", "16n"),
    ("YE", "4a4n18c"),
];

/// Takes an IBAN with or without spaces, in either case; gives it back without spaces in upper case.
pub fn parse_iban(text: &str) -> Result<String, BankIdError> {
    if text.len() > TYPED_BYTES_MAX {
        return Err(BankIdError::IbanLength);
    }
    let iban: String = text.chars().filter(|c| *c != ' ').map(|c| c.to_ascii_uppercase()).collect();
    if !iban.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(BankIdError::IbanCharacter);
    }
    if !(LENGTH_MIN..=LENGTH_MAX).contains(&iban.len()) {
        return Err(BankIdError::IbanLength);
    }
    // All ASCII and long enough: these cuts are inside and between characters.
    let (head, account) = iban.split_at(4);
    let (country, check_digits) = head.split_at(2);
    let (country, form) = find_country(country).ok_or(BankIdError::IbanCountry)?;
    let expected = 4 + runs(form).map(|(length, _)| length).sum::<usize>();
    if iban.len() != expected {
        return Err(BankIdError::IbanCountryLength { country, expected, got: iban.len() });
    }
    if !has_form(account, form) {
        return Err(BankIdError::IbanStructure { country });
    }
    // 00, 01 and 99 are congruent to 97, 98 and 02, so the remainder alone would let them pass.
    if !check_digits.parse::<u8>().is_ok_and(|number| (2..=98).contains(&number)) {
        return Err(BankIdError::IbanCheckDigits);
    }
    if remainder(account.bytes().chain(head.bytes())) != 1 {
        return Err(BankIdError::IbanChecksum);
    }
    Ok(iban)
}

fn find_country(code: &str) -> Option<(&'static str, &'static str)> {
    let index = COUNTRIES.binary_search_by_key(&code, |(country, _)| country).ok()?;
    Some(COUNTRIES[index])
}

/// `4a14n` is (4, a), (14, n).
fn runs(form: &str) -> impl Iterator<Item = (usize, u8)> {
    form.split_inclusive(|c: char| c.is_ascii_lowercase()).map(|run| {
        let (length, class) = run.split_at(run.len() - 1);
        (length.parse().expect("the table has a length before each class"), class.as_bytes()[0])
    })
}

fn has_form(account: &str, form: &str) -> bool {
    let mut bytes = account.bytes();
    runs(form).all(|(length, class)| {
        bytes.by_ref().take(length).all(|byte| match class {
            b'n' => byte.is_ascii_digit(),
            b'a' => byte.is_ascii_uppercase(),
            _ => byte.is_ascii_alphanumeric(),
        })
    })
}

/// The number that the characters spell (A is 10, Z is 35), modulo 97.
fn remainder(characters: impl Iterator<Item = u8>) -> u32 {
    characters.fold(0, |remainder, byte| match byte {
        b'0'..=b'9' => (remainder * 10 + u32::from(byte - b'0')) % 97,
        _ => (remainder * 100 + u32::from(byte - b'A') + 10) % 97,
    })
}

#[cfg(test)]
mod tests;
