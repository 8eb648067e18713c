//! PostgreSQL, the truth. The only home of SQL: one file for each table, the pool, and what wakes us.

mod certificate;
mod changes;
pub mod claims;
mod clock;
mod connection;
pub mod dead_letters;
mod erasure;
pub mod errors;
pub mod files;
pub mod fresh;
mod idempotency;
pub mod listen;
pub mod migrations;
pub mod moves;
pub mod outbox;
mod prepared;
pub mod probe;
pub mod removals;
pub mod retention;
mod schema;
pub mod stats;
pub mod transitions;
mod types;

use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::QueueMode;
use diesel::QueryResult;
use diesel_async::pooled_connection::deadpool::{Object, Pool};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::FutureExt;
use secrecy::SecretString;

use self::changes::Changes;
use self::connection::Connector;
use self::fresh::Fresh;

use crate::telemetry::Outage;

pub use errors::DbError;

/// Time limits of everything that waits for PostgreSQL.
pub mod limits {
    use std::time::Duration;

    pub const CONNECT: Duration = Duration::from_secs(5);
    /// For one of several hosts to take a connection.
    pub const CONNECT_ONE: Duration = Duration::from_secs(2);
    /// The system asks a connection without a word for so long for a sign of life.
    pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
    pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
    pub const KEEPALIVE_COUNT: u32 = 3;
    /// For the peer's system to confirm what was sent.
    pub const USER_TIMEOUT: Duration = Duration::from_secs(12);
    /// For a connection of the pool to become free; past it the request is refused, not queued.
    pub const POOL_WAIT: Duration = Duration::from_secs(5);
    /// The server gives up on a statement after this.
    pub const STATEMENT_MILLIS: u32 = 10_000;
    /// The server ends a session whose transaction waits for us for this long: longer than `RELAY`.
    pub const IDLE_MILLIS: u32 = 30_000;
    /// We give up on one piece of work (a statement or a transaction) after this, and on its connection.
    pub const WORK: Duration = Duration::from_secs(15);
    /// As `WORK`, for a round of the relay, which publishes meanwhile: longer than a publish may take, so that one
    /// that comes through is not forgotten.
    pub const RELAY: Duration = Duration::from_secs(25);
}

/// A pool of connections. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    pool: Pool<AsyncPgConnection>,
    /// Of one connection, for new files: a request never waits for a connection that others have, nor for one that is
    /// being opened because they have all.
    intake: Pool<AsyncPgConnection>,
    connector: Arc<Connector>,
    outage: Arc<Outage>,
    schema: Arc<Outage>,
    changes: Arc<Changes>,
    fresh: Arc<Fresh>,
}

impl Db {
    /// Opens no connection yet, and never more than so many, of which there are two at least.
    pub fn new(url: &SecretString, max_connections: usize) -> Result<Self, DbError> {
        let connector = Arc::new(Connector::new(url)?);
        let intake = pool(&connector, 1)?;
        let pool = pool(&connector, max_connections.saturating_sub(1).max(1))?;
        let outage = Arc::new(Outage::new("postgresql is away", "postgresql is back"));
        let schema = Arc::new(Outage::new("the schema is missing", "the schema is there"));
        Ok(Self { pool, intake, connector, outage, schema, changes: Arc::default(), fresh: Arc::default() })
    }

    /// Runs one statement or one transaction on a connection of the pool. When it doesn't end (time limit, caller
    /// gone) the connection is closed, so that nobody else gets one with an answer still under way.
    async fn run<T>(
        &self,
        work: impl AsyncFnOnce(&mut AsyncPgConnection) -> QueryResult<T>,
    ) -> Result<T, DbError> {
        self.run_on(&self.pool, limits::WORK, work).await
    }

    async fn run_on<T>(
        &self,
        pool: &Pool<AsyncPgConnection>,
        limit: Duration,
        work: impl AsyncFnOnce(&mut AsyncPgConnection) -> QueryResult<T>,
    ) -> Result<T, DbError> {
        let outcome = attempt(pool, limit, work).await;
        match &outcome {
            Err(error @ (DbError::Unavailable(_) | DbError::TimedOut)) => self.outage.fails(error),
            Err(error @ DbError::NotMigrated(_)) => {
                self.outage.works();
                self.schema.fails(error);
            }
            Ok(_) | Err(DbError::Constraint(_) | DbError::Bug(_)) => {
                self.outage.works();
                self.schema.works();
            }
        }
        outcome
    }

    /// One round trip: is PostgreSQL there, and is the schema the one this executable knows?
    pub async fn ping(&self) -> Result<(), DbError> {
        self.run(async |conn| diesel::sql_query("SELECT 1 FROM files LIMIT 0").execute(conn).await).await?;
        Ok(())
    }
}

fn pool(connector: &Arc<Connector>, size: usize) -> Result<Pool<AsyncPgConnection>, DbError> {
    let mut config = ManagerConfig::default();
    config.recycling_method = RecyclingMethod::Fast;
    let connector = Arc::clone(connector);
    config.custom_setup = Box::new(move |_| {
        let connector = Arc::clone(&connector);
        async move { connect(&connector).await }.boxed()
    });
    // The connector knows the URL.
    let manager = AsyncDieselConnectionManager::new_with_config("", config);
    Pool::builder(manager)
        .max_size(size)
        // Those used last have their statements prepared.
        .queue_mode(QueueMode::Lifo)
        .wait_timeout(Some(limits::POOL_WAIT))
        .create_timeout(Some(limits::CONNECT))
        .runtime(deadpool::Runtime::Tokio1)
        .build()
        .map_err(|error| DbError::Unavailable(error.to_string()))
}

async fn attempt<T>(
    pool: &Pool<AsyncPgConnection>,
    limit: Duration,
    work: impl AsyncFnOnce(&mut AsyncPgConnection) -> QueryResult<T>,
) -> Result<T, DbError> {
    let mut lease = Lease(Some(pool.get().await?));
    let Some(connection) = lease.0.as_mut() else { return Err(DbError::TimedOut) };
    let Ok(result) = tokio::time::timeout(limit, work(connection)).await else {
        return Err(DbError::TimedOut);
    };
    lease.give_back();
    Ok(result?)
}

struct Lease(Option<Object<AsyncPgConnection>>);

impl Lease {
    fn give_back(&mut self) {
        self.0 = None;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Still here: the work was cut off.
        if let Some(object) = self.0.take() {
            drop(Object::take(object));
        }
    }
}

/// Each statement looks rows up by an index, and is to go on doing so whatever statistics say: of a table that has just
/// begun to grow, or whose rows live for milliseconds, they say that it is quicker to read it whole. With that there is
/// one good plan for each, whatever its parameters: it is made once, where PostgreSQL would make one anew for each look
/// at a large table, which takes as long as looking.
pub const BY_INDEX: &str = "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; \
     SET plan_cache_mode = force_generic_plan; SET jit = off";

async fn connect(connector: &Connector) -> diesel::ConnectionResult<AsyncPgConnection> {
    let mut connection = connector.connect().await?;
    let settings = format!(
        "SET statement_timeout = {}; SET idle_in_transaction_session_timeout = {}; \
         {BY_INDEX}",
        limits::STATEMENT_MILLIS,
        limits::IDLE_MILLIS,
    );
    diesel_async::SimpleAsyncConnection::batch_execute(&mut connection, &settings)
        .await
        .map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
    Ok(connection)
}
