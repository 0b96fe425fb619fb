use super::*;
use crate::assert_not_impl::assert_not_impl;

assert_not_impl!(ApiKey, serde::Serialize);
assert_not_impl!(ApiKey, std::fmt::Display);
assert_not_impl!(ApiKey, PartialEq);
assert_not_impl!(KeyHasher, serde::Serialize);
assert_not_impl!(KeyHash, serde::Serialize);

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const KNOWN: &str = "sk_test_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn hasher(version: u16) -> KeyHasher {
    KeyHasher::new(version, SECRET).unwrap()
}

#[test]
fn a_made_key_has_the_stated_form_and_parses() {
    for (environment, prefix) in [(Environment::Live, "sk_live_"), (Environment::Test, "sk_test_")] {
        let key = ApiKey::generate(environment);
        let digits = key.expose().strip_prefix(prefix).unwrap();
        assert_eq!(digits.len(), 64);
        assert!(digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
        let parsed = ApiKey::parse(key.expose()).unwrap();
        assert_eq!(parsed.environment(), environment);
        assert_eq!(parsed.expose(), key.expose());
        assert_ne!(key.expose(), ApiKey::generate(environment).expose());
    }
}

#[test]
fn anything_else_is_no_key() {
    let digits = &KNOWN[8..];
    for text in [
        String::new(),
        "sk_test_".to_owned(),
        digits.to_owned(),
        format!("sk_prod_{digits}"),
        format!("SK_TEST_{digits}"),
        format!("pk_test_{digits}"),
        format!("sk_test_sk_live_{}", &digits[8..]),
        format!(" {KNOWN}"),
        format!("{KNOWN} "),
        format!("{KNOWN}\n"),
        format!("{KNOWN}0"),
        KNOWN[..71].to_owned(),
        KNOWN.to_uppercase(),
        format!("sk_test_{}", digits.to_uppercase()),
        format!("{}g", &KNOWN[..71]),
        format!("{}é", &KNOWN[..70]),
    ] {
        assert_eq!(ApiKey::parse(&text).unwrap_err(), ApiKeyError, "{text:?}");
    }
}

#[test]
fn printing_a_key_shows_its_world_alone() {
    let key = ApiKey::parse(KNOWN).unwrap();
    assert_eq!(format!("{key:?}"), "ApiKey(sk_test_***)");
    assert_eq!(key.hint(), "sk_test_****cdef");
    let hash = hasher(3).hash(&key);
    assert_eq!(format!("{hash:?}"), "KeyHash(v3, ***)");
    assert_eq!(format!("{:?}", hasher(3)), "KeyHasher { version: 3, secret: Secret(***) }");
    assert_eq!(ApiKeyError.to_string(), "not an API key");
}

/// The expected values are another implementation's (Node's crypto).
#[test]
fn the_hash_is_hmac_sha256_of_the_full_text() {
    let hash = hasher(1).hash(&ApiKey::parse(KNOWN).unwrap());
    assert_eq!(hex::encode(hash.as_bytes()), "4136a96341dc8d3992bff9734d21491547e4dc8714887a308e5991c4175210da",);
    assert_eq!(hasher(1).fingerprint(), "f60c8abf6fbef52945f2f1109b8c784e68627d0302d566813c20280e233ad33e",);
}

#[test]
fn a_hash_is_good_for_its_key_secret_and_version_alone() {
    let key = ApiKey::parse(KNOWN).unwrap();
    let hash = hasher(1).hash(&key);
    let stored = KeyHash::from_parts(hash.version(), *hash.as_bytes());
    assert!(hasher(1).verify(&key, &stored));

    assert!(!hasher(2).verify(&key, &stored), "another version");
    let other_secret = KeyHasher::new(1, &[7; 32]).unwrap();
    assert!(!other_secret.verify(&key, &stored), "another secret");
    assert_ne!(other_secret.fingerprint(), hasher(1).fingerprint());
    let other_world = ApiKey::parse(&KNOWN.replace("test", "live")).unwrap();
    assert!(!hasher(1).verify(&other_world, &stored), "the prefix is hashed too");
    for index in 0..32 {
        let mut mac = *hash.as_bytes();
        mac[index] ^= 1;
        assert!(!hasher(1).verify(&key, &KeyHash::from_parts(1, mac)), "byte {index}");
    }
}

#[test]
fn during_a_rotation_each_hash_is_verified_under_its_own_version() {
    let hashers = [KeyHasher::new(1, SECRET).unwrap(), KeyHasher::new(2, &[7; 40]).unwrap()];
    for (made_with, hasher) in hashers.iter().enumerate() {
        let key = ApiKey::generate(Environment::Live);
        let stored = hasher.hash(&key);
        let matching: Vec<_> = (0..hashers.len()).filter(|&index| hashers[index].verify(&key, &stored)).collect();
        assert_eq!(matching, [made_with]);
    }
}

#[test]
fn a_short_secret_is_refused() {
    for length in [0, 1, 31] {
        assert_eq!(
            KeyHasher::new(1, &SECRET[..length]).unwrap_err(),
            KeyHasherError::TooShort { got: length, min: 32 },
        );
    }
}
