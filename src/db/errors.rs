//! Errors of PostgreSQL in the product's terms. No SQL and no server text reaches a caller.

use diesel::result::{DatabaseErrorKind, Error as DieselError};

use super::sqlstate::{Reaction, SqlState};
use crate::domain::{Error, ErrorCode};

/// Errors of the database, by what a caller can do about them.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DbError {
    #[error("postgresql is unavailable: {0}")]
    Unavailable(String),
    /// The connection broke under the work.
    #[error("the connection to postgresql broke: {0}")]
    Lost(String),
    #[error("postgresql did not answer in time")]
    TimedOut,
    /// By the server's time limit, or by hand.
    #[error("postgresql cancelled the statement: {0}")]
    Cancelled(String),
    /// Its own time limit, or the wait for those before it.
    #[error("a search took too long")]
    SlowSearch,
    /// A standby, or a database or role that is to take no writes.
    #[error("postgresql takes no writes: it is read only (a standby, or default_transaction_read_only)")]
    ReadOnly,
    /// No room on its disk, or no memory or connections left.
    #[error("postgresql has no resources left: {0}")]
    Full(String),
    /// Undone because of another transaction, time and again.
    #[error("postgresql undid the transaction because of others: {0}")]
    Contended(String),
    /// The session can't be used any more; nothing was done.
    #[error("postgresql lost the session's state: {0}")]
    SessionLost(String),
    #[error("the schema is not the one that this executable needs; `filesys migrate` makes it: {0}")]
    NotMigrated(String),
    #[error("the schema is of a newer filesys than this one: migration {0}")]
    NewerSchema(String),
    #[error("{0}")]
    Pooler(&'static str),
    /// A rule of the schema was broken by what we wrote.
    #[error("postgresql refused the row: constraint {0}")]
    Constraint(String),
    #[error("postgresql: {0}")]
    Bug(String),
}

impl DbError {
    /// Makes the error of what a server answered. Without a state it was no answer: the connection broke.
    pub(super) fn from_answer(state: Option<SqlState>, message: String) -> Self {
        let Some(state) = state else { return Self::Lost(message) };
        let text = format!("{message} (SQLSTATE {state})");
        match state.reaction() {
            Reaction::Constraint => Self::Constraint(text),
            Reaction::Schema => Self::NotMigrated(text),
            Reaction::ReadOnly => Self::ReadOnly,
            Reaction::Retry => Self::Contended(text),
            Reaction::OtherSession => Self::SessionLost(text),
            Reaction::Full => Self::Full(text),
            Reaction::Lost => Self::Lost(text),
            Reaction::Cancelled => Self::Cancelled(text),
            Reaction::Wait | Reaction::Denied => Self::Unavailable(text),
            Reaction::Bug => Self::Bug(text),
        }
    }

    /// Makes the error of what the driver gives, with the state that the server has sent meanwhile.
    #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign enum, which grows")]
    pub(super) fn from_driver(error: DieselError, state: Option<SqlState>) -> Self {
        match error {
            DieselError::DatabaseError(kind, info) => match kind {
                DatabaseErrorKind::UniqueViolation
                | DatabaseErrorKind::ForeignKeyViolation
                | DatabaseErrorKind::NotNullViolation
                | DatabaseErrorKind::CheckViolation
                | DatabaseErrorKind::RestrictViolation
                | DatabaseErrorKind::ExclusionViolation => {
                    Self::Constraint(info.constraint_name().unwrap_or(info.message()).to_owned())
                }
                DatabaseErrorKind::ReadOnlyTransaction => Self::ReadOnly,
                DatabaseErrorKind::SerializationFailure => Self::Contended(info.message().to_owned()),
                _ => Self::from_answer(state, info.message().to_owned()),
            },
            DieselError::BrokenTransactionManager | DieselError::RollbackErrorOnCommit { .. } => {
                Self::from_answer(state.filter(|state| state.reaction() != Reaction::Bug), error.to_string())
            }
            other => Self::Bug(other.to_string()),
        }
    }

    /// The session is to be replaced: what it can't do now, another one may.
    pub(super) fn needs_new_session(&self) -> bool {
        matches!(self, Self::ReadOnly | Self::SessionLost(_) | Self::NotMigrated(_))
    }

    /// The other side, not we: it will be back.
    pub fn passes(&self) -> bool {
        match self {
            Self::Unavailable(_)
            | Self::Lost(_)
            | Self::TimedOut
            | Self::Cancelled(_)
            | Self::SlowSearch
            | Self::ReadOnly
            | Self::Full(_)
            | Self::Contended(_)
            | Self::SessionLost(_) => true,
            Self::NotMigrated(_)
            | Self::NewerSchema(_)
            | Self::Pooler(_)
            | Self::Constraint(_)
            | Self::Bug(_) => false,
        }
    }
}

/// Converts without the state that the server may have sent besides.
impl From<DieselError> for DbError {
    fn from(error: DieselError) -> Self {
        Self::from_driver(error, None)
    }
}

impl From<DbError> for Error {
    fn from(error: DbError) -> Self {
        let outside = match &error {
            DbError::ReadOnly => Self::new(
                ErrorCode::DatabaseReadOnly,
                "the database takes no writes at the moment; try again shortly",
            ),
            DbError::SlowSearch => Self::new(
                ErrorCode::SearchTooSlow,
                "the search took too long; search for more letters, or narrow it down by status",
            ),
            DbError::Unavailable(_)
            | DbError::Lost(_)
            | DbError::TimedOut
            | DbError::Cancelled(_)
            | DbError::Full(_)
            | DbError::Contended(_)
            | DbError::SessionLost(_)
            | DbError::NotMigrated(_)
            | DbError::NewerSchema(_)
            | DbError::Pooler(_) => {
                Self::new(ErrorCode::DatabaseUnavailable, "the database is not available; try again shortly")
            }
            DbError::Constraint(_) | DbError::Bug(_) => Self::internal("the request could not be stored"),
        };
        outside.because(error)
    }
}
