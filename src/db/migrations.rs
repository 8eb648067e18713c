//! The schema's versions, embedded; one process migrates, the others wait.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use diesel::migration::{Migration, MigrationSource, MigrationVersion};
use diesel::pg::Pg;
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use secrecy::SecretString;

use super::DbError;
use super::pool::connection::Connector;
use super::pool::sessions::{Session, Sessions};

pub(super) const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// Makes the index that searches use, where `pg_trgm` is installed or can be. Without it they read all titles, and
/// `filesys doctor` says so; the next `filesys migrate` tries again. New titles wait in a list of the index, so that who
/// stores them doesn't sort them in.
const TITLE_INDEX: &str = "
DO $$
DECLARE home TEXT;
BEGIN
    IF to_regclass('file_titles_trigrams') IS NOT NULL THEN RETURN; END IF;
    BEGIN
        CREATE EXTENSION IF NOT EXISTS pg_trgm;
    EXCEPTION WHEN OTHERS THEN
        RETURN;
    END;
    SELECT nspname INTO home FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE extname = 'pg_trgm';
    EXECUTE format('CREATE INDEX file_titles_trigrams ON file_titles USING gin (title %I.gin_trgm_ops)', home);
EXCEPTION WHEN insufficient_privilege OR undefined_object THEN
    RETURN;
END $$";

/// `filesys` in ASCII: the advisory lock that migrating processes take.
const LOCK: i64 = 0x0066_696c_6573_7973;

/// Time that another process's migration has to end.
const LOCK_WAIT: Duration = Duration::from_mins(5);

/// The newest version that this executable knows.
pub(super) static NEWEST: LazyLock<String> = LazyLock::new(|| {
    let known: Vec<Box<dyn Migration<Pg>>> = MIGRATIONS.migrations().unwrap_or_default();
    known.iter().map(|migration| migration.name().version().to_string()).max().unwrap_or_default()
});

/// A version and whether it is in the database.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct MigrationStatus {
    pub name: String,
    pub applied: bool,
}

/// Applies what is missing; returns the names. Safe when many run at once. Needs a multi-threaded runtime.
pub async fn migrate(url: &SecretString) -> Result<Vec<String>, DbError> {
    with_lock(url, TITLE_INDEX, |harness| {
        let done = harness.run_pending_migrations(MIGRATIONS).map_err(bug)?;
        done.iter().map(name).collect()
    })
    .await
}

/// Takes back the newest applied version, with its data; returns its name.
pub async fn revert(url: &SecretString) -> Result<Option<String>, DbError> {
    with_lock(url, "", |harness| {
        if harness.applied_migrations().map_err(bug)?.is_empty() {
            return Ok(None);
        }
        let version = harness.revert_last_migration(MIGRATIONS).map_err(bug)?;
        name(&version).map(Some)
    })
    .await
}

/// Every version this executable knows, oldest first.
pub async fn status(url: &SecretString) -> Result<Vec<MigrationStatus>, DbError> {
    with_lock(url, "", |harness| {
        let applied: Vec<String> =
            harness.applied_migrations().map_err(bug)?.iter().map(ToString::to_string).collect();
        let known: Vec<Box<dyn Migration<Pg>>> = MIGRATIONS.migrations().map_err(bug)?;
        Ok(known
            .iter()
            .map(|migration| MigrationStatus {
                name: migration.name().to_string(),
                applied: applied.contains(&migration.name().version().to_string()),
            })
            .collect())
    })
    .await
}

/// The folder's name, which says more than the version.
fn name(version: &MigrationVersion<'_>) -> Result<String, DbError> {
    let known: Vec<Box<dyn Migration<Pg>>> = MIGRATIONS.migrations().map_err(bug)?;
    let found = known.iter().map(Migration::name).find(|name| name.version() == *version);
    Ok(found.map_or_else(|| version.to_string(), ToString::to_string))
}

type Harness = AsyncMigrationHarness<AsyncPgConnection>;

fn bug(error: impl std::fmt::Display) -> DbError {
    DbError::Bug(error.to_string())
}

/// Does the work, and then the SQL.
async fn with_lock<T>(
    url: &SecretString,
    then: &str,
    work: impl FnOnce(&mut Harness) -> Result<T, DbError>,
) -> Result<T, DbError> {
    let session = Sessions::new(Arc::new(Connector::new(url)?)).open_one().await?;
    let Session { mut connection, messages, driver: _driver, .. } = session;
    // Others may migrate for minutes, and an index may take as long.
    connection.batch_execute("SET statement_timeout = 0; SET enable_seqscan = on").await?;
    let lock = diesel::sql_query(format!("SELECT pg_advisory_lock({LOCK})")).execute(&mut connection);
    tokio::time::timeout(LOCK_WAIT, lock).await.map_err(|_| DbError::TimedOut)??;
    let mut harness = AsyncMigrationHarness::new(connection);
    let done = work(&mut harness).map_err(|error| match (error, messages.take_error()) {
        (DbError::Bug(text), Some(state)) => DbError::from_answer(Some(state), text),
        (error, _) => error,
    })?;
    // The session ends with the connection, and the lock with the session.
    let mut connection = harness.into_inner();
    connection
        .batch_execute(then)
        .await
        .map_err(|error| DbError::from_driver(error, messages.take_error()))?;
    Ok(done)
}
