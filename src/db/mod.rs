//! PostgreSQL, the source of truth. The only home of SQL: a folder or file for each table, the pool, migrations.

mod clock;
mod columns;
pub mod dead_letters;
pub mod errors;
pub mod files;
pub mod idempotency_keys;
pub mod limits;
pub mod migrations;
pub mod object_removals;
pub mod outbox;
mod pool;
pub mod probe;
mod retry;
mod schema;
mod sqlstate;
mod statements;
pub mod uploads;

use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::{Object, Pool};
use diesel::QueryResult;
use diesel_async::AsyncPgConnection;
use secrecy::SecretString;
use tokio::sync::Semaphore;

use self::dead_letters::DeadLetters;
use self::files::Files;
use self::idempotency_keys::IdempotencyKeys;
use self::object_removals::ObjectRemovals;
use self::outbox::Outbox;
use self::outbox::local_handoff::LocalHandoff;
use self::pool::changes::Changes;
use self::pool::connection::Connector;
use self::pool::sessions::Sessions;
use self::pool::writable::Writes;
use self::uploads::Uploads;

use crate::telemetry::Outage;

pub use errors::DbError;
pub use pool::BY_INDEX;

/// A pool of connections. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    pool: Pool<Sessions>,
    /// Pool of one connection for new files, so that a request never waits for a connection that reads or jobs hold.
    intake: Pool<Sessions>,
    connector: Arc<Connector>,
    outage: Arc<Outage>,
    schema: Arc<Outage>,
    changes: Arc<Changes>,
    handoff: Arc<LocalHandoff>,
    writes: Arc<Writes>,
    /// Permits for searches, so that slow ones leave connections for everything else.
    searches: Arc<Semaphore>,
}

impl Db {
    /// Makes the pools without opening a connection: `max_connections` in all, and at least two.
    pub fn new(url: &SecretString, max_connections: usize) -> Result<Self, DbError> {
        let connector = Arc::new(Connector::new(url)?);
        let size = max_connections.saturating_sub(1).max(1);
        let intake = Sessions::new(Arc::clone(&connector)).pool(1)?;
        let pool = Sessions::new(Arc::clone(&connector)).pool(size)?;
        Ok(Self {
            pool,
            intake,
            connector,
            outage: Arc::new(Outage::new("postgresql unavailable", "postgresql recovered")),
            schema: Arc::new(Outage::new("the schema is missing", "the schema is there")),
            changes: Arc::default(),
            handoff: Arc::default(),
            writes: Arc::default(),
            searches: Arc::new(Semaphore::new((size / 4).max(1))),
        })
    }

    /// Statements about files.
    pub const fn files(&self) -> Files<'_> {
        Files { db: self }
    }

    /// Statements about dead letters.
    pub const fn dead_letters(&self) -> DeadLetters<'_> {
        DeadLetters { db: self }
    }

    /// Statements about the outbox.
    pub const fn outbox(&self) -> Outbox<'_> {
        Outbox { db: self }
    }

    /// Statements about objects that are to be removed.
    pub const fn object_removals(&self) -> ObjectRemovals<'_> {
        ObjectRemovals { db: self }
    }

    /// Statements about unfinished uploads.
    pub const fn uploads(&self) -> Uploads<'_> {
        Uploads { db: self }
    }

    /// Statements about idempotency keys.
    pub const fn idempotency_keys(&self) -> IdempotencyKeys<'_> {
        IdempotencyKeys { db: self }
    }

    /// Runs one statement or one transaction on a connection of the pool. If it is cut off (time limit, caller gone), the
    /// connection is closed: it may still be sending the answer.
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
        self.observe(&outcome);
        outcome
    }

    /// Logs the beginning and the end of outages, and records whether the server accepts writes.
    fn observe<T>(&self, outcome: &Result<T, DbError>) {
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
    // Left by earlier work on this session.
    session.messages.take_error();
    let Ok(result) = tokio::time::timeout(limit, work(&mut session.connection)).await else {
        return Err(DbError::TimedOut);
    };
    let outcome = result.map_err(|error| session.error(error));
    match &outcome {
        // The server or its settings have changed: idle sessions in the pool are outdated too.
        Err(error) if error.needs_new_session() => {
            pool.retain(|_, _| false);
        }
        // The server or the network has dropped this session, and probably others with it.
        Err(DbError::Lost(_)) => pool.manager().replace_all(),
        Ok(_) | Err(_) => lease.release(),
    }
    outcome
}

struct Lease(Option<Object<Sessions>>);

impl Lease {
    fn release(&mut self) {
        self.0 = None;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Not released: the work was cut off, or the session is broken.
        if let Some(object) = self.0.take() {
            drop(Object::take(object));
        }
    }
}
