//! Whose data it is: a value of its own in every personal field, with check digits that are right.

use crate::common::search::Canary;
use serde_json::{Value, json};

/// A word that nothing else contains.
pub fn word(start: &str) -> String {
    let tail: String = uuid::Uuid::now_v7().as_bytes()[8..].iter().map(|b| char::from(b'a' + b % 26)).collect();
    format!("{start}{tail}")
}

/// An IBAN with its check digits.
pub fn iban(country: &str, bban: &str) -> String {
    let digits = |text: &str| text.chars().map(|c| c.to_digit(36).unwrap().to_string()).collect::<String>();
    let rest = digits(&format!("{bban}{country}00")).bytes().fold(0, |rest, b| (rest * 10 + u32::from(b - b'0')) % 97);
    format!("{country}{:02}{bban}", 98 - rest)
}

/// In groups of four, as people write it.
pub fn grouped(iban: &str) -> String {
    iban.as_bytes().chunks(4).map(|c| String::from_utf8_lossy(c).into_owned()).collect::<Vec<_>>().join(" ")
}

/// Everybody's personal data in this test.
pub struct People {
    pub sender_name: String,
    pub sender_account: String,
    pub payee_name: String,
    pub nuban: &'static str,
    pub nuban_bank: &'static str,
    pub payee_iban: String,
    pub payee_bic: &'static str,
    pub holder_name: String,
    pub holder_account: &'static str,
    pub holder_sort_code: &'static str,
    pub holder_iban: String,
    pub payer_name: String,
}

impl People {
    pub fn new() -> Self {
        Self {
            sender_name: format!("{} {}", word("Zephyr"), word("Quorv")),
            sender_account: iban("GB", "QZXK90917364825107"),
            payee_name: format!("{} {}", word("Oluwa"), word("Nzek")),
            // A six-digit code need not fit the account's check digit.
            nuban: "9753186429",
            nuban_bank: "999973",
            payee_iban: iban("DE", "948301757291640385"),
            payee_bic: "QX7ZDEJ4W3K",
            holder_name: format!("{} {}", word("Wibble"), word("Vux")),
            holder_account: "97531864",
            holder_sort_code: "997391",
            holder_iban: iban("GB", "KXZQ81730592648106"),
            payer_name: format!("{} {}", word("Yttrium"), word("Payz")),
        }
    }

    pub fn canaries(&self) -> Vec<Canary> {
        let mut canaries = Vec::new();
        for (what, name) in [
            ("the sender's name", &self.sender_name),
            ("the payee's name", &self.payee_name),
            ("the holder's name", &self.holder_name),
            ("the payer's name", &self.payer_name),
        ] {
            canaries.extend(name.split(' ').map(|part| Canary::new(what, part)));
        }
        for (what, iban) in [
            ("the sender's account", &self.sender_account),
            ("the payee's IBAN", &self.payee_iban),
            ("the holder's IBAN", &self.holder_iban),
        ] {
            canaries.extend([Canary::new(what, iban), Canary::new(what, grouped(iban)), Canary::new(what, &iban[4..])]);
        }
        for (what, number) in [
            ("the payee's NUBAN", self.nuban),
            ("the payee's bank", self.nuban_bank),
            ("the payee's BIC", self.payee_bic),
            ("the holder's account", self.holder_account),
            ("the holder's sort code", self.holder_sort_code),
            ("the holder's sort code", "99-73-91"),
        ] {
            canaries.push(Canary::new(what, number));
        }
        canaries
    }

    pub fn sender(&self) -> Value {
        json!({ "name": self.sender_name, "account": grouped(&self.sender_account) })
    }

    pub fn transfer(&self, quote: &str, reference: &str, beneficiary: Value) -> Value {
        json!({ "quote_id": quote, "reference": reference, "sender": self.sender(), "beneficiary": beneficiary })
    }

    pub fn in_nigeria(&self) -> Value {
        json!({ "name": self.payee_name, "country": "NG",
            "account": { "type": "nuban", "bank_code": self.nuban_bank, "account_number": self.nuban } })
    }

    pub fn in_germany(&self) -> Value {
        json!({ "name": self.payee_name, "country": "DE",
            "account": { "type": "iban", "iban": grouped(&self.payee_iban), "bic": self.payee_bic } })
    }
}
