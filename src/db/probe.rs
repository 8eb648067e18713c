//! One connection of its own, opened and questioned: what `filesys doctor` tells of a PostgreSQL.

use std::collections::BTreeSet;

use diesel::migration::MigrationSource;
use diesel::pg::Pg;
use secrecy::SecretString;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use super::connection::{Connector, cause};
use super::migrations::MIGRATIONS;
use super::{DbError, limits};

/// What a server said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    pub version: String,
    pub is_standby: bool,
    pub is_read_only: bool,
    pub schema: Schema,
}

/// The migrations in the database, compared with those of this executable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    Missing,
    /// So many are not applied yet.
    Behind(usize),
    Current,
    /// So many were applied by a newer executable.
    Newer(usize),
}

/// Why there were no answers, as far as the server or the driver says so by code.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("the login was refused: {0}")]
    Login(String),
    #[error("the database does not exist: {0}")]
    NoDatabase(String),
    #[error("no connection is free: {0}")]
    TooManyConnections(String),
    #[error("the server is starting or stopping: {0}")]
    NotNow(String),
    #[error("a right is missing: {0}")]
    Forbidden(String),
    #[error("{0}")]
    Other(String),
}

/// Has a time limit.
pub async fn probe(url: &SecretString) -> Result<Answers, ProbeError> {
    let connector = Connector::new(url).map_err(|error| ProbeError::Other(error.to_string()))?;
    let questioned = async {
        let (client, _connection) = connector.client().await.map_err(|error| refusal(&error))?;
        ask(&client).await.map_err(|error| refusal(&error))
    };
    tokio::time::timeout(limits::CONNECT, questioned)
        .await
        .unwrap_or_else(|_| Err(ProbeError::Other(DbError::TimedOut.to_string())))
}

async fn ask(client: &Client) -> Result<Answers, tokio_postgres::Error> {
    // Simple queries: they work through every pooler.
    let sql = "SELECT current_setting('server_version'), pg_is_in_recovery()::text, \
               current_setting('transaction_read_only'), to_regclass('__diesel_schema_migrations') IS NOT NULL";
    let rows = client.simple_query(sql).await?;
    let row = rows.iter().find_map(row);
    let column = |index| row.and_then(|row| row.get(index)).unwrap_or_default().to_owned();
    let schema = if column(3) == "t" { compare(&applied(client).await?) } else { Schema::Missing };
    Ok(Answers {
        version: column(0),
        is_standby: column(1) == "true",
        is_read_only: column(2) == "on",
        schema,
    })
}

async fn applied(client: &Client) -> Result<BTreeSet<String>, tokio_postgres::Error> {
    let rows = client.simple_query("SELECT version FROM __diesel_schema_migrations").await?;
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

fn refusal(error: &tokio_postgres::Error) -> ProbeError {
    let text = cause(error);
    let Some(code) = error.code() else { return ProbeError::Other(text) };
    let is = |codes: &[SqlState]| codes.contains(code);
    if is(&[SqlState::INVALID_PASSWORD, SqlState::INVALID_AUTHORIZATION_SPECIFICATION]) {
        return ProbeError::Login(text);
    }
    if is(&[SqlState::INVALID_CATALOG_NAME]) {
        return ProbeError::NoDatabase(text);
    }
    if is(&[SqlState::TOO_MANY_CONNECTIONS, SqlState::CONFIGURATION_LIMIT_EXCEEDED]) {
        return ProbeError::TooManyConnections(text);
    }
    if is(&[SqlState::CANNOT_CONNECT_NOW, SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN]) {
        return ProbeError::NotNow(text);
    }
    if is(&[SqlState::INSUFFICIENT_PRIVILEGE]) {
        return ProbeError::Forbidden(text);
    }
    ProbeError::Other(text)
}
