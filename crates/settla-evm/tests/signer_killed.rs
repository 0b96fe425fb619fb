//! A signer's process is killed at any instant, again and again; what it had answered still holds.

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;

use common::{intent, open};
use settla_evm::{Address, SignedTx, Signer};
use tokio::task::JoinSet;

const FOLDER: &str = "SETTLA_TEST_SIGNER_FOLDER";
const ROUNDS: usize = 8;
const GROUP: usize = 4;

/// Signs until it is killed, and prints what it was answered. Does nothing where no folder is given.
#[tokio::test]
async fn child_signs_until_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let signer = Arc::new(open(folder.as_ref(), 0));
    // Bounded, for a parent that died.
    for _ in 0..100_000 {
        let mut tasks = JoinSet::new();
        for _ in 0..GROUP {
            let signer = Arc::clone(&signer);
            tasks.spawn(async move {
                let wish = intent(Address([1; 20]), Address([2; 20]), &[1]);
                signer.sign(&wish).await.unwrap()
            });
        }
        for signed in tasks.join_all().await {
            let line = serde_json::to_string(&signed).unwrap();
            // One write a line: the parent must not take half of one for an answer.
            let written = std::io::stdout().write_all(format!("\nsigned {line}\n").as_bytes());
            if written.is_err() {
                return;
            }
        }
    }
}

#[tokio::test]
async fn what_was_answered_survives_every_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut answered: BTreeMap<u64, SignedTx> = BTreeMap::new();
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_signs_until_killed", "--nocapture"])
            .env(FOLDER, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // A few more answers every round, so that the kill comes at another place each time.
        let mut wanted = 3 + 5 * round;
        for line in lines.by_ref() {
            wanted -= remember(&line.unwrap(), &mut answered);
            if wanted == 0 {
                break;
            }
        }
        assert_eq!(wanted, 0, "the child ended by itself");
        child.kill().unwrap();
        child.wait().unwrap();
        // What it had printed before the kill counts too.
        for line in lines {
            remember(&line.unwrap(), &mut answered);
        }

        let signer = open(dir.path(), 0);
        for signed in answered.values() {
            let found = signer.find(signed.intent_id).await.unwrap();
            assert_eq!(found, std::slice::from_ref(signed));
        }
        // What was signed but not answered took its nonce: the next one is above all of them.
        let wish = intent(Address([1; 20]), Address([2; 20]), &[1]);
        let next = signer.sign(&wish).await.unwrap();
        assert!(answered.keys().all(|nonce| *nonce < next.nonce));
        answered.insert(next.nonce, next);
    }
}

/// Takes a line's answer in and returns how many it held: a nonce answered twice is two payments in one place.
fn remember(line: &str, answered: &mut BTreeMap<u64, SignedTx>) -> usize {
    let Some(json) = line.strip_prefix("signed ") else {
        return 0;
    };
    let signed: SignedTx = serde_json::from_str(json).unwrap();
    let nonce = signed.nonce;
    assert!(answered.insert(nonce, signed).is_none(), "nonce {nonce} was given out twice");
    1
}
