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
mod load_one;
pub mod migrations;
pub mod moves;
pub mod outbox;
mod pages;
mod prepared;
pub mod probe;
pub mod removals;
pub mod retention;
mod retry;
mod schema;
mod sessions;
mod sqlstate;
pub mod stats;
pub mod transitions;
mod transport;
mod types;
mod writable;

use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::{Object, Pool};
use diesel::QueryResult;
use diesel_async::AsyncPgConnection;
use secrecy::SecretString;
use tokio::sync::Semaphore;

use self::changes::Changes;
use self::connection::Connector;
use self::fresh::Fresh;
use self::sessions::Sessions;
use self::writable::Writes;

use crate::telemetry::Outage;

pub use connection::BY_INDEX;
pub use errors::DbError;

/// Time limits of everything that waits for PostgreSQL.
pub mod limits {
    use std::time::Duration;

    /// Time limit of opening a connection.
    pub const CONNECT: Duration = Duration::from_secs(5);
    /// Time that one of several servers has to take a connection.
    pub const CONNECT_ONE: Duration = Duration::from_secs(2);
    /// A connection without a word for so long is asked for a sign of life, by the system and, before it is used, by us.
    pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(3);
    /// Interval of keepalive probes that are not answered.
    pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
    /// Unanswered keepalive probes after which a connection is broken.
    pub const KEEPALIVE_COUNT: u32 = 3;
    /// Time that the peer's system has to confirm what was sent: it does so at once, however long a statement takes.
    pub const USER_TIMEOUT: Duration = Duration::from_secs(5);
    /// Idle time after which a pooled connection is asked before it is used.
    pub const ASK_AFTER: Duration = Duration::from_secs(1);
    /// Time that such a connection has to answer.
    pub const ASK: Duration = Duration::from_secs(1);
    /// Time to wait for a connection of the pool; past it the request is refused, not queued.
    pub const POOL_WAIT: Duration = Duration::from_secs(5);
    /// The server gives up on a statement after this.
    pub const STATEMENT_MILLIS: u32 = 10_000;
    /// Limit like `STATEMENT_MILLIS`, for a search.
    pub const SEARCH_MILLIS: u32 = 3_000;
    /// Time that the searches before have to end.
    pub const SEARCH_WAIT: Duration = Duration::from_secs(3);
    /// The server ends a session whose transaction waits for us for this long: longer than `RELAY`.
    pub const IDLE_MILLIS: u32 = 30_000;
    /// We give up on one piece of work (a statement or a transaction) after this, and on its connection.
    pub const WORK: Duration = Duration::from_secs(15);
    /// Limit like `WORK`, for a round of the relay, which publishes meanwhile: longer than a publish may take, so that one
    /// that comes through is not forgotten.
    pub const RELAY: Duration = Duration::from_secs(25);
}

/// A pool of connections. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    pool: Pool<Sessions>,
    /// Pool of one connection, for new files: a request never waits for a connection that others have, nor for one that is
    /// being opened because they have all.
    intake: Pool<Sessions>,
    connector: Arc<Connector>,
    outage: Arc<Outage>,
    schema: Arc<Outage>,
    changes: Arc<Changes>,
    fresh: Arc<Fresh>,
    writes: Arc<Writes>,
    /// Connections that searches may have at once, so that quick questions are not left without.
    searches: Arc<Semaphore>,
}

impl Db {
    /// Opens no connection yet, and never more than so many, of which there are two at least.
    pub fn new(url: &SecretString, max_connections: usize) -> Result<Self, DbError> {
        let connector = Arc::new(Connector::new(url)?);
        let size = max_connections.saturating_sub(1).max(1);
        let intake = Sessions::new(Arc::clone(&connector)).pool(1)?;
        let pool = Sessions::new(Arc::clone(&connector)).pool(size)?;
        Ok(Self {
            pool,
            intake,
            connector,
            outage: Arc::new(Outage::new("postgresql is away", "postgresql is back")),
            schema: Arc::new(Outage::new("the schema is missing", "the schema is there")),
            changes: Arc::default(),
            fresh: Arc::default(),
            writes: Arc::default(),
            searches: Arc::new(Semaphore::new((size / 4).max(1))),
        })
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
        pool: &Pool<Sessions>,
        limit: Duration,
        work: impl AsyncFnOnce(&mut AsyncPgConnection) -> QueryResult<T>,
    ) -> Result<T, DbError> {
        let outcome = attempt(pool, limit, work).await;
        self.note(&outcome);
        outcome
    }

    /// Logs the beginning and the end of outages, and keeps what an outcome says of writing.
    fn note<T>(&self, outcome: &Result<T, DbError>) {
        match outcome {
            Err(
                error @ (DbError::Unavailable(_)
                | DbError::Lost(_)
                | DbError::TimedOut
                | DbError::Cancelled(_)
                | DbError::Contended(_)
                | DbError::SessionLost(_)
                | DbError::Pooler(_)),
            ) => self.outage.fails(error),
            Err(error @ (DbError::ReadOnly | DbError::Full(_))) => self.writes.failed(error),
            Err(error @ (DbError::NotMigrated(_) | DbError::NewerSchema(_))) => {
                self.outage.works();
                self.schema.fails(error);
            }
            Ok(_) | Err(DbError::Constraint(_) | DbError::SlowSearch | DbError::Bug(_)) => {
                self.outage.works();
                self.schema.works();
            }
        }
    }
}

async fn attempt<T>(
    pool: &Pool<Sessions>,
    limit: Duration,
    work: impl AsyncFnOnce(&mut AsyncPgConnection) -> QueryResult<T>,
) -> Result<T, DbError> {
    let mut lease = Lease(Some(pool.get().await?));
    let Some(session) = lease.0.as_mut() else { return Err(DbError::TimedOut) };
    // Of work before.
    session.messages.take_error();
    let Ok(result) = tokio::time::timeout(limit, work(&mut session.connection)).await else {
        return Err(DbError::TimedOut);
    };
    let outcome = result.map_err(|error| session.error(error));
    match &outcome {
        // Another server or other settings by now: those that wait in the pool are as old.
        Err(error) if error.needs_new_session() => {
            pool.retain(|_, _| false);
        }
        // Its server has ended others, too, or the way to it is closed.
        Err(DbError::Lost(_)) => pool.manager().replace_all(),
        Ok(_) | Err(_) => lease.give_back(),
    }
    outcome
}

struct Lease(Option<Object<Sessions>>);

impl Lease {
    fn give_back(&mut self) {
        self.0 = None;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Still here: the work was cut off, or the session is of no use any more.
        if let Some(object) = self.0.take() {
            drop(Object::take(object));
        }
    }
}
