//! Sessions of the pool: opened as the product needs them, checked before they are used again.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool::managed::{Manager, Metrics, Pool, PoolError, RecycleError, RecycleResult};
use diesel::result::Error as DieselError;
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection, TransactionManager};
use tokio_util::task::AbortOnDropHandle;

use super::connection::{Connector, Opened};
use super::transport::ServerMessages;
use crate::db::{DbError, limits};

/// A connection with the task that drives it and what its server says.
pub(in crate::db) struct Session {
    pub connection: AsyncPgConnection,
    pub messages: Arc<ServerMessages>,
    is_pooled: bool,
    pub driver: AbortOnDropHandle<()>,
}

impl Session {
    /// Ready for statements.
    async fn of(opened: Opened) -> Result<Self, DbError> {
        let Opened { client, mut connection, messages, state } = opened;
        let driver = AbortOnDropHandle::new(tokio::spawn(async move {
            while let Some(message) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
                if let Err(error) = message {
                    log::debug!(error:% = error; "connection to postgresql ended");
                    break;
                }
            }
        }));
        let setting_up = tokio::time::timeout(limits::CONNECT, AsyncPgConnection::try_from(client));
        let connection = setting_up
            .await
            .map_err(|_| DbError::TimedOut)?
            .map_err(|error| DbError::from_answer(messages.take_error(), error.to_string()))?;
        Ok(Self { connection, messages, is_pooled: state.is_pooled, driver })
    }

    /// An error of work on it. A pooler that hands out other server processes loses what a session has.
    pub fn error(&self, error: DieselError) -> DbError {
        let error = DbError::from_driver(error, self.messages.take_error());
        if self.is_pooled && matches!(error, DbError::SessionLost(_)) {
            return DbError::Pooler(TRANSACTION_POOLING);
        }
        error
    }

    /// False when it can't be used any more, as far as is known here.
    fn is_usable(&mut self) -> bool {
        type Transactions = <AsyncPgConnection as AsyncConnection>::TransactionManager;
        !self.driver.is_finished() && !Transactions::is_broken_transaction_manager(&mut self.connection)
    }
}

/// Opens sessions and decides whether one is used again.
pub(in crate::db) struct Sessions {
    connector: Arc<Connector>,
    /// Sessions that were last used before are taken for broken.
    stale_before: Mutex<Option<Instant>>,
    /// Number of checks so far for a pooler that changes server processes between transactions.
    pooling_checks: AtomicU8,
}

/// Explanation for operators: why a pooler in transaction mode can't be used, and what to change.
const TRANSACTION_POOLING: &str = "between here and PostgreSQL is a pooler such as PgBouncer in transaction mode, where \
     sessions keep no settings, prepared statements, locks and LISTEN: set pool_mode=session for this database there, or \
     have DATABASE_URL name PostgreSQL itself";

/// Number of such checks before they stop.
const POOLING_CHECKS: u8 = 3;

impl Sessions {
    /// Makes sessions that this connector opens.
    pub fn new(connector: Arc<Connector>) -> Self {
        Self { connector, stale_before: Mutex::default(), pooling_checks: AtomicU8::new(0) }
    }

    /// Makes a pool of at most `size` sessions.
    pub fn pool(self, size: usize) -> Result<Pool<Self>, DbError> {
        Pool::builder(self)
            .max_size(size)
            // Those used last have their statements prepared.
            .queue_mode(deadpool::managed::QueueMode::Lifo)
            .wait_timeout(Some(limits::POOL_WAIT))
            .runtime(deadpool::Runtime::Tokio1)
            .build()
            .map_err(|error| DbError::Unavailable(error.to_string()))
    }

    /// Opens one session, which is in no pool.
    pub async fn open_one(&self) -> Result<Session, DbError> {
        let opened = self.connector.open().await?;
        if opened.state.is_pooled && self.pooling_checks.load(Ordering::Relaxed) < POOLING_CHECKS {
            self.refuse_transaction_pooling(opened.state.process).await?;
            self.pooling_checks.fetch_add(1, Ordering::Relaxed);
        }
        Session::of(opened).await
    }

    /// Fails if a second connection is served by the same server process: a pooler in session mode keeps one for each client.
    async fn refuse_transaction_pooling(&self, process: i32) -> Result<(), DbError> {
        match self.connector.open().await {
            Ok(other) if other.state.process == process => Err(DbError::Pooler(TRANSACTION_POOLING)),
            // No second connection to be had: nothing is known.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Marks all sessions that are open now as broken.
    pub fn replace_all(&self) {
        self.replace_older_than(Some(Instant::now()));
    }

    fn replace_older_than(&self, time: Option<Instant>) {
        *self.stale_before.lock().unwrap_or_else(PoisonError::into_inner) = time;
    }

    fn stale_before(&self) -> Option<Instant> {
        *self.stale_before.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Manager for Sessions {
    type Type = Session;
    type Error = DbError;

    async fn create(&self) -> Result<Session, DbError> {
        // Rare and large: every use of the pool would carry it.
        Box::pin(self.open_one()).await
    }

    async fn recycle(&self, session: &mut Session, metrics: &Metrics) -> RecycleResult<DbError> {
        const BROKEN: RecycleError<DbError> = RecycleError::Message(std::borrow::Cow::Borrowed("broken"));
        let last_used = metrics.recycled.unwrap_or(metrics.created);
        if !session.is_usable() || self.stale_before().is_some_and(|time| last_used < time) {
            return Err(BROKEN);
        }
        if last_used.elapsed() < limits::ASK_AFTER {
            return Ok(());
        }
        let asked = tokio::time::timeout(limits::ASK, session.connection.batch_execute(""));
        if matches!(asked.await, Ok(Ok(()))) {
            return Ok(());
        }
        // A firewall has forgotten it, or the server is gone: those that are as old will be no better.
        self.replace_older_than(Instant::now().checked_sub(limits::ASK + Duration::from_millis(100)));
        Err(BROKEN)
    }
}

impl From<PoolError<DbError>> for DbError {
    fn from(error: PoolError<DbError>) -> Self {
        match error {
            PoolError::Backend(error) => error,
            PoolError::Timeout(_) => Self::Unavailable("every connection of the pool is in use".to_owned()),
            PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                Self::Unavailable("the pool can't be used".to_owned())
            }
        }
    }
}
