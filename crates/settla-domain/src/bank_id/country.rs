//! Country codes: ISO 3166-1 alpha-2.

use super::BankIdError;

/// The officially assigned codes, in order.
const CODES: [&str; 249] = [
    "AD", "AE", "AF", "AG", "AI", "AL", "AM", "AO", "AQ", "AR", "AS", "AT", "AU", "AW", "AX", "AZ", "BA", "BB", "BD",
    "BE", "BF", "BG", "BH", "BI", "BJ", "BL", "BM", "BN", "BO", "BQ", "BR", "BS", "BT", "BV", "BW", "BY", "BZ", "CA",
    "CC", "CD", "CF", "CG", "CH", "CI", "CK", "CL", "CM", "CN", "CO", "CR", "CU", "CV", "CW", "CX", "CY", "CZ", "DE",
    "DJ", "DK", "DM", "DO", "DZ", "EC", "EE", "EG", "EH", "ER", "ES", "ET", "FI", "FJ", "FK", "FM", "FO", "FR", "GA",
    "GB", "GD", "GE", "GF", "GG", "GH", "GI", "GL", "GM", "GN", "GP", "GQ", "GR", "GS", "GT", "GU", "GW", "GY", "HK",
    "HM", "HN", "HR", "HT", "HU", "ID", "IE", "IL", "IM", "IN", "IO", "IQ", "IR", "IS", "IT", "JE", "JM", "JO", "JP",
    "KE", "KG", "KH", "KI", "KM", "KN", "KP", "KR", "KW", "KY", "KZ", "LA", "LB", "LC", "LI", "LK", "LR", "LS", "LT",
    "LU", "LV", "LY", "MA", "MC", "MD", "ME", "MF", "MG", "MH", "MK", "ML", "MM", "MN", "MO", "MP", "MQ", "MR", "MS",
    "MT", "MU", "MV", "MW", "MX", "MY", "MZ", "NA", "NC", "NE", "NF", "NG", "NI", "NL", "NO", "NP", "NR", "NU", "NZ",
    "OM", "PA", "PE", "PF", "PG", "PH", "PK", "PL", "PM", "PN", "PR", "PS", "PT", "PW", "PY", "QA", "RE", "RO", "RS",
    "RU", "RW", "SA", "SB", "SC", "SD", "SE", "SG", "SH", "SI", "SJ", "SK", "SL", "SM", "SN", "SO", "SR", "SS", "ST",
    "SV", "SX", "SY", "SZ", "TC", "TD", "TF", "TG", "TH", "TJ", "TK", "TL", "TM", "TN", "TO", "TR", "TT", "TV", "TW",
    "TZ", "UA", "UG", "UM", "US", "UY", "UZ", "VA", "VC", "VE", "VG", "VI", "VN", "VU", "WF", "WS", "YE", "YT", "ZA",
    "ZM", "ZW",
];

/// Takes a code in either case; gives back the assigned one, in upper case.
pub fn parse_country(text: &str) -> Result<&'static str, BankIdError> {
    let code = match text.as_bytes() {
        [first, second] => [first.to_ascii_uppercase(), second.to_ascii_uppercase()],
        _ => return Err(BankIdError::Country),
    };
    let index = CODES.binary_search_by(|known| known.as_bytes().cmp(&code)).map_err(|_| BankIdError::Country)?;
    Ok(CODES[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_table_is_found() {
        assert!(CODES.is_sorted_by(|one, next| one < next));
        for code in CODES {
            assert_eq!(parse_country(code), Ok(code));
            assert_eq!(parse_country(&code.to_lowercase()), Ok(code));
        }
    }

    #[test]
    fn other_text_is_no_country() {
        // Among them the reserved UK, EU and XK, and codes of countries that are no more.
        for text in ["", "G", "GBR", "UK", "EU", "XK", "AN", "YU", "ZZ", "12", "G ", " G", "é", "\u{ff27}"] {
            assert_eq!(parse_country(text), Err(BankIdError::Country), "{text}");
        }
    }
}
