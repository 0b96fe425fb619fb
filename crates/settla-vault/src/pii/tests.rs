use super::*;
use crate::assert_not_impl::assert_not_impl;

assert_not_impl!(Pii<String>, serde::Serialize);
assert_not_impl!(PiiName, serde::Serialize);
assert_not_impl!(PiiAccount, serde::Serialize);
assert_not_impl!(PiiName, AsRef<str>);
assert_not_impl!(PiiName, std::ops::Deref);

#[test]
fn printing_shows_what_the_mask_lets_through() {
    let name = PiiName::new("John Canary".to_owned());
    let account = PiiAccount::new("GB82WEST12345698764567".to_owned());
    let address: Pii<std::net::IpAddr> = Pii::new([203, 0, 113, 9].into());
    assert_eq!(format!("{name} {name:?}"), "J*** Pii(J***)");
    assert_eq!(format!("{account} {account:#?}"), "****4567 Pii(****4567)");
    assert_eq!(format!("{address} {address:?}"), "*** Pii(***)");

    #[derive(Debug)]
    #[allow(dead_code, reason = "only its Debug is looked at")]
    struct Request {
        name: PiiName,
        account: PiiAccount,
    }
    let printed = format!("{:?}", Request { name, account });
    assert!(!printed.contains("ohn") && !printed.contains("WEST"), "{printed}");
}

#[test]
fn accounts_show_four_characters_only_when_as_many_stay_hidden() {
    for (account, masked) in [
        ("0123454567", "****4567"),
        ("12344567", "****4567"),
        ("GB82 WEST 1234 5698 7645 67", "****4567"),
        ("1234567", "****"),
        ("4567", "****"),
        ("", "****"),
        ("12345\n678", "****5678"),
        ("12345678\u{1b}[2J", "****"),
        ("ÄÖÜßÄÖÜß", "****"),
    ] {
        assert_eq!(mask_account(account), masked, "{account:?}");
    }
}

#[test]
fn names_show_one_letter() {
    for (name, masked) in [
        ("John", "J***"),
        ("  John", "J***"),
        ("Ọlá Adébáyọ̀", "Ọ***"),
        ("王", "王***"),
        ("", "***"),
        ("\u{1b}[31mJohn", "***"),
        ("-John", "***"),
    ] {
        assert_eq!(mask_name(name), masked, "{name:?}");
    }
}

#[test]
fn it_reads_like_the_bare_value_and_errors_do_not_quote_it() {
    let name: PiiName = serde_json::from_str("\"John\"").unwrap();
    assert_eq!(name.reveal_pii("test"), "John");
    assert_eq!(name, PiiName::new("John".to_owned()));
    assert_ne!(name, PiiName::new("Jane".to_owned()));

    let error = serde_json::from_str::<PiiAccount>("1234567890").unwrap_err();
    assert!(!error.to_string().contains("1234567890"), "{error}");
}
