//! An append-only file of JSON lines, each bound to the one before by SHA-256.
//!
//! A line is `{"seq":…,"at_unix_ms":…,"record":…,"hash":"…"}`. The hash is over the previous line's hash and this
//! line's bytes before `,"hash"`, so a line that is changed, lost, moved or repeated is seen. A last line without its
//! line feed was never acknowledged and is cut off; any other damage is an error, and the file stays as it is.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::record::Record;
use super::{SignerError, key_file};

/// Longest line. The bounds on members and audit lines keep an honest one well below it.
const LINE_BYTES_MAX: u64 = 16 * 1024 * 1024;

const HASH_KEY: &[u8] = b",\"hash\":\"";
/// `,"hash":"` + 64 digits + `"}`
const SUFFIX_BYTES: usize = HASH_KEY.len() + 64 + 2;

#[derive(Serialize)]
struct LineRef<'a> {
    seq: u64,
    at_unix_ms: u64,
    record: &'a Record,
}

#[derive(Deserialize)]
struct Line {
    seq: u64,
    record: Record,
}

/// Where a record is in the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    offset: u64,
    bytes: usize,
}

pub(super) struct Journal {
    file: File,
    end: u64,
    next_seq: u64,
    last_hash: [u8; 32],
    /// A write or sync failed: the kernel may have dropped pages, so nothing more is promised from this handle.
    failed: bool,
}

impl Journal {
    /// Makes a journal that holds one record. It appears under `path` complete, or not at all.
    pub fn create(path: &Path, first: &Record) -> Result<(), SignerError> {
        let new = provisional(path);
        key_file::remove_if_there(&new)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)
            .map_err(SignerError::io("cannot make the journal"))?;
        let mut journal = Self::empty(file);
        journal.append(&[first])?;
        // A link fails where a name exists, a rename would overwrite.
        std::fs::hard_link(&new, path).map_err(SignerError::io("cannot name the journal"))?;
        key_file::sync_folder_of(path)?;
        key_file::remove_if_there(&new)
    }

    /// Opens a journal and shows every record to `visit`, which says what is wrong with one that cannot be.
    pub fn open(
        path: &Path,
        mut visit: impl FnMut(Span, Record) -> Result<(), &'static str>,
    ) -> Result<Self, SignerError> {
        const READ: &str = "cannot read the journal";
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(SignerError::io(READ))?;
        let mut journal = Self::empty(file);
        let reading = journal.file.try_clone().map_err(SignerError::io(READ))?;
        let mut reader = BufReader::new(reading);
        let mut line = Vec::new();
        loop {
            line.clear();
            let bytes =
                (&mut reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(SignerError::io(READ))?;
            let damaged = |reason| SignerError::JournalDamaged { line: journal.next_seq + 1, reason };
            if line.pop_if(|last| *last == b'\n').is_none() {
                if bytes as u64 == LINE_BYTES_MAX {
                    return Err(damaged("the line is too long"));
                }
                break;
            }
            let (record, hash) = check_line(&line, journal.next_seq, &journal.last_hash).map_err(damaged)?;
            let span = Span { offset: journal.end, bytes: line.len() };
            visit(span, record).map_err(damaged)?;
            journal.last_hash = hash;
            journal.next_seq += 1;
            journal.end += bytes as u64;
        }
        if journal.next_seq == 0 {
            // A journal is made with its first line, so an empty one has lost it.
            return Err(SignerError::JournalDamaged { line: 1, reason: "the journal is empty" });
        }
        journal.cut_torn_line()?;
        Ok(journal)
    }

    /// Appends records and returns when they are on disk. After a failure nothing more can be appended.
    pub fn append(&mut self, records: &[&Record]) -> Result<Vec<Span>, SignerError> {
        if self.failed {
            return Err(SignerError::Stopped);
        }
        let mut bytes = Vec::new();
        let mut spans = Vec::with_capacity(records.len());
        let (mut seq, mut hash) = (self.next_seq, self.last_hash);
        for record in records {
            let start = bytes.len();
            hash = write_line(&mut bytes, seq, record, &hash)?;
            seq += 1;
            spans.push(Span { offset: self.end + start as u64, bytes: bytes.len() - start - 1 });
        }
        let written = self.file.write_all_at(&bytes, self.end).and_then(|()| self.file.sync_data());
        if let Err(source) = written {
            self.failed = true;
            return Err(SignerError::Io { what: "cannot write the journal", source });
        }
        self.end += bytes.len() as u64;
        (self.next_seq, self.last_hash) = (seq, hash);
        Ok(spans)
    }

    /// Refuses all further appends: what was appended could not be carried on with.
    pub fn stop(&mut self) {
        self.failed = true;
    }

    /// Reads one record back.
    pub fn read(&self, span: Span) -> Result<Record, SignerError> {
        let mut bytes = vec![0; span.bytes];
        self.file.read_exact_at(&mut bytes, span.offset).map_err(SignerError::io("cannot read the journal"))?;
        let line: Line = serde_json::from_slice(&bytes).map_err(|_| SignerError::JournalDamaged {
            line: 0,
            reason: "a record changed while the journal was open",
        })?;
        Ok(line.record)
    }

    fn empty(file: File) -> Self {
        Self { file, end: 0, next_seq: 0, last_hash: [0; 32], failed: false }
    }

    fn cut_torn_line(&self) -> Result<(), SignerError> {
        const CUT: &str = "cannot cut a torn line off the journal";
        let length = self.file.metadata().map_err(SignerError::io(CUT))?.len();
        if length > self.end {
            tracing::warn!(bytes = length - self.end, "a torn last line is cut off the signer's journal");
            self.file.set_len(self.end).map_err(SignerError::io(CUT))?;
            self.file.sync_all().map_err(SignerError::io(CUT))?;
        }
        Ok(())
    }
}

fn provisional(path: &Path) -> PathBuf {
    path.with_extension("new")
}

fn write_line(bytes: &mut Vec<u8>, seq: u64, record: &Record, previous: &[u8; 32]) -> Result<[u8; 32], SignerError> {
    let start = bytes.len();
    let line = LineRef { seq, at_unix_ms: unix_ms(), record };
    serde_json::to_writer(&mut *bytes, &line).map_err(|_| SignerError::Refused("the intent cannot be written down"))?;
    // Leave the object open, to add the hash of what is in it.
    bytes.pop();
    let hash = chain(previous, &bytes[start..]);
    bytes.extend_from_slice(HASH_KEY);
    bytes.extend_from_slice(hex::encode(hash).as_bytes());
    bytes.extend_from_slice(b"\"}\n");
    if (bytes.len() - start) as u64 >= LINE_BYTES_MAX {
        return Err(SignerError::Refused("the intent is too long to write down"));
    }
    Ok(hash)
}

fn check_line(line: &[u8], seq: u64, previous: &[u8; 32]) -> Result<(Record, [u8; 32]), &'static str> {
    let (body, suffix) =
        line.len().checked_sub(SUFFIX_BYTES).map(|at| line.split_at(at)).ok_or("the line is too short")?;
    let hash = chain(previous, body);
    if suffix[..HASH_KEY.len()] != *HASH_KEY
        || suffix[HASH_KEY.len()..SUFFIX_BYTES - 2] != *hex::encode(hash).as_bytes()
    {
        return Err("the hash does not match");
    }
    let line: Line = serde_json::from_slice(line).map_err(|_| "the line is not a record")?;
    if line.seq != seq {
        return Err("the line has the wrong number");
    }
    Ok((line.record, hash))
}

fn chain(previous: &[u8; 32], body: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(previous).chain_update(body).finalize().into()
}

fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |elapsed| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Address;

    fn record(chain_id: u64) -> Record {
        Record::Opened { address: Address([7; 20]), chain_id }
    }

    fn journal_of(records: u64) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        Journal::create(&path, &record(0)).unwrap();
        let (mut journal, _) = read_all(&path).unwrap();
        for number in 1..records {
            journal.append(&[&record(number)]).unwrap();
        }
        (dir, path)
    }

    fn read_all(path: &Path) -> Result<(Journal, Vec<Record>), SignerError> {
        let mut records = Vec::new();
        let journal = Journal::open(path, |_, record| {
            records.push(record);
            Ok(())
        })?;
        Ok((journal, records))
    }

    #[test]
    fn what_is_appended_reads_back_and_the_provisional_file_is_gone() {
        let (dir, path) = journal_of(3);
        let (mut journal, records) = read_all(&path).unwrap();
        assert_eq!(records, [record(0), record(1), record(2)]);
        let spans = journal.append(&[&record(3), &record(4)]).unwrap();
        assert_eq!(journal.read(spans[0]).unwrap(), record(3));
        assert_eq!(journal.read(spans[1]).unwrap(), record(4));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    /// Cut anywhere: what is left of the last line goes, every line before stays, and the journal goes on.
    #[test]
    fn a_torn_last_line_is_cut_off_wherever_it_tears() {
        let (_dir, path) = journal_of(3);
        let whole = std::fs::read(&path).unwrap();
        let second_end = {
            let mut feeds = whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
            feeds.nth(1).unwrap().0 + 1
        };
        for length in second_end..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let (mut journal, records) = read_all(&path).unwrap();
            assert_eq!(records, [record(0), record(1)], "cut at {length}");
            journal.append(&[&record(9)]).unwrap();
            assert_eq!(read_all(&path).unwrap().1[2], record(9));
        }
    }

    /// One changed byte anywhere in a complete line is seen, and the file is left alone.
    #[test]
    fn every_changed_byte_is_seen() {
        let (_dir, path) = journal_of(2);
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() - 1 {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            std::fs::write(&path, &changed).unwrap();
            let error = read_all(&path).err();
            assert!(matches!(error, Some(SignerError::JournalDamaged { .. })), "byte {at}");
            assert_eq!(std::fs::read(&path).unwrap(), changed);
        }
    }

    #[test]
    fn lost_repeated_and_swapped_lines_are_seen() {
        let (_dir, path) = journal_of(4);
        let whole = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = whole.split_inclusive('\n').collect();
        let orders: [&[usize]; 5] = [&[0, 1, 3], &[1, 2, 3], &[0, 1, 1, 2], &[0, 2, 1, 3], &[]];
        for order in orders {
            let text: String = order.iter().map(|line| lines[*line]).collect();
            std::fs::write(&path, text).unwrap();
            assert!(matches!(read_all(&path), Err(SignerError::JournalDamaged { .. })), "{order:?}");
        }
    }

    #[test]
    fn after_a_failed_write_nothing_more_is_written() {
        let (_dir, path) = journal_of(1);
        let (mut journal, _) = read_all(&path).unwrap();
        // A handle that may only read stands for a disk that fails.
        let writable = std::mem::replace(&mut journal.file, File::open(&path).unwrap());
        assert!(matches!(journal.append(&[&record(1)]), Err(SignerError::Io { .. })));
        journal.file = writable;
        assert!(matches!(journal.append(&[&record(1)]), Err(SignerError::Stopped)));
    }
}
