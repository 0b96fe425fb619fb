//! A server's book: state in memory, rebuilt at start from an append-only journal.
//!
//! **Costs**: a change takes one short lock and one share of an `fdatasync`; all changes that arrive while the disk
//! works go with the next one (group commit). A read waits for what it has seen to be on disk.
//!
//! **Never**: shows or answers anything that a `kill -9` could still undo; repairs a damaged journal by guessing.
//! There is no compaction: a start reads the whole journal.

mod journal;

use std::{path::Path, sync::Mutex};

use serde::{Serialize, de::DeserializeOwned};

use crate::{error::StoreError, lock::FolderLock};
use journal::Journal;

/// State that is the sum of its records. `apply` is total: whatever was written can be applied again.
pub(crate) trait Ledger: Default + Send + 'static {
    /// One line of the journal.
    type Record: Serialize + DeserializeOwned;
    /// Takes a record into the state.
    fn apply(&mut self, record: Self::Record);
}

/// A ledger with its journal.
pub(crate) struct Book<L> {
    ledger: Mutex<L>,
    journal: Journal,
    /// Given back after the journal's last write: fields are dropped in order.
    _lock: FolderLock,
}

impl<L: Ledger> Book<L> {
    /// Opens or creates `journal.jsonl` in the folder and applies what is in it.
    pub(crate) fn open(dir: &Path, lock: FolderLock) -> Result<Self, StoreError> {
        let mut ledger = L::default();
        let journal = Journal::open(dir, |line| {
            ledger.apply(serde_json::from_slice(line)?);
            Ok(())
        })?;
        Ok(Self { ledger: Mutex::new(ledger), journal, _lock: lock })
    }

    /// Runs `change` under the lock and answers when all records that it wrote are on disk.
    pub(crate) async fn commit<T>(&self, change: impl FnOnce(&mut Change<'_, L>) -> T) -> Result<T, StoreError> {
        let (answer, position) = {
            let mut ledger = self.ledger.lock().map_err(|_| StoreError::Broken)?;
            self.journal.check()?;
            let mut open = Change { ledger: &mut *ledger, lines: Vec::new(), broken: false };
            let answer = change(&mut open);
            if open.broken {
                self.journal.fail();
                return Err(StoreError::Broken);
            }
            // Under the same lock, so that the journal has the order in which memory changed.
            (answer, self.journal.append(&open.lines))
        };
        self.journal.durable(position).await?;
        Ok(answer)
    }

    /// Reads under the lock and answers when what it may have seen is on disk.
    pub(crate) async fn read<T>(&self, look: impl FnOnce(&L) -> T) -> Result<T, StoreError> {
        let (answer, position) = {
            let ledger = self.ledger.lock().map_err(|_| StoreError::Broken)?;
            (look(&ledger), self.journal.position())
        };
        self.journal.durable(position).await?;
        Ok(answer)
    }
}

/// A change in progress.
pub(crate) struct Change<'a, L> {
    ledger: &'a mut L,
    lines: Vec<u8>,
    broken: bool,
}

impl<L: Ledger> Change<'_, L> {
    /// The state, with the records written so far.
    pub(crate) fn ledger(&self) -> &L {
        self.ledger
    }

    /// Writes a record and applies it.
    pub(crate) fn write(&mut self, record: L::Record) {
        // Straight to the buffer, newline last: a line without its newline was never acknowledged.
        if serde_json::to_writer(&mut self.lines, &record).is_err() {
            self.broken = true;
            return;
        }
        self.lines.push(b'\n');
        self.ledger.apply(record);
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, sync::Arc};

    use super::{Book, Ledger};
    use tempfile::TempDir;

    use crate::{error::StoreError, lock::FolderLock};

    #[derive(Default)]
    struct Sum(u64);

    impl Ledger for Sum {
        type Record = u64;
        fn apply(&mut self, record: u64) {
            self.0 += record;
        }
    }

    async fn open(dir: &TempDir) -> Result<Book<Sum>, StoreError> {
        Book::open(dir.path(), FolderLock::take(dir.path()).await.unwrap())
    }

    fn append(dir: &TempDir, bytes: &[u8]) {
        let path = dir.path().join("journal.jsonl");
        std::fs::OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
    }

    #[tokio::test]
    async fn what_was_answered_is_there_after_a_restart() {
        let dir = TempDir::new().unwrap();
        let book = Arc::new(open(&dir).await.unwrap());
        let mut tasks = tokio::task::JoinSet::new();
        for value in 1..=200 {
            let book = Arc::clone(&book);
            tasks.spawn(async move { book.commit(|change| change.write(value)).await.unwrap() });
        }
        tasks.join_all().await;
        drop(book);
        let book = open(&dir).await.unwrap();
        assert_eq!(book.read(|sum| sum.0).await.unwrap(), 200 * 201 / 2);
    }

    #[tokio::test]
    async fn a_torn_last_line_is_cut_off_and_writing_goes_on() {
        let dir = TempDir::new().unwrap();
        open(&dir).await.unwrap().commit(|change| change.write(4)).await.unwrap();
        append(&dir, b"1");
        let book = open(&dir).await.unwrap();
        book.commit(|change| change.write(3)).await.unwrap();
        drop(book);
        assert_eq!(open(&dir).await.unwrap().read(|sum| sum.0).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_damaged_line_refuses_to_open() {
        let dir = TempDir::new().unwrap();
        open(&dir).await.unwrap().commit(|change| change.write(4)).await.unwrap();
        append(&dir, b"x\n5\n");
        assert!(matches!(open(&dir).await, Err(StoreError::Damaged { line: 2, .. })));
    }
}
