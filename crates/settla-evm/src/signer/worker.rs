//! The one thread that takes nonces and signs.
//!
//! It takes all calls that wait, up to a bound, and handles them as one group: all new intents with their nonces and
//! audit lines are written and synced, then all are signed, then all signatures are written and synced, then all
//! callers are answered **from the journal**. So a fresh answer and a repeated one take the same way.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use alloy::primitives::keccak256;
use alloy::signers::local::PrivateKeySigner;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::journal::{Journal, Span};
use super::record::{IntentRecord, Record};
use super::{Intent, SignedTx, SignerError, policy};
use crate::{Address, TxHash};

/// Most calls in one group: it bounds the memory of a write.
const GROUP_MAX: usize = 64;

type Reply<T> = oneshot::Sender<Result<T, SignerError>>;

pub(super) enum Request {
    Sign { intent: Box<Intent>, reply: Reply<SignedTx> },
    Find { intent_id: Uuid, reply: Reply<Option<SignedTx>> },
}

/// Where a signed intent is in the journal, and what it moves.
struct Entry {
    fingerprint: [u8; 32],
    signed: Span,
}

/// The key, its journal, and what is in it. About 100 bytes of memory a transaction.
pub(super) struct Book {
    key: PrivateKeySigner,
    chain_id: u64,
    journal: Journal,
    entries: HashMap<Uuid, Entry>,
    next_nonce: u64,
}

/// Serves calls until every sender is gone.
pub(super) fn run(mut book: Book, mut inbox: mpsc::Receiver<Request>) {
    let mut group = Vec::with_capacity(GROUP_MAX);
    while let Some(first) = inbox.blocking_recv() {
        group.push(first);
        while group.len() < GROUP_MAX
            && let Ok(next) = inbox.try_recv()
        {
            group.push(next);
        }
        book.serve(&mut group);
    }
}

impl Book {
    /// Reads the journal, checks that it is this key's and without a gap, and signs what a crash left unsigned.
    pub fn open(path: &Path, key: PrivateKeySigner, chain_id: u64) -> Result<Self, SignerError> {
        let mut replay = Replay::new(key.address().into(), chain_id);
        let journal = Journal::open(path, |span, record| replay.visit(span, record))?;
        let mut book = Self { key, chain_id, journal, entries: replay.entries, next_nonce: replay.next_nonce };
        let unsigned: Vec<Record> = replay.unsigned.into_values().map(Record::Intent).collect();
        if !unsigned.is_empty() {
            tracing::warn!(count = unsigned.len(), "signing what a crash left unsigned");
            book.sign_recorded(&unsigned)?;
        }
        Ok(book)
    }

    pub fn next_nonce(&self) -> u64 {
        self.next_nonce
    }

    fn serve(&mut self, group: &mut Vec<Request>) {
        let mut refused = self.sign_new(group);
        for (index, request) in group.drain(..).enumerate() {
            // A caller that went away finds its answer in the journal when it asks again.
            match request {
                Request::Sign { intent, reply } => {
                    let answer = match refused.remove(&index) {
                        Some(error) => Err(error),
                        None => self.answer(&intent),
                    };
                    let _ = reply.send(answer);
                }
                Request::Find { intent_id, reply } => {
                    let _ = reply.send(self.find(intent_id));
                }
            }
        }
    }

    /// Signs the intents of the group that are new, and returns which are refused, by place in the group.
    fn sign_new(&mut self, group: &[Request]) -> HashMap<usize, SignerError> {
        let mut refused = HashMap::new();
        let mut planned: Vec<Record> = Vec::new();
        let mut places: HashMap<Uuid, usize> = HashMap::new();
        for (index, request) in group.iter().enumerate() {
            let Request::Sign { intent, .. } = request else {
                continue;
            };
            if self.entries.contains_key(&intent.id) || places.contains_key(&intent.id) {
                continue;
            }
            if let Err(error) = policy::check(intent, self.chain_id) {
                refused.insert(index, error);
                continue;
            }
            let nonce = self.next_nonce + planned.len() as u64;
            planned.push(Record::Intent(Box::new(IntentRecord::new((**intent).clone(), nonce))));
            places.insert(intent.id, index);
        }
        if planned.is_empty() {
            return refused;
        }
        let outcome = self.journal.append(&planned.iter().collect::<Vec<_>>()).and_then(|_| {
            self.next_nonce += planned.len() as u64;
            self.sign_recorded(&planned)
        });
        if let Err(error) = outcome {
            tracing::error!(%error, "the signer could not keep its journal and stops");
            // Nonces may be taken without a signature beside them; opening again completes them.
            self.journal.stop();
            refused.extend(places.into_values().map(|index| (index, SignerError::Stopped)));
        }
        refused
    }

    /// Signs intents that are in the journal, and puts the signatures there.
    fn sign_recorded(&mut self, intents: &[Record]) -> Result<(), SignerError> {
        let mut signed = Vec::with_capacity(intents.len());
        let mut fingerprints = Vec::with_capacity(intents.len());
        for record in intents {
            if let Record::Intent(intent) = record {
                signed.push(Record::Signed(intent.sign(&self.key)?));
                fingerprints.push((intent.id(), intent.fingerprint()));
            }
        }
        let spans = self.journal.append(&signed.iter().collect::<Vec<_>>())?;
        for ((id, fingerprint), signed) in fingerprints.into_iter().zip(spans) {
            self.entries.insert(id, Entry { fingerprint, signed });
        }
        Ok(())
    }

    fn answer(&self, intent: &Intent) -> Result<SignedTx, SignerError> {
        let entry = self.entries.get(&intent.id).ok_or(SignerError::Stopped)?;
        if entry.fingerprint != policy::fingerprint(intent) {
            return Err(SignerError::IntentChanged(intent.id));
        }
        self.read(intent.id, entry)
    }

    fn find(&self, intent_id: Uuid) -> Result<Option<SignedTx>, SignerError> {
        self.entries.get(&intent_id).map(|entry| self.read(intent_id, entry)).transpose()
    }

    fn read(&self, intent_id: Uuid, entry: &Entry) -> Result<SignedTx, SignerError> {
        match self.journal.read(entry.signed)? {
            Record::Signed(signed)
                if signed.intent_id == intent_id && TxHash::from(keccak256(&signed.raw)) == signed.tx_hash =>
            {
                Ok(signed)
            }
            _ => Err(SignerError::JournalDamaged { line: 0, reason: "a record changed while the journal was open" }),
        }
    }
}

/// What has been read of the journal so far.
struct Replay {
    address: Address,
    chain_id: u64,
    opened: bool,
    next_nonce: u64,
    entries: HashMap<Uuid, Entry>,
    unsigned: BTreeMap<u64, Box<IntentRecord>>,
}

impl Replay {
    fn new(address: Address, chain_id: u64) -> Self {
        Self { address, chain_id, opened: false, next_nonce: 0, entries: HashMap::new(), unsigned: BTreeMap::new() }
    }

    fn visit(&mut self, span: Span, record: Record) -> Result<(), &'static str> {
        match record {
            Record::Opened { address, chain_id } => self.visit_opened(address, chain_id),
            Record::Intent(intent) => self.visit_intent(intent),
            Record::Signed(signed) => self.visit_signed(span, &signed),
        }
    }

    fn visit_opened(&mut self, address: Address, chain_id: u64) -> Result<(), &'static str> {
        if self.opened {
            return Err("the journal is opened twice");
        }
        if address != self.address || chain_id != self.chain_id {
            return Err("it is the journal of another key or chain");
        }
        self.opened = true;
        Ok(())
    }

    fn visit_intent(&mut self, intent: Box<IntentRecord>) -> Result<(), &'static str> {
        if !self.opened {
            return Err("the first line does not say whose journal it is");
        }
        if intent.nonce != self.next_nonce {
            return Err("a nonce is missing or used twice");
        }
        let known =
            self.entries.contains_key(&intent.id()) || self.unsigned.values().any(|other| other.id() == intent.id());
        if known {
            return Err("an intent is there twice");
        }
        self.next_nonce += 1;
        self.unsigned.insert(intent.nonce, intent);
        Ok(())
    }

    fn visit_signed(&mut self, span: Span, signed: &SignedTx) -> Result<(), &'static str> {
        let intent = self.unsigned.remove(&signed.nonce).ok_or("a signature without an intent")?;
        if intent.id() != signed.intent_id || signed.from != self.address {
            return Err("a signature of another intent");
        }
        self.entries.insert(intent.id(), Entry { fingerprint: intent.fingerprint(), signed: span });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fees, Manifest, ManifestMember};

    fn intent(id: u128) -> Intent {
        Intent {
            id: Uuid::from_u128(id),
            chain_id: 1,
            token: Address([1; 20]),
            destination: Address([2; 20]),
            manifest: Manifest {
                batch_id: Uuid::from_u128(id),
                members: vec![ManifestMember { id: Uuid::from_u128(9), amount: 10 }],
            },
            audit: vec!["a".to_owned()],
            fees: Fees { max_fee_per_gas: 2, max_priority_fee_per_gas: 1 },
            gas_limit: 100_000,
        }
    }

    fn book(dir: &Path) -> Book {
        let key = PrivateKeySigner::from_slice(&[1; 32]).unwrap();
        let path = dir.join("journal.jsonl");
        let first = Record::Opened { address: key.address().into(), chain_id: 1 };
        Journal::create(&path, &first).unwrap();
        Book::open(&path, key, 1).unwrap()
    }

    fn ask(book: &mut Book, intents: Vec<Intent>) -> Vec<Result<SignedTx, SignerError>> {
        let (mut group, answers): (Vec<_>, Vec<_>) = intents
            .into_iter()
            .map(|intent| {
                let (reply, answer) = oneshot::channel();
                let intent = Box::new(intent);
                (Request::Sign { intent, reply }, answer)
            })
            .unzip();
        book.serve(&mut group);
        answers.into_iter().map(|answer| answer.blocking_recv().unwrap()).collect()
    }

    /// No record, no signature: with a journal that cannot be written, nobody gets bytes, now or later.
    #[test]
    fn without_a_record_there_is_no_signature() {
        let dir = tempfile::tempdir().unwrap();
        let mut book = book(dir.path());
        let before = ask(&mut book, vec![intent(1)]).remove(0).unwrap();
        book.journal.stop();
        for answer in ask(&mut book, vec![intent(2), intent(3)]) {
            assert!(matches!(answer, Err(SignerError::Stopped)));
        }
        assert_eq!(book.find(Uuid::from_u128(2)).unwrap(), None);
        // What is on disk can still be asked for.
        assert_eq!(ask(&mut book, vec![intent(1)]).remove(0).unwrap(), before);
    }

    #[test]
    fn one_group_may_hold_the_same_intent_twice_and_a_changed_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut book = book(dir.path());
        let mut changed = intent(1);
        changed.destination = Address([3; 20]);
        let mut refused = intent(4);
        refused.audit.clear();
        let group = vec![intent(1), intent(1), changed, refused, intent(2)];
        let answers = ask(&mut book, group);
        let nonces: Vec<Option<u64>> =
            answers.iter().map(|answer| answer.as_ref().ok().map(|signed| signed.nonce)).collect();
        assert_eq!(nonces, [Some(0), Some(0), None, None, Some(1)]);
        assert!(matches!(answers[2], Err(SignerError::IntentChanged(_))));
        assert!(matches!(answers[3], Err(SignerError::Refused(_))));
    }

    /// RFC 6979 signatures: the bytes follow from the record, today and with the next version of a library.
    #[test]
    fn known_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let signed = ask(&mut book(dir.path()), vec![intent(1)]).remove(0).unwrap();
        let expected = "0x2c2137ae5b810267ebab0562e010935a7d6ed08384238d4b6a3f97b97440a9e0";
        assert_eq!(signed.tx_hash.to_string(), expected);
    }
}
