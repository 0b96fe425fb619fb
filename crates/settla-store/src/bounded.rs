//! A pool whose statements end, whatever becomes of the database.
//!
//! A server that has gone without closing its connections answers nothing and refuses nothing, and the network gives such
//! a connection up after a quarter of an hour. Until then whoever waits on it would wait, and its place in the pool would
//! be gone: without places the process is down, though the database may long be there again, on another machine. So a
//! statement without an answer is given up together with its connection, and so is a connection that does not answer when
//! it is given back.
//!
//! **Costs** one round trip more for each connection that is given back, which nobody waits for.

use crate::StoreError;
use crate::pool::has_role;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, TryStreamExt};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Connection, Describe, Either, Error, Execute, Executor, Postgres, Transaction};
use std::time::Duration;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

/// How long an answer may take: longer than the database allows one statement.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(35);
/// How long one waits for a place in a pool, and for a new connection with it.
const PLACE_WITHIN: Duration = Duration::from_secs(10);
/// How long a connection that is given back may take to answer. No statement runs on it, unless whoever asked has left.
const BACK_WITHIN: Duration = Duration::from_secs(5);

/// Connections of one role.
#[derive(Debug, Clone)]
pub struct BoundedPool {
    pool: PgPool,
    answer_within: Duration,
}

impl BoundedPool {
    /// An empty pool. No connection is used that has not taken on the role.
    pub(crate) fn new(
        options: PgConnectOptions,
        role: &'static str,
        connections: u32,
        answer_within: Duration,
    ) -> Self {
        let back_within = BACK_WITHIN.min(answer_within);
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(PLACE_WITHIN)
            // A ping before each use would double the round trips of short transactions.
            .test_before_acquire(false)
            .after_connect(move |connection, _| Box::pin(has_role(connection, role)))
            .after_release(move |connection, _| {
                Box::pin(async move {
                    // An error closes it without a word to the server.
                    timeout(back_within, connection.ping()).await.unwrap_or_else(|_| Err(silence())).map(|()| true)
                })
            })
            .connect_lazy_with(options);
        Self { pool, answer_within }
    }

    /// A connection of one's own. Its statements have no bound but the caller's.
    pub async fn acquire(&self) -> Result<PoolConnection<Postgres>, Error> {
        self.pool.acquire().await
    }

    /// Begins a transaction. Its statements have no bound but the caller's: see [`Self::within`].
    pub async fn begin(&self) -> Result<Transaction<'static, Postgres>, Error> {
        self.begin_with("BEGIN").await
    }

    /// As [`Self::begin`], with statements to begin with.
    pub async fn begin_with(&self, statements: impl Into<String>) -> Result<Transaction<'static, Postgres>, Error> {
        let begun = self.pool.begin_with(statements.into());
        timeout(PLACE_WITHIN + self.answer_within, begun).await.unwrap_or_else(|_| Err(silence()))
    }

    /// Carries a transaction out, or gives it up when its answers take too long.
    pub async fn within<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        timeout(self.answer_within, work).await.unwrap_or_else(|_| Err(StoreError::silent()))
    }

    /// Gives the connections back.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

/// An answer, or nothing any more from this connection: given back, it would have to be asked whether it lives.
fn answered<T>(answer: Result<Result<T, Error>, Elapsed>, connection: PoolConnection<Postgres>) -> Result<T, Error> {
    answer.unwrap_or_else(|_| {
        drop(connection.detach());
        Err(silence())
    })
}

fn silence() -> Error {
    Error::Io(std::io::ErrorKind::TimedOut.into())
}

impl<'p> Executor<'p> for &'_ BoundedPool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>
    where
        E: 'q + Execute<'q, Postgres>,
    {
        let pool = self.clone();
        // To its end before the first row is seen: whoever reads slowly must not look like a database that is silent.
        let rows = async move {
            let mut connection = pool.pool.acquire().await?;
            let all = timeout(pool.answer_within, connection.fetch_many(query).try_collect::<Vec<_>>()).await;
            answered(all, connection).map(|rows| stream::iter(rows.into_iter().map(Ok)))
        };
        Box::pin(stream::once(rows).try_flatten())
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        E: 'q + Execute<'q, Postgres>,
    {
        let pool = self.clone();
        Box::pin(async move {
            let mut connection = pool.pool.acquire().await?;
            let row = timeout(pool.answer_within, connection.fetch_optional(query)).await;
            answered(row, connection)
        })
    }

    fn prepare_with<'e, 'q: 'e>(
        self,
        sql: &'q str,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement<'q>, Error>> {
        let pool = self.clone();
        Box::pin(async move {
            let mut connection = pool.pool.acquire().await?;
            let statement = timeout(pool.answer_within, connection.prepare_with(sql, parameters)).await;
            answered(statement, connection)
        })
    }

    fn describe<'e, 'q: 'e>(self, sql: &'q str) -> BoxFuture<'e, Result<Describe<Postgres>, Error>> {
        let pool = self.clone();
        Box::pin(async move {
            let mut connection = pool.pool.acquire().await?;
            let description = timeout(pool.answer_within, connection.describe(sql)).await;
            answered(description, connection)
        })
    }
}
