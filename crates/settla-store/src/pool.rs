//! One pool a role. The login user is a member of each role and takes it on at connect, so a forgotten
//! `SET ROLE` cannot widen what a query sees. A connection that did not take it on is not used: a pooler in
//! between that drops start-up options would otherwise leave us with all that the login user may do.

use crate::bounded::{ANSWER_WITHIN, BoundedPool};
use crate::{StoreError, data};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, Row};
use std::str::FromStr;
use std::time::Duration;

const RUNNER: &str = "settla_runner";
const WORKER: &str = "settla_worker";
const PAYER: &str = "settla_payer";
/// Roles whose statements are all look-ups by keys, of as many rows as they name.
const BY_KEY: [&str; 3] = [RUNNER, WORKER, PAYER];
/// A prepared statement's plan is kept. One that was made when a table was empty reads all of it for ever; for these
/// roles no plan but index look-ups in a nested loop is ever right, however many rows there are. Since it does not depend
/// on what is asked for, it is made once and not anew for each batch, which took longer than carrying it out.
const PLANS_BY_KEY: [(&str, &str); 6] = [
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("enable_material", "off"),
    ("plan_cache_mode", "force_generic_plan"),
];

/// Where the database is and how many connections to keep, per role.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// `postgres://…`, the value of `SETTLA_TRANSFER_DB_URL`.
    pub url: String,
    /// Connections of the tenant-scoped role.
    pub app_connections: u32,
    /// Connections of the workers' role.
    pub worker_connections: u32,
    /// A statement without an answer is given up after this.
    pub answer_within: Duration,
}

impl StoreConfig {
    /// The usual numbers of connections.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), app_connections: 6, worker_connections: 4, answer_within: ANSWER_WITHIN }
    }
}

/// The database of one environment, through the eyes of each role.
#[derive(Clone)]
pub struct Store {
    /// The batch runner: sees the tenants of its batch.
    pub runner: BoundedPool,
    /// Everything on behalf of one tenant: sees that tenant.
    pub app: BoundedPool,
    /// Workers: see all tenants, but only the tables of work.
    pub worker: BoundedPool,
    /// Personal data of those who are to be paid, of the tenants that it is opened to, and nothing else.
    pub payer: BoundedPool,
    /// Operators' commands: tenants, keys, fees, limits.
    pub operator: BoundedPool,
    /// Checks and reports: reads all but personal data and keys.
    pub auditor: BoundedPool,
    /// Reconciliation's own notes: what it has found, and how far it has read.
    pub reconciler: BoundedPool,
}

impl Store {
    /// Brings the schema up to date and makes the next months' partitions, then opens the pools. Any number of processes may do so at once.
    pub async fn open(config: &StoreConfig) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(&config.url)?;
        migrate(&options).await?;
        // Asked once here as well, where the reason can be told: a pool would only say that it has no connection.
        let mut first = as_role(&options, RUNNER).connect().await?;
        has_role(&mut first, RUNNER).await?;
        first.close().await?;
        let mut worker = as_role(&options, WORKER).connect().await?;
        has_role(&mut worker, WORKER).await?;
        // Those of the next months are there but after a long rest; a worker goes on trying and tells.
        if let Err(error) = data::make_partitions(&mut worker).await {
            tracing::warn!(%error, "partitions cannot be made now");
        }
        worker.close().await?;
        let pool = |role: &'static str, connections: u32| {
            BoundedPool::new(as_role(&options, role), role, connections, config.answer_within)
        };
        Ok(Self {
            runner: pool(RUNNER, 4),
            app: pool("settla_app", config.app_connections),
            worker: pool(WORKER, config.worker_connections),
            payer: pool(PAYER, 2),
            operator: pool("settla_operator", 2),
            // One for gauges, one for a round of reconciliation, one for whoever asks besides.
            auditor: pool("settla_auditor", 3),
            reconciler: pool("settla_reconciler", 2),
        })
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.app).await?;
        Ok(())
    }

    /// Gives the connections back.
    pub async fn close(&self) {
        for pool in
            [&self.runner, &self.app, &self.worker, &self.payer, &self.operator, &self.auditor, &self.reconciler]
        {
            pool.close().await;
        }
    }
}

fn as_role(options: &PgConnectOptions, role: &str) -> PgConnectOptions {
    let options = options.clone().application_name(role).options([
        ("role", role),
        ("search_path", "settla"),
        ("lock_timeout", "10000"),
        ("statement_timeout", "30000"),
        ("idle_in_transaction_session_timeout", "60000"),
    ]);
    if BY_KEY.contains(&role) { options.options(PLANS_BY_KEY) } else { options }
}

pub(crate) async fn has_role(connection: &mut PgConnection, role: &str) -> Result<(), sqlx::Error> {
    let row = sqlx::query("SELECT current_user::text AS role").persistent(false).fetch_one(connection).await?;
    if row.try_get::<&str, _>("role")? == role {
        return Ok(());
    }
    let why = format!("a connection did not take on the role {role}; does a pooler drop start-up options?");
    Err(sqlx::Error::Configuration(why.into()))
}

async fn migrate(options: &PgConnectOptions) -> Result<(), StoreError> {
    let pool = PgPoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
    let outcome = sqlx::migrate!("./migrations").run(&pool).await;
    pool.close().await;
    outcome.map_err(|error| StoreError::Migration(error.to_string()))
}
