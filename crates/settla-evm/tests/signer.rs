//! The signer's folder: what survives, what is refused, and that nothing is ever overwritten.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use common::{CHAIN_ID, intent, master_key, open};
use settla_evm::{Address, LocalSigner, Signer, SignerError};
use settla_vault::MasterKey;
use tokio::task::JoinSet;
use uuid::Uuid;

const TOKEN: Address = Address([0x11; 20]);
const PAYEE: Address = Address([0x22; 20]);
const KEY: &str = "signer-key.json";
const JOURNAL: &str = "signer-journal.jsonl";

fn try_open(dir: &Path) -> Result<LocalSigner, SignerError> {
    LocalSigner::open(dir, &master_key(), CHAIN_ID, 0)
}

/// Every name in a folder, with the content of those that are files.
fn content(dir: &Path) -> BTreeMap<String, Option<Vec<u8>>> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).ok())
        })
        .collect()
}

/// A folder with a key and two signed payments.
async fn used_folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let signer = open(dir.path(), 0);
    for amount in [1, 2] {
        signer.sign(&intent(TOKEN, PAYEE, &[amount])).await.unwrap();
    }
    dir
}

#[tokio::test]
async fn key_nonces_and_bytes_survive_reopening() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(LocalSigner::address_in(dir.path()).unwrap(), None);
    let signer = open(dir.path(), 0);
    let address = signer.address().await;
    let first = intent(TOKEN, PAYEE, &[1, 2, 3]);
    let signed = signer.sign(&first).await.unwrap();
    assert_eq!((signed.nonce, signed.from), (0, address));
    drop(signer);

    assert_eq!(LocalSigner::address_in(dir.path()).unwrap(), Some(address));
    let signer = open(dir.path(), 1);
    assert_eq!(signer.address().await, address);
    assert_eq!(signer.find(first.id).await.unwrap(), std::slice::from_ref(&signed));
    assert_eq!(signer.find(Uuid::nil()).await.unwrap(), []);
    assert_eq!(signer.sign(&first).await.unwrap(), signed);
    let next = signer.sign(&intent(TOKEN, PAYEE, &[9])).await.unwrap();
    assert_eq!(next.nonce, 1);
}

#[tokio::test]
async fn the_same_intent_gives_the_same_bytes_whatever_the_fees_have_become() {
    let dir = tempfile::tempdir().unwrap();
    let signer = open(dir.path(), 0);
    let mut wish = intent(TOKEN, PAYEE, &[5]);
    let signed = signer.sign(&wish).await.unwrap();
    wish.fees.max_fee_per_gas *= 2;
    wish.gas_limit += 1;
    assert_eq!(signer.sign(&wish).await.unwrap(), signed);
}

#[tokio::test]
async fn a_changed_intent_is_refused_and_takes_no_nonce() {
    let dir = tempfile::tempdir().unwrap();
    let signer = open(dir.path(), 0);
    let wish = intent(TOKEN, PAYEE, &[5]);
    signer.sign(&wish).await.unwrap();
    let mut other_payee = wish.clone();
    other_payee.destination = Address([0x33; 20]);
    let mut other_amount = wish.clone();
    other_amount.manifest.members[0].amount = 6;
    let mut other_token = wish.clone();
    other_token.token = Address([0x44; 20]);
    for changed in [other_payee, other_amount, other_token] {
        assert!(matches!(
            signer.sign(&changed).await,
            Err(SignerError::IntentChanged(id)) if id == wish.id
        ));
    }
    let next = signer.sign(&intent(TOKEN, PAYEE, &[7])).await.unwrap();
    assert_eq!(next.nonce, 1);
}

#[tokio::test]
async fn a_refused_intent_takes_no_nonce_and_leaves_no_record() {
    let dir = tempfile::tempdir().unwrap();
    let signer = open(dir.path(), 0);
    let before = content(dir.path());
    let mut other_chain = intent(TOKEN, PAYEE, &[5]);
    other_chain.chain_id = 43114;
    assert!(matches!(
        signer.sign(&other_chain).await,
        Err(SignerError::WrongChain { expected: CHAIN_ID, actual: 43114 })
    ));
    let mut unaudited = intent(TOKEN, PAYEE, &[5]);
    unaudited.audit.clear();
    assert!(matches!(signer.sign(&unaudited).await, Err(SignerError::Refused(_))));
    assert_eq!(content(dir.path()), before);
    assert_eq!(signer.find(unaudited.id).await.unwrap(), []);
    let signed = signer.sign(&intent(TOKEN, PAYEE, &[5])).await.unwrap();
    assert_eq!(signed.nonce, 0);
}

/// Concurrent calls, among them the same intent many times over: one nonce an intent, no gap.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_calls_share_no_nonce() {
    const INTENTS: u64 = 100;
    let dir = tempfile::tempdir().unwrap();
    let signer = Arc::new(open(dir.path(), 0));
    let mut tasks = JoinSet::new();
    for _ in 0..INTENTS {
        let wish = Arc::new(intent(TOKEN, PAYEE, &[1]));
        for _ in 0..3 {
            let (signer, wish) = (Arc::clone(&signer), Arc::clone(&wish));
            tasks.spawn(async move { signer.sign(&wish).await.unwrap() });
        }
    }
    let mut by_intent = BTreeMap::new();
    for signed in tasks.join_all().await {
        let first = by_intent.entry(signed.intent_id).or_insert_with(|| signed.clone());
        assert_eq!(*first, signed);
    }
    let mut nonces: Vec<u64> = by_intent.values().map(|signed| signed.nonce).collect();
    nonces.sort_unstable();
    assert_eq!(nonces, (0..INTENTS).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_audit_lines_are_in_the_journal_before_the_signature() {
    let dir = tempfile::tempdir().unwrap();
    let signer = open(dir.path(), 0);
    let mut wish = intent(TOKEN, PAYEE, &[1, 2]);
    wish.audit = vec!["who 1 \"quoted\"".to_owned(), "who 2\n".to_owned()];
    signer.sign(&wish).await.unwrap();
    let journal = fs::read_to_string(dir.path().join(JOURNAL)).unwrap();
    let lines: Vec<serde_json::Value> = journal.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[1]["record"]["intent"]["audit"], serde_json::json!(wish.audit));
    assert!(lines[1]["at_unix_ms"].as_u64().unwrap() > 0);
    assert!(lines[2]["record"]["signed"]["raw"].is_string());
}

#[tokio::test]
async fn no_secret_is_in_the_folder_and_nobody_else_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("signer");
    drop(open(&dir, 0));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for name in [KEY, JOURNAL, "signer.lock"] {
        assert_eq!(mode(&dir.join(name)), 0o600, "{name}");
    }
    let names: Vec<String> = content(&dir).into_keys().collect();
    assert_eq!(names, [JOURNAL, KEY, "signer.lock"]);
}

#[tokio::test]
async fn a_second_opener_is_refused_until_the_first_is_gone() {
    let dir = used_folder().await;
    let first = open(dir.path(), 2);
    assert!(matches!(try_open(dir.path()), Err(SignerError::InUse)));
    drop(first);
    assert!(try_open(dir.path()).is_ok());
}

#[tokio::test]
async fn a_chain_nonce_above_the_journal_is_refused() {
    let dir = used_folder().await;
    for chain_nonce in [0, 1, 2] {
        drop(open(dir.path(), chain_nonce));
    }
    assert!(matches!(
        LocalSigner::open(dir.path(), &master_key(), CHAIN_ID, 3),
        Err(SignerError::RolledBack { journal_nonce: 2, chain_nonce: 3 })
    ));
    // A folder that was lost whole: no new key for a caller who knows of an old one.
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(LocalSigner::open(empty.path(), &master_key(), CHAIN_ID, 1), Err(SignerError::RolledBack { .. })));
    assert_eq!(LocalSigner::address_in(empty.path()).unwrap(), None);
}

/// One way of damage at a time: each is refused for its own reason, and every file stays as it was.
#[tokio::test]
async fn damage_is_refused_and_never_overwritten() {
    type Damage = fn(&Path);
    type Expected = fn(&SignerError) -> bool;
    let cases: [(&str, Damage, Expected); 9] = [
        (
            "key cut short",
            |dir| {
                let key = fs::read(dir.join(KEY)).unwrap();
                fs::write(dir.join(KEY), &key[..key.len() / 2]).unwrap();
            },
            |error| matches!(error, SignerError::KeyDamaged(_)),
        ),
        (
            "key empty",
            |dir| fs::write(dir.join(KEY), b"").unwrap(),
            |error| matches!(error, SignerError::KeyDamaged(_)),
        ),
        (
            "sealed key changed",
            |dir| {
                change_json(&dir.join(KEY), "sealed", |digits| {
                    let other = if digits.ends_with('0') { "1" } else { "0" };
                    digits.replace_range(digits.len() - 1.., other);
                });
            },
            |error| matches!(error, SignerError::KeyDamaged(_)),
        ),
        (
            "address changed",
            |dir| {
                change_json(&dir.join(KEY), "address", |address| {
                    *address = Address([5; 20]).to_string();
                });
            },
            |error| matches!(error, SignerError::KeyDamaged(_)),
        ),
        (
            "key unreadable",
            |dir| {
                fs::remove_file(dir.join(KEY)).unwrap();
                fs::create_dir(dir.join(KEY)).unwrap();
            },
            |error| matches!(error, SignerError::Io { .. }),
        ),
        ("key gone", |dir| fs::remove_file(dir.join(KEY)).unwrap(), |error| matches!(error, SignerError::KeyMissing)),
        (
            "journal gone",
            |dir| fs::remove_file(dir.join(JOURNAL)).unwrap(),
            |error| matches!(error, SignerError::JournalMissing),
        ),
        (
            "journal empty",
            |dir| fs::write(dir.join(JOURNAL), b"").unwrap(),
            |error| matches!(error, SignerError::JournalDamaged { line: 1, .. }),
        ),
        (
            "journal line changed",
            |dir| {
                let journal = fs::read_to_string(dir.join(JOURNAL)).unwrap();
                fs::write(dir.join(JOURNAL), journal.replacen("\"nonce\":1", "\"nonce\":7", 1)).unwrap();
            },
            |error| matches!(error, SignerError::JournalDamaged { line: 4, .. }),
        ),
    ];
    for (name, damage, expected) in cases {
        let dir = used_folder().await;
        damage(dir.path());
        let before = content(dir.path());
        let error = try_open(dir.path()).expect_err(name);
        assert!(expected(&error), "{name}: {error}");
        assert_eq!(content(dir.path()), before, "{name}");
    }
}

#[tokio::test]
async fn another_master_key_chain_or_journal_is_refused() {
    let dir = used_folder().await;
    let before = content(dir.path());
    let other = MasterKey::from_bytes([8; 32]);
    assert!(matches!(LocalSigner::open(dir.path(), &other, CHAIN_ID, 0), Err(SignerError::KeyDamaged(_))));
    assert!(matches!(
        LocalSigner::open(dir.path(), &master_key(), 43114, 0),
        Err(SignerError::WrongChain { expected: 43114, actual: CHAIN_ID })
    ));
    assert_eq!(content(dir.path()), before);

    // The key of one folder with the journal of another.
    let stranger = used_folder().await;
    fs::copy(stranger.path().join(JOURNAL), dir.path().join(JOURNAL)).unwrap();
    assert!(matches!(try_open(dir.path()), Err(SignerError::JournalDamaged { line: 1, .. })));
}

/// A crash between the intent's record and the signature's: the same bytes are made again.
#[tokio::test]
async fn an_intent_without_its_signature_is_signed_again_with_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let signer = open(dir.path(), 0);
    let wish = intent(TOKEN, PAYEE, &[5, 6]);
    let signed = signer.sign(&wish).await.unwrap();
    drop(signer);
    let path = dir.path().join(JOURNAL);
    let journal = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = journal.split_inclusive('\n').collect();
    // The signature's line gone whole, and torn.
    for torn in ["", &lines[2][..40]] {
        fs::write(&path, format!("{}{}{torn}", lines[0], lines[1])).unwrap();
        let signer = open(dir.path(), 0);
        assert_eq!(signer.find(wish.id).await.unwrap(), std::slice::from_ref(&signed));
    }
}

/// Crashes while the folder is made: a key that nobody was told of is made anew, an announced one is kept.
#[tokio::test]
async fn a_crash_while_the_key_is_made_leaves_a_folder_that_opens() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("signer-key.new"), b"{\"vers").unwrap();
    let address = open(dir.path(), 0).address().await;

    // The key is proven and its journal made, but it does not have its name yet.
    fs::rename(dir.path().join(KEY), dir.path().join("signer-key.new")).unwrap();
    assert_eq!(open(dir.path(), 0).address().await, address);
    assert!(dir.path().join(KEY).is_file());
    // It has its name, and the provisional one is still there.
    fs::hard_link(dir.path().join(KEY), dir.path().join("signer-key.new")).unwrap();
    assert_eq!(open(dir.path(), 0).address().await, address);
    assert!(!dir.path().join("signer-key.new").exists());
}

fn change_json(path: &Path, field: &str, change: impl FnOnce(&mut String)) {
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let mut text = json[field].as_str().unwrap().to_owned();
    change(&mut text);
    json[field] = text.into();
    fs::write(path, json.to_string()).unwrap();
}
