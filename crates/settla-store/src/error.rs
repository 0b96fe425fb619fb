//! What can go wrong in the store, by what a caller should do about it.

/// A failure of the database or of what was read from it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another transaction was in the way; the same transaction may succeed when tried again.
    #[error("conflict with a concurrent transaction")]
    Retry(#[source] sqlx::Error),
    /// No answer from the database. Whether a commit took place is unknown.
    #[error("the database does not answer")]
    Unreachable(#[source] sqlx::Error),
    /// A constraint refused the write. The name is the constraint's.
    #[error("refused by the constraint {0}")]
    Constraint(String),
    /// The statement failed in another way: a defect.
    #[error("database error")]
    Database(#[source] sqlx::Error),
    /// A stored value cannot be read back.
    #[error("stored value of {0} is not readable")]
    Corrupt(&'static str),
    /// Migrations did not run.
    #[error("migration failed: {0}")]
    Migration(String),
}

impl StoreError {
    /// For a connection on which no answer comes any more.
    pub fn silent() -> Self {
        Self::Unreachable(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(db) => match db.code().as_deref() {
                // serialization_failure, deadlock_detected, lock_not_available
                Some("40001" | "40P01" | "55P03") => Self::Retry(error),
                // class 57: the server is shutting down or was told to drop us; class 08: connection; class 53: it
                // has no place, disk or memory left; 25P03: it dropped us because we were silent for too long
                Some(code) if ["57P", "08", "53", "25P03"].iter().any(|class| code.starts_with(class)) => {
                    Self::Unreachable(error)
                }
                // class 23: integrity constraint violation
                Some(code) if code.starts_with("23") => {
                    Self::Constraint(db.constraint().unwrap_or("unnamed").to_owned())
                }
                _ => Self::Database(error),
            },
            sqlx::Error::Io(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unreachable(error),
            _ => Self::Database(error),
        }
    }
}
