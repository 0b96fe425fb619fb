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
use super::record::{BumpRecord, IntentRecord, Record};
use super::{Intent, SignedTx, SignerError, policy};
use crate::{Address, Fees, TxHash};

/// Most calls in one group: it bounds the memory of a write.
const GROUP_MAX: usize = 64;

type Reply<T> = oneshot::Sender<Result<T, SignerError>>;

pub(super) enum Request {
    Sign { intent: Box<Intent>, reply: Reply<SignedTx> },
    Bump { bump: Box<BumpRecord>, reply: Reply<SignedTx> },
    Find { intent_id: Uuid, reply: Reply<Vec<SignedTx>> },
}

/// Where a signed intent is in the journal, and what it moves.
struct Entry {
    fingerprint: [u8; 32],
    intent: Span,
    /// Never empty: the first signature, then one for each raise of its fees.
    signed: Vec<Span>,
    /// Of the last signature.
    fees: Fees,
}

impl Entry {
    fn new(intent: &IntentRecord, at: Span) -> Self {
        Self { fingerprint: intent.fingerprint(), intent: at, signed: Vec::new(), fees: intent.fees }
    }
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
        let unsigned: Vec<(IntentRecord, Span)> =
            replay.unsigned.into_values().map(|(intent, at)| (*intent, at)).collect();
        if !unsigned.is_empty() || !replay.raised.is_empty() {
            tracing::warn!(count = unsigned.len() + replay.raised.len(), "signing what a crash left unsigned");
        }
        if !unsigned.is_empty() {
            book.sign_recorded(&unsigned)?;
        }
        for (id, fees) in replay.raised {
            book.sign_raised(id, fees)?;
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
                Request::Bump { bump, reply } => {
                    let _ = reply.send(self.bump(&bump));
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
        let mut planned: Vec<IntentRecord> = Vec::new();
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
            planned.push(IntentRecord::new((**intent).clone(), nonce));
            places.insert(intent.id, index);
        }
        if planned.is_empty() {
            return refused;
        }
        let records: Vec<Record> = planned.iter().cloned().map(|intent| Record::Intent(Box::new(intent))).collect();
        let outcome = self.journal.append(&records.iter().collect::<Vec<_>>()).and_then(|spans| {
            self.next_nonce += planned.len() as u64;
            self.sign_recorded(&planned.into_iter().zip(spans).collect::<Vec<_>>())
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
    fn sign_recorded(&mut self, intents: &[(IntentRecord, Span)]) -> Result<(), SignerError> {
        let signed: Vec<Record> =
            intents.iter().map(|(intent, _)| intent.sign(&self.key).map(Record::Signed)).collect::<Result<_, _>>()?;
        let spans = self.journal.append(&signed.iter().collect::<Vec<_>>())?;
        for ((intent, at), signed) in intents.iter().zip(spans) {
            let mut entry = Entry::new(intent, *at);
            entry.signed.push(signed);
            self.entries.insert(intent.id(), entry);
        }
        Ok(())
    }

    /// Signs an intent again at its own nonce, for higher fees.
    fn bump(&mut self, bump: &BumpRecord) -> Result<SignedTx, SignerError> {
        let entry = self.entries.get(&bump.intent_id).ok_or(SignerError::UnknownIntent(bump.intent_id))?;
        if entry.fees == bump.fees {
            // The answer to an earlier call was lost.
            return self.last(bump.intent_id, entry);
        }
        let intent = self.intent(entry)?;
        policy::check_bump(&intent, entry.fees, entry.signed.len(), bump)?;
        let outcome = self
            .journal
            .append(&[&Record::Bump(Box::new(bump.clone()))])
            .and_then(|_| self.sign_raised(bump.intent_id, bump.fees));
        if let Err(error) = outcome {
            tracing::error!(%error, "the signer could not keep its journal and stops");
            self.journal.stop();
            return Err(SignerError::Stopped);
        }
        let entry = self.entries.get(&bump.intent_id).ok_or(SignerError::Stopped)?;
        self.last(bump.intent_id, entry)
    }

    /// Signs for the fees of a raise that is in the journal, and puts the signature there.
    fn sign_raised(&mut self, id: Uuid, fees: Fees) -> Result<(), SignerError> {
        let entry = self.entries.get(&id).ok_or(SignerError::UnknownIntent(id))?;
        let intent = IntentRecord { fees, ..self.intent(entry)? };
        let signed = Record::Signed(intent.sign(&self.key)?);
        let spans = self.journal.append(&[&signed])?;
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.signed.extend(spans);
            entry.fees = fees;
        }
        Ok(())
    }

    fn intent(&self, entry: &Entry) -> Result<IntentRecord, SignerError> {
        match self.journal.read(entry.intent)? {
            Record::Intent(intent) if intent.fingerprint() == entry.fingerprint => Ok(*intent),
            _ => Err(changed()),
        }
    }

    fn answer(&self, intent: &Intent) -> Result<SignedTx, SignerError> {
        let entry = self.entries.get(&intent.id).ok_or(SignerError::Stopped)?;
        if entry.fingerprint != policy::fingerprint(intent) {
            return Err(SignerError::IntentChanged(intent.id));
        }
        let first = entry.signed.first().ok_or(SignerError::Stopped)?;
        self.read(intent.id, *first)
    }

    fn last(&self, intent_id: Uuid, entry: &Entry) -> Result<SignedTx, SignerError> {
        let last = entry.signed.last().ok_or(SignerError::Stopped)?;
        self.read(intent_id, *last)
    }

    fn find(&self, intent_id: Uuid) -> Result<Vec<SignedTx>, SignerError> {
        let signed = self.entries.get(&intent_id).map_or(&[][..], |entry| &entry.signed);
        signed.iter().map(|span| self.read(intent_id, *span)).collect()
    }

    fn read(&self, intent_id: Uuid, signed: Span) -> Result<SignedTx, SignerError> {
        match self.journal.read(signed)? {
            Record::Signed(mut signed)
                if signed.intent_id == intent_id && TxHash::from(keccak256(&signed.raw)) == signed.tx_hash =>
            {
                if signed.fees == Fees::default()
                    && let Some(entry) = self.entries.get(&intent_id)
                {
                    signed.fees = self.intent(entry)?.fees;
                }
                Ok(signed)
            }
            _ => Err(changed()),
        }
    }
}

fn changed() -> SignerError {
    SignerError::JournalDamaged { line: 0, reason: "a record changed while the journal was open" }
}

/// What has been read of the journal so far.
struct Replay {
    address: Address,
    chain_id: u64,
    opened: bool,
    next_nonce: u64,
    entries: HashMap<Uuid, Entry>,
    unsigned: BTreeMap<u64, (Box<IntentRecord>, Span)>,
    /// Raised fees whose signature has not come yet.
    raised: Vec<(Uuid, Fees)>,
}

impl Replay {
    fn new(address: Address, chain_id: u64) -> Self {
        let (entries, unsigned, raised) = (HashMap::new(), BTreeMap::new(), Vec::new());
        Self { address, chain_id, opened: false, next_nonce: 0, entries, unsigned, raised }
    }

    fn visit(&mut self, span: Span, record: Record) -> Result<(), &'static str> {
        match record {
            Record::Opened { address, chain_id } => self.visit_opened(address, chain_id),
            Record::Intent(intent) => self.visit_intent(span, intent),
            Record::Bump(bump) => self.visit_bump(&bump),
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

    fn visit_intent(&mut self, span: Span, intent: Box<IntentRecord>) -> Result<(), &'static str> {
        if !self.opened {
            return Err("the first line does not say whose journal it is");
        }
        if intent.nonce != self.next_nonce {
            return Err("a nonce is missing or used twice");
        }
        let known = self.entries.contains_key(&intent.id())
            || self.unsigned.values().any(|(other, _)| other.id() == intent.id());
        if known {
            return Err("an intent is there twice");
        }
        self.next_nonce += 1;
        self.unsigned.insert(intent.nonce, (intent, span));
        Ok(())
    }

    fn visit_bump(&mut self, bump: &BumpRecord) -> Result<(), &'static str> {
        if !self.entries.contains_key(&bump.intent_id) {
            return Err("fees raised of what was not signed");
        }
        if self.raised.iter().any(|(id, _)| *id == bump.intent_id) {
            return Err("fees raised again before they were signed for");
        }
        self.raised.push((bump.intent_id, bump.fees));
        Ok(())
    }

    fn visit_signed(&mut self, span: Span, signed: &SignedTx) -> Result<(), &'static str> {
        if signed.from != self.address {
            return Err("a signature of another key");
        }
        if let Some((intent, at)) = self.unsigned.remove(&signed.nonce) {
            if intent.id() != signed.intent_id {
                return Err("a signature of another intent");
            }
            let mut entry = Entry::new(&intent, at);
            entry.signed.push(span);
            self.entries.insert(intent.id(), entry);
            return Ok(());
        }
        let place = self.raised.iter().position(|(id, fees)| *id == signed.intent_id && *fees == signed.fees);
        let (id, fees) = self.raised.remove(place.ok_or("a signature without an intent")?);
        let entry = self.entries.get_mut(&id).ok_or("a signature without an intent")?;
        entry.signed.push(span);
        entry.fees = fees;
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
        assert_eq!(book.find(Uuid::from_u128(2)).unwrap(), []);
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

    fn raise(id: u128, fees: (u128, u128)) -> BumpRecord {
        let (max_fee_per_gas, max_priority_fee_per_gas) = fees;
        BumpRecord {
            intent_id: Uuid::from_u128(id),
            fees: Fees { max_fee_per_gas, max_priority_fee_per_gas },
            audit: vec!["b".to_owned()],
        }
    }

    #[test]
    fn fees_are_raised_at_the_same_nonce_and_by_enough() {
        let dir = tempfile::tempdir().unwrap();
        let mut book = book(dir.path());
        let mut wish = intent(1);
        wish.fees = Fees { max_fee_per_gas: 100, max_priority_fee_per_gas: 10 };
        let first = ask(&mut book, vec![wish.clone(), intent(2)]).remove(0).unwrap();
        for too_little in [(109, 11), (110, 10), (100, 11), (90, 9)] {
            assert!(matches!(book.bump(&raise(1, too_little)), Err(SignerError::Refused(_))), "{too_little:?}");
        }
        assert!(matches!(book.bump(&raise(9, (200, 20))), Err(SignerError::UnknownIntent(_))));
        let second = book.bump(&raise(1, (110, 11))).unwrap();
        assert_eq!((second.nonce, second.intent_id), (first.nonce, first.intent_id));
        assert_ne!(second.tx_hash, first.tx_hash);
        // Said again it gives the same bytes; the intent itself still gives the first ones.
        assert_eq!(book.bump(&raise(1, (110, 11))).unwrap(), second);
        assert_eq!(ask(&mut book, vec![wish]).remove(0).unwrap(), first);
        assert_eq!(book.find(Uuid::from_u128(1)).unwrap(), [first.clone(), second.clone()]);
        let mut unaudited = raise(1, (220, 22));
        unaudited.audit.clear();
        assert!(matches!(book.bump(&unaudited), Err(SignerError::Refused(_))));

        // All of it is there after a restart, and goes on.
        let (key, path) = (book.key.clone(), dir.path().join("journal.jsonl"));
        drop(book);
        let mut book = Book::open(&path, key, 1).unwrap();
        assert_eq!(book.find(Uuid::from_u128(1)).unwrap(), [first, second]);
        assert_eq!(book.next_nonce(), 2);
        assert_eq!(book.bump(&raise(1, (220, 22))).unwrap().nonce, 0);
    }

    #[test]
    fn a_raise_without_its_signature_is_signed_at_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let mut book = book(dir.path());
        ask(&mut book, vec![intent(1)]).remove(0).unwrap();
        let raised = raise(1, (20, 10));
        book.journal.append(&[&Record::Bump(Box::new(raised.clone()))]).unwrap();
        let (key, path) = (book.key.clone(), dir.path().join("journal.jsonl"));
        drop(book);
        let mut book = Book::open(&path, key, 1).unwrap();
        let found = book.find(Uuid::from_u128(1)).unwrap();
        assert_eq!((found.len(), found[1].fees), (2, raised.fees));
        assert_eq!(book.bump(&raised).unwrap(), found[1]);
    }

    /// A journal from before signatures named their fees.
    #[test]
    fn signatures_without_fees_have_those_of_their_intent() {
        let dir = tempfile::tempdir().unwrap();
        let key = PrivateKeySigner::from_slice(&[1; 32]).unwrap();
        let path = dir.path().join("journal.jsonl");
        Journal::create(&path, &Record::Opened { address: key.address().into(), chain_id: 1 }).unwrap();
        let record = IntentRecord::new(intent(1), 0);
        let signed = SignedTx { fees: Fees::default(), ..record.sign(&key).unwrap() };
        let mut journal = Journal::open(&path, |_, _| Ok(())).unwrap();
        journal.append(&[&Record::Intent(Box::new(record)), &Record::Signed(signed)]).unwrap();
        drop(journal);
        let mut book = Book::open(&path, key, 1).unwrap();
        assert_eq!(book.find(Uuid::from_u128(1)).unwrap()[0].fees, intent(1).fees);
        assert_eq!(book.bump(&raise(1, (20, 10))).unwrap().nonce, 0);
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
