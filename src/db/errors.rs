//! What PostgreSQL's errors mean to the product. No SQL and no server text reaches a caller.

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel_async::pooled_connection::deadpool::PoolError;

use crate::domain::{Error, ErrorKind};

#[derive(Debug, thiserror::Error)]
pub enum DbError {
    #[error("postgresql is unavailable: {0}")]
    Unavailable(String),
    #[error("postgresql did not answer in time")]
    TimedOut,
    #[error("the schema is not the one that this executable needs; `filesys migrate` makes it: {0}")]
    NotMigrated(String),
    /// A rule of the schema was broken by what we wrote.
    #[error("postgresql refused the row: constraint {0}")]
    Constraint(String),
    #[error("postgresql: {0}")]
    Bug(String),
}

impl From<PoolError> for DbError {
    fn from(error: PoolError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<DieselError> for DbError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign enum, which grows")]
    fn from(error: DieselError) -> Self {
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
                // A missing relation or column; the driver keeps the SQLSTATE to itself.
                _ if info.message().ends_with(" does not exist") => {
                    Self::NotMigrated(info.message().to_owned())
                }
                // Shut down, cut, out of space or connections, cancelled by a time limit: all of them pass.
                _ => Self::Unavailable(info.message().to_owned()),
            },
            DieselError::BrokenTransactionManager | DieselError::RollbackErrorOnCommit { .. } => {
                Self::Unavailable(error.to_string())
            }
            other => Self::Bug(other.to_string()),
        }
    }
}

impl From<DbError> for Error {
    fn from(error: DbError) -> Self {
        let outside = match &error {
            DbError::Unavailable(_) | DbError::TimedOut | DbError::NotMigrated(_) => Self::new(
                ErrorKind::Unavailable,
                "database_unavailable",
                "the database is not available; try again shortly",
            ),
            DbError::Constraint(_) | DbError::Bug(_) => Self::internal("the request could not be stored"),
        };
        outside.because(error)
    }
}
