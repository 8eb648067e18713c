//! Readiness of PostgreSQL: it answers, has the right schema, and takes writes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use diesel::result::Error as DieselError;
use diesel::sql_types::Text;
use diesel::{OptionalExtension, QueryableByName};
use diesel_async::{AsyncConnection, RunQueryDsl};
use tokio::sync::Mutex;

use crate::db::retry::retry_read;
use crate::db::statements::load_one::LoadOne;
use crate::db::statements::prepared::Prepared;
use crate::db::{Db, DbError, migrations};
use crate::telemetry::Outage;

/// Age up to which an earlier write makes a probe unnecessary.
const RECENT: Duration = Duration::from_secs(1);

/// Outcome of the latest writes.
pub(in crate::db) struct Writes {
    began: Instant,
    /// In milliseconds after `began`; zero: never.
    last_success: AtomicU64,
    probe: Mutex<Option<(Instant, Result<(), DbError>)>>,
    outage: Outage,
}

impl Default for Writes {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            last_success: AtomicU64::new(0),
            probe: Mutex::default(),
            outage: Outage::new("postgresql takes no writes", "postgresql takes writes again"),
        }
    }
}

impl Writes {
    /// Notes a write that succeeded.
    pub fn succeeded(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        self.last_success.store(now, Ordering::Relaxed);
        self.outage.works();
    }

    /// Notes a write that failed.
    pub fn failed(&self, error: &DbError) {
        self.last_success.store(0, Ordering::Relaxed);
        self.outage.fails(error);
    }

    fn has_just_succeeded(&self) -> bool {
        let last = AtomicU64::load(&self.last_success, Ordering::Relaxed);
        last > 0 && self.began.elapsed().saturating_sub(Duration::from_millis(last)) < RECENT
    }
}

/// A version that is in the database and that this executable neither knows nor may work with.
const NEWER: &str = "
SELECT m.version FROM __diesel_schema_migrations m LEFT JOIN schema_compatibility c ON c.version = m.version
WHERE m.version > $1 AND (c.works_with IS NULL OR c.works_with > $1) ORDER BY m.version DESC LIMIT 1";

/// Most of a page, so that each takes one of its own: a full disk is noticed.
const WRITE: &str = "INSERT INTO write_probes (padding) VALUES (repeat('x', 6000))";

#[derive(QueryableByName)]
struct Version {
    #[diesel(sql_type = Text)]
    version: String,
}

impl Db {
    /// Is PostgreSQL there, is the schema the one that this executable knows, and does it take writes?
    pub async fn ping(&self) -> Result<(), DbError> {
        let newer: Option<Version> = retry_read!(self.run(async |conn| {
            diesel::sql_query("SELECT 1 FROM files LIMIT 0").execute(conn).await?;
            let newer = diesel::sql_query(NEWER).bind::<Text, _>(migrations::NEWEST.as_str());
            Prepared(newer).load_one(conn).await.optional()
        }))?;
        if let Some(Version { version }) = newer {
            let error = DbError::NewerSchema(version);
            self.schema.fails(&error);
            return Err(error);
        }
        self.can_write().await
    }

    /// Writes and takes it back, unless somebody has just written; for all who ask within a second once.
    async fn can_write(&self) -> Result<(), DbError> {
        if self.writes.has_just_succeeded() {
            return Ok(());
        }
        let mut probe = self.writes.probe.lock().await;
        if let Some((at, outcome)) = &*probe
            && at.elapsed() < RECENT
        {
            return outcome.clone();
        }
        let written = self
            .run(async |conn| {
                let outcome: Result<(), DieselError> = conn
                    .transaction(async |conn| {
                        diesel::sql_query(WRITE).execute(conn).await?;
                        Err(DieselError::RollbackTransaction)
                    })
                    .await;
                match outcome {
                    Err(DieselError::RollbackTransaction) => Ok(()),
                    other => other,
                }
            })
            .await;
        if written.is_ok() {
            self.writes.outage.works();
        }
        *probe = Some((Instant::now(), written.clone()));
        written
    }
}

impl DbError {
    /// Returns what an operator has to do, where that is known. Holds no address and no text of the server.
    pub fn finding(&self) -> Option<String> {
        let text = match self {
            Self::ReadOnly => {
                "PostgreSQL takes no writes: it is a standby, or default_transaction_read_only is on; DATABASE_URL must \
                 lead to the primary"
            }
            Self::Full(_) => "PostgreSQL has no disk space, memory or connections left; its log says which",
            Self::NotMigrated(_) => {
                "the schema is missing or older than this executable; run filesys migrate"
            }
            Self::NewerSchema(_) => "the schema is newer than this executable; run the newer filesys",
            Self::Pooler(text) => text,
            Self::Unavailable(_)
            | Self::Lost(_)
            | Self::Cancelled(_)
            | Self::SlowSearch
            | Self::TimedOut
            | Self::Contended(_)
            | Self::SessionLost(_)
            | Self::Constraint(_)
            | Self::Bug(_) => return None,
        };
        Some(text.to_owned())
    }
}
