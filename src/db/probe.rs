//! Probe by a connection of its own: what `filesys doctor` tells of a PostgreSQL.

use std::collections::BTreeSet;

use diesel::migration::MigrationSource;
use diesel::pg::Pg;
use secrecy::SecretString;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use super::migrations::MIGRATIONS;
use super::pool::connection::{Connector, Opened, cause, closed, driven};
use super::{DbError, limits};

/// Answers of a server about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    pub version: String,
    pub is_standby: bool,
    pub is_read_only: bool,
    /// Transactions of one client run in several server processes.
    pub pools_transactions: bool,
    pub schema: Schema,
}

/// The migrations in the database, compared with those of this executable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    Missing,
    /// This number of migrations is not applied yet.
    Behind(usize),
    Current,
    /// Like `Current`, but the index that searches use is missing.
    Unindexed,
    /// This number of migrations was applied by a newer executable.
    Newer(usize),
}

/// Has a time limit.
pub async fn probe(url: &SecretString) -> Result<Answers, DbError> {
    let connector = Connector::new(url)?;
    let questioned = async {
        let mut opened = connector.open().await?;
        // While a client of a pooler in session mode is there, its server process is nobody else's.
        let pools_transactions = opened.state.is_pooled
            && connector.open().await.is_ok_and(|other| other.state.process == opened.state.process);
        let Opened { client, connection, state, .. } = &mut opened;
        let asked = driven(connection, ask(client)).await;
        let (version, is_standby, schema) =
            asked.map_err(|error| error.map_or_else(closed, |error| cause(&error, true)))?;
        Ok(Answers { version, is_standby, is_read_only: state.is_read_only, pools_transactions, schema })
    };
    tokio::time::timeout(limits::WORK, questioned).await.unwrap_or(Err(DbError::TimedOut))
}

async fn ask(client: &Client) -> Result<(String, bool, Schema), tokio_postgres::Error> {
    // Simple queries: they work through every pooler.
    let sql = "SELECT current_setting('server_version'), pg_is_in_recovery()::text, \
               to_regclass('__diesel_schema_migrations') IS NOT NULL, to_regclass('file_titles_trigrams') IS NOT NULL";
    let rows = client.simple_query(sql).await?;
    let row = rows.iter().find_map(row);
    let column = |index| row.and_then(|row| row.get(index)).unwrap_or_default().to_owned();
    let schema = if column(2) == "t" { compare(&applied(client).await?) } else { Schema::Missing };
    let is_unindexed = schema == Schema::Current && column(3) != "t";
    Ok((column(0), column(1) == "true", if is_unindexed { Schema::Unindexed } else { schema }))
}

async fn applied(client: &Client) -> Result<BTreeSet<String>, tokio_postgres::Error> {
    let rows = match client.simple_query("SELECT version FROM __diesel_schema_migrations").await {
        // It was there a moment ago.
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Vec::new(),
        rows => rows?,
    };
    Ok(rows.iter().filter_map(row).filter_map(|row| Some(row.get(0)?.to_owned())).collect())
}

fn row(message: &SimpleQueryMessage) -> Option<&SimpleQueryRow> {
    if let SimpleQueryMessage::Row(row) = message { Some(row) } else { None }
}

fn compare(applied: &BTreeSet<String>) -> Schema {
    let known: BTreeSet<String> = MigrationSource::<Pg>::migrations(&MIGRATIONS)
        .unwrap_or_default()
        .iter()
        .map(|migration| migration.name().version().to_string())
        .collect();
    match (known.difference(applied).count(), applied.difference(&known).count()) {
        (0, 0) => Schema::Current,
        (0, newer) => Schema::Newer(newer),
        (behind, _) => Schema::Behind(behind),
    }
}
