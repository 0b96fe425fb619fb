use uuid::Uuid;

use super::*;
use crate::aead::{AeadKey, OVERHEAD_BYTES};
use crate::assert_not_impl::assert_not_impl;

assert_not_impl!(Dek, Clone);
assert_not_impl!(Dek, serde::Serialize);
assert_not_impl!(Dek, std::fmt::Display);

const PLAINTEXT: &[u8] = b"Ada Obi";

fn fixed_dek() -> Dek {
    let mut bytes = [0; 32];
    for (byte, value) in bytes.iter_mut().zip(0..) {
        *byte = value;
    }
    Dek(AeadKey::from_array(&bytes))
}

fn aad() -> Aad<'static> {
    Aad {
        tenant: 7,
        table: "transfers",
        row: Uuid::from_u128(0x018f_3c4e_5a6b_7c8d_9e0f_1122_3344_5566),
        field: "recipient_name",
    }
}

#[test]
fn what_was_sealed_opens() {
    let dek = Dek::generate();
    for plaintext in [b"".as_slice(), PLAINTEXT, &[0xff; 4096]] {
        let sealed = seal(&dek, &aad(), plaintext);
        assert_eq!(sealed.len(), plaintext.len() + OVERHEAD_BYTES);
        assert_eq!(open(&dek, &aad(), &sealed).unwrap().expose(), plaintext);
    }
}

/// Made by another implementation (Node's crypto), so it pins the format: stored data must open for ever.
#[test]
fn a_value_sealed_elsewhere_opens() {
    let sealed =
        hex::decode("01e46a1dbfa0a1a2a3a4a5a6a7a8a9aaaba77c1d0d0aa96b05c902d40ae9f633f2a868fd88701b6a").unwrap();
    assert_eq!(open(&fixed_dek(), &aad(), &sealed).unwrap().expose(), PLAINTEXT);
}

#[test]
fn the_same_value_sealed_twice_differs_and_shows_no_plaintext() {
    let dek = Dek::generate();
    let (one, two) = (seal(&dek, &aad(), PLAINTEXT), seal(&dek, &aad(), PLAINTEXT));
    assert_ne!(one, two);
    assert_ne!(one[5..17], two[5..17], "the nonces differ");
    assert!(!one.windows(PLAINTEXT.len()).any(|window| window == PLAINTEXT));
}

#[test]
fn a_value_moved_to_another_place_is_refused() {
    let dek = Dek::generate();
    let here = aad();
    let sealed = seal(&dek, &here, PLAINTEXT);
    let elsewhere = [
        Aad { tenant: 8, ..here },
        Aad { table: "transfer", ..here },
        Aad { row: Uuid::from_u128(here.row.as_u128() ^ 1), ..here },
        Aad { field: "sender_name", ..here },
        Aad { field: "", ..here },
    ];
    for place in elsewhere {
        assert_eq!(open(&dek, &place, &sealed).unwrap_err(), OpenError::Refused, "{place:?}");
    }
}

#[test]
fn no_two_places_encode_alike() {
    // Without lengths, both would be a "t", seventeen times "a", and an "f".
    let one = Aad { tenant: 7, table: "t", row: Uuid::from_bytes(*b"aaaaaaaaaaaaaaaa"), field: "af" };
    let two = Aad { tenant: 7, table: "ta", row: Uuid::from_bytes(*b"aaaaaaaaaaaaaaaa"), field: "f" };
    let three = Aad { tenant: 7, table: "taa", row: Uuid::from_bytes(*b"aaaaaaaaaaaaaaaf"), field: "" };
    for (one, other) in [(one, two), (two, three), (one, three)] {
        assert_ne!(one.encode(), other.encode());
    }
}

#[test]
fn a_changed_bit_anywhere_is_refused() {
    let dek = Dek::generate();
    let sealed = seal(&dek, &aad(), PLAINTEXT);
    for index in 0..sealed.len() {
        for bit in 0..8 {
            let mut tampered = sealed.clone();
            tampered[index] ^= 1 << bit;
            let expected = match index {
                0 => OpenError::UnknownFormat(tampered[0]),
                1..5 => OpenError::OtherKey,
                // Nonce, ciphertext and tag.
                _ => OpenError::Refused,
            };
            assert_eq!(open(&dek, &aad(), &tampered).unwrap_err(), expected, "byte {index}");
        }
    }
}

#[test]
fn a_shortened_or_lengthened_value_is_refused() {
    let dek = Dek::generate();
    let sealed = seal(&dek, &aad(), PLAINTEXT);
    for length in 0..sealed.len() {
        let expected = if length < OVERHEAD_BYTES { OpenError::TooShort } else { OpenError::Refused };
        assert_eq!(open(&dek, &aad(), &sealed[..length]).unwrap_err(), expected, "{length} bytes");
    }
    let longer = [sealed.as_slice(), &[0]].concat();
    assert_eq!(open(&dek, &aad(), &longer).unwrap_err(), OpenError::Refused);
}

#[test]
fn another_key_is_told_from_damage_and_cannot_be_passed_off() {
    let (dek, other) = (Dek::generate(), Dek::generate());
    let mut sealed = seal(&dek, &aad(), PLAINTEXT);
    assert_eq!(open(&other, &aad(), &sealed).unwrap_err(), OpenError::OtherKey);
    // With the other key's id written over its own.
    sealed[1..5].copy_from_slice(&seal(&other, &aad(), b"")[1..5]);
    assert_eq!(open(&other, &aad(), &sealed).unwrap_err(), OpenError::Refused);
    assert_eq!(open(&dek, &aad(), &sealed).unwrap_err(), OpenError::OtherKey);
}

#[test]
fn opened_text_is_masked_and_other_bytes_are_not_text() {
    let dek = Dek::generate();
    let sealed = seal(&dek, &aad(), "0123454567".as_bytes());
    let account: crate::PiiAccount = open_pii(&dek, &aad(), &sealed).unwrap();
    assert_eq!(account.to_string(), "****4567");
    assert_eq!(account.reveal_pii("test"), "0123454567");

    let sealed = seal(&dek, &aad(), &[0xff, 0xfe]);
    let opened: Result<Pii<String>, _> = open_pii(&dek, &aad(), &sealed);
    assert_eq!(opened.unwrap_err(), OpenError::NotText);
}

#[test]
fn neither_keys_nor_opened_values_print() {
    let dek = fixed_dek();
    assert_eq!(format!("{dek:?}"), "Dek(***)");
    let opened = open(&dek, &aad(), &seal(&dek, &aad(), PLAINTEXT)).unwrap();
    assert_eq!(format!("{opened:?}"), "Secret(***)");
}
