use super::*;

/// One for each country of the table.
const EXAMPLES: [&str; 89] = [
    "GB82WEST12345698765432",
    "DE89370400440532013000",
    "FR1420041010050500013M02606",
    "NL91ABNA0417164300",
    "BE68539007547034",
    "ES9121000418450200051332",
    "IT60X0542811101000000123456",
    "IE29AIBK93115212345678",
    "CH9300762011623852957",
    "AT611904300234573201",
    "SE4550000000058398257466",
    "NO9386011117947",
    "DK5000400440116243",
    "FI2112345600000785",
    "PL61109010140000071219812874",
    "PT50000201231234567890154",
    "GR1601101250000000012300695",
    "CZ6508000000192000145399",
    "HU42117730161111101800000000",
    "LU280019400644750000",
    "MT84MALT011000012345MTLCAST001S",
    "SA0380000000608010167519",
    "AE070331234567890123456",
    "TR330006100519786457841326",
    "BR1800360305000010009795493C1",
    "LC55HEMM000100010012001200023015",
    "MU17BOMM0101101030300200000MUR",
    "SC18SSCB11010000000000001497USD",
    "XK051212012345678906",
    "UA213223130000026007233566001",
    "RO49AAAA1B31007593840000",
    "LV80BANK0000435195001",
    "LT121000011101001000",
    "EE382200221020145685",
    "SK3112000000198742637541",
    "SI56263300012039086",
    "HR1210010051863000160",
    "BG80BNBG96611020345678",
    "CY17002001280000001200527600",
    "IS140159260076545510730339",
    "MC5811222000010123456789030",
    "LI21088100002324013AA",
    "SM86U0322509800000000270100",
    "GI75NWBK000000007099453",
    "VA59001123000012345678",
    "KW81CBKU0000000000001234560101",
    "EG380019000500000000263180002",
    "FK88SC123456789012",
    "JO94CBJO0010000000000131000302",
    "QA58DOHB00001234567890ABCDEFG",
    "PK36SCBL0000001123456702",
    "LB62099900000001001901229114",
    "MK07250120000058984",
    "RS35260005601001611379",
    "GE29NB0000000101904917",
    "TN5910006035183598478831",
    "IL620108000000099999999",
    "BH67BMAG00001299123456",
    "KZ86125KZT5004100100",
    "AZ21NABZ00000000137010001944",
    "DO28BAGR00000001212453611324",
    "GT82TRAJ01020000001210029690",
    "CR05015202001026284066",
    "VG96VPVG0000012345678901",
    "TL380080012345678910157",
    "PS92PALS000000000400123456702",
    "MD24AG000225100013104168",
    "ME25505000012345678951",
    "MR1300020001010000123456753",
    "AL47212110090000000235698741",
    "AD1200012030200359100100",
    "BA391290079401028494",
    "BY13NBRB3600900000002Z00AB00",
    "IQ98NBIQ850123456789012",
    "ST23000100010051845310146",
    "SV62CENR00000000000000700025",
    "LY83002048000020100120361",
    "FO6264600001631634",
    "GL8964710001000206",
    "SD8811123456789012",
    "BI4210000100010000332045181",
    "DJ2100010000000154000100186",
    "RU0204452560040702810412345678901",
    "SO211000001001000100141",
    "MN121234123456789123",
    "NI45BAPR00000013000003558124",
    "OM810180000001299123456",
    "HN88CABF00000000000250005469",
    "YE15CBYE0001018861234567891234",
];

#[test]
fn every_country_of_the_table_has_an_example_that_passes() {
    for (country, _) in COUNTRIES {
        assert!(EXAMPLES.iter().any(|example| example.starts_with(country)), "{country}");
    }
    for example in EXAMPLES {
        assert_eq!(parse_iban(example).as_deref(), Ok(example));
    }
}

#[test]
fn the_table_is_sorted_well_formed_and_within_the_standards_lengths() {
    assert!(COUNTRIES.is_sorted_by(|one, next| one.0 < next.0));
    for (country, form) in COUNTRIES {
        let length = 4 + runs(form).map(|(length, _)| length).sum::<usize>();
        assert!((LENGTH_MIN..=LENGTH_MAX).contains(&length), "{country}");
        assert!(runs(form).all(|(_, class)| b"nac".contains(&class)), "{country}");
        assert!(country == "XK" || super::super::parse_country(country).is_ok(), "{country}");
    }
}

#[test]
fn spaces_and_case_do_not_matter() {
    let iban = Ok("GB82WEST12345698765432".to_owned());
    assert_eq!(parse_iban("GB82 WEST 1234 5698 7654 32"), iban);
    assert_eq!(parse_iban(" gb82west12345698765432 "), iban);
}

#[test]
fn any_mistyped_character_and_any_swap_of_neighbours_is_refused() {
    let iban = "GB82WEST12345698765432";
    for index in 0..iban.len() {
        for typed in (b'0'..=b'9').chain(b'A'..=b'Z') {
            let mut wrong = iban.as_bytes().to_vec();
            wrong[index] = typed;
            let wrong = String::from_utf8(wrong).unwrap();
            assert_eq!(parse_iban(&wrong).is_ok(), wrong == iban, "{wrong}");
        }
    }
    for index in 4..iban.len() - 1 {
        let mut swapped = iban.as_bytes().to_vec();
        swapped.swap(index, index + 1);
        let swapped = String::from_utf8(swapped).unwrap();
        assert_eq!(parse_iban(&swapped).is_ok(), swapped == iban, "{swapped}");
    }
}

#[test]
fn the_length_is_exact_for_the_country() {
    for (text, country, expected, got) in [
        ("GB82WEST1234569876543", "GB", 22, 21),
        ("GB82WEST123456987654320", "GB", 22, 23),
        ("DE8937040044053201300", "DE", 22, 21),
        ("FR1420041010050500013M0260", "FR", 27, 26),
        ("NO93860111179470", "NO", 15, 16),
    ] {
        let error = BankIdError::IbanCountryLength { country, expected, got };
        assert_eq!(parse_iban(text), Err(error), "{text}");
    }
    for text in ["", "GB", "GB82WEST123456", &"1".repeat(35), &" ".repeat(65), &"GB".repeat(1000)] {
        assert_eq!(parse_iban(text), Err(BankIdError::IbanLength), "{text}");
    }
}

#[test]
fn each_fault_is_told_apart() {
    for (text, error) in [
        ("GB82-WEST-1234-5698-7654-32", BankIdError::IbanCharacter),
        ("GB82WEST1234569876543\u{662}", BankIdError::IbanCharacter),
        ("GB82\tWEST12345698765432", BankIdError::IbanCharacter),
        ("NG82WEST12345698765432", BankIdError::IbanCountry),
        ("US82WEST12345698765432", BankIdError::IbanCountry),
        ("1282WEST12345698765432", BankIdError::IbanCountry),
        ("GB82WES112345698765432", BankIdError::IbanStructure { country: "GB" }),
        ("GB82WESTA2345698765432", BankIdError::IbanStructure { country: "GB" }),
        ("DE8937040044053201300A", BankIdError::IbanStructure { country: "DE" }),
        ("GBX2WEST12345698765432", BankIdError::IbanCheckDigits),
        ("GB+2WEST12345698765432", BankIdError::IbanCharacter),
        ("GB83WEST12345698765432", BankIdError::IbanChecksum),
    ] {
        assert_eq!(parse_iban(text), Err(error), "{text}");
    }
}

#[test]
fn check_digits_that_only_look_right_are_refused() {
    // 98, 97 and 02 are right for these; their twins modulo 97 are not check digits.
    for (right, twin, account) in
        [("98", "01", "370400440000000042"), ("97", "00", "370400440000000060"), ("02", "99", "370400440000000024")]
    {
        assert!(parse_iban(&format!("DE{right}{account}")).is_ok());
        assert_eq!(parse_iban(&format!("DE{twin}{account}")), Err(BankIdError::IbanCheckDigits));
    }
}
