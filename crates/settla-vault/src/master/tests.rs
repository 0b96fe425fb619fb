use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;
use crate::assert_not_impl::assert_not_impl;
use crate::seal::{Aad, open, seal};

assert_not_impl!(MasterKey, Clone);
assert_not_impl!(MasterKey, serde::Serialize);
assert_not_impl!(MasterKey, std::fmt::Display);

/// Bytes 0 to 31 with its checksum, which another implementation (Node's crypto) computed.
const KNOWN_FILE: &str = "settla-master-key-1 \
    000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f 4980e40a06b38a89\n";

fn known_key() -> MasterKey {
    MasterKey::from_bytes(std::array::from_fn(|index| index as u8))
}

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    (folder, path)
}

fn write_private(path: &Path, content: &[u8]) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_wrapped_key_comes_back_for_its_tenant_alone() {
    let master = known_key();
    let dek = Dek::generate();
    let aad = Aad { tenant: 7, table: "t", row: uuid::Uuid::nil(), field: "f" };
    let sealed = seal(&dek, &aad, b"value");
    let wrapped = master.wrap(&dek, 7);

    let unwrapped = master.unwrap(&wrapped, 7).unwrap();
    assert_eq!(open(&unwrapped, &aad, &sealed).unwrap().expose(), b"value");
    assert_eq!(master.unwrap(&wrapped, 8).unwrap_err(), OpenError::Refused);
    let other = MasterKey::from_bytes([9; 32]);
    assert_eq!(other.unwrap(&wrapped, 7).unwrap_err(), OpenError::OtherKey);
    for index in 0..wrapped.len() {
        let mut tampered = wrapped.clone();
        tampered[index] ^= 0x80;
        assert!(master.unwrap(&tampered, 7).is_err(), "byte {index}");
        assert!(master.unwrap(&wrapped[..index], 7).is_err(), "{index} bytes");
    }
}

/// Made by another implementation (Node's crypto), so they pin the formats.
#[test]
fn values_wrapped_and_sealed_elsewhere_open() {
    let wrapped = "01e46a1dbfa0a1a2a3a4a5a6a7a8a9aaaba45a3e6f078940fd2027c5914538829c\
        32ee1b52d0f5002ede4c64c43de93743971ca06818173886d14745f3562c78bd";
    let dek = known_key().unwrap(&hex::decode(wrapped).unwrap(), 7).unwrap();
    assert_eq!(dek.0.bytes(), &[0x42; 32]);

    let labelled = "01e46a1dbfa0a1a2a3a4a5a6a7a8a9aaab967905412aaa66305388efb0074bdea34faeca46a62104";
    let opened = known_key().open("signer-key", &hex::decode(labelled).unwrap()).unwrap();
    assert_eq!(opened.expose(), b"payload");
}

#[test]
fn a_label_must_be_given_again() {
    let master = known_key();
    let sealed = master.seal("signer-key", b"payload");
    assert_eq!(master.open("signer-key", &sealed).unwrap().expose(), b"payload");
    for label in ["signer-kez", "signer-key2", "signer-ke", ""] {
        assert_eq!(master.open(label, &sealed).unwrap_err(), OpenError::Refused, "{label}");
    }
}

#[test]
fn a_wrapped_key_and_a_labelled_value_are_never_taken_for_each_other() {
    let master = known_key();
    let wrapped = master.wrap(&Dek::generate(), 7);
    assert!(master.open("\0\0\0\u{7}", &wrapped).is_err());
    assert!(master.unwrap(&master.seal("\0\0\0\u{7}", &[0; 32]), 7).is_err());
    // The contexts hold this apart, and so does the length.
    let short = master.0.seal(&wrap_context(7), &[0; 31]);
    assert_eq!(master.unwrap(&short, 7).unwrap_err(), OpenError::NotAKey);
}

#[test]
fn the_first_start_makes_a_private_file_and_later_ones_read_it() {
    let (folder, path) = scratch();
    assert!(matches!(MasterKey::load(&path), Err(MasterKeyError::Absent(_))));
    let made = MasterKey::load_or_create(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(names(folder.path()), ["master.key"], "no draft is left behind");

    let content = fs::read(&path).unwrap();
    for again in [MasterKey::load_or_create(&path), MasterKey::load(&path)] {
        assert_eq!(again.unwrap().fingerprint(), made.fingerprint());
    }
    assert_eq!(fs::read(&path).unwrap(), content);
}

#[test]
fn starters_that_race_get_one_key() {
    let (folder, path) = scratch();
    let barrier = std::sync::Barrier::new(8);
    let mut fingerprints = std::thread::scope(|scope| {
        let starters: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    MasterKey::load_or_create(&path).unwrap().fingerprint()
                })
            })
            .collect();
        starters.into_iter().map(|starter| starter.join().unwrap()).collect::<Vec<_>>()
    });
    fingerprints.dedup();
    assert_eq!(fingerprints.len(), 1);
    assert_eq!(names(folder.path()), ["master.key"]);
}

#[test]
fn a_known_file_gives_the_known_key() {
    let (_folder, path) = scratch();
    write_private(&path, KNOWN_FILE.as_bytes());
    assert_eq!(
        MasterKey::load(&path).unwrap().fingerprint(),
        "1d33f7ba430ac45ac2bb675b8df26e25396b02591e5d98241f16921afc92539e",
    );
}

#[test]
fn a_damaged_file_is_an_error_and_stays_as_it_is() {
    let (_folder, path) = scratch();
    let mut damaged: Vec<Vec<u8>> = (0..KNOWN_FILE.len())
        .map(|index| {
            let mut bytes = KNOWN_FILE.as_bytes().to_vec();
            bytes[index] ^= 0x01;
            bytes
        })
        .collect();
    damaged.extend((0..KNOWN_FILE.len()).map(|length| KNOWN_FILE.as_bytes()[..length].to_vec()));
    damaged.push([KNOWN_FILE.as_bytes(), b"\n"].concat());
    damaged.push(vec![b'a'; 100_000]);
    for content in damaged {
        write_private(&path, &content);
        let outcome = MasterKey::load_or_create(&path);
        assert!(matches!(outcome, Err(MasterKeyError::Damaged(_))), "{content:?}");
        assert_eq!(fs::read(&path).unwrap(), content);
    }
}

#[test]
fn a_file_that_others_can_read_is_refused() {
    let (_folder, path) = scratch();
    write_private(&path, KNOWN_FILE.as_bytes());
    for mode in [0o640, 0o604, 0o620, 0o601] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let outcome = MasterKey::load_or_create(&path);
        assert!(matches!(outcome, Err(MasterKeyError::TooOpen { .. })), "{mode:o}");
    }
}

#[test]
fn what_cannot_be_read_is_not_taken_for_absent() {
    let (folder, path) = scratch();
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(matches!(MasterKey::load_or_create(&path), Err(MasterKeyError::Io { .. })));
    assert_eq!(names(folder.path()), ["master.key"]);

    let below_a_file = folder.path().join("file");
    fs::write(&below_a_file, b"").unwrap();
    let outcome = MasterKey::load_or_create(&below_a_file.join("master.key"));
    assert!(matches!(outcome, Err(MasterKeyError::Io { action: "open", .. })));
    let outcome = MasterKey::load_or_create(&folder.path().join("no/such/folder/master.key"));
    assert!(matches!(outcome, Err(MasterKeyError::Io { action: "create", .. })));
}

#[test]
fn neither_the_key_nor_an_error_prints_the_key() {
    assert_eq!(format!("{:?}", known_key()), "MasterKey(***)");
    let (_folder, path) = scratch();
    write_private(&path, KNOWN_FILE.replace("4980", "4981").as_bytes());
    let error = MasterKey::load(&path).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("00010203"));
}
