//! Embedded services that `filesys up` and the tests run: a PostgreSQL and an S3 server on one directory.

mod access;
pub mod data_dir;
pub mod postgres;
pub mod preflight;
pub mod s3;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use uuid::Uuid;

use crate::domain::shell::quoted;

pub use access::restrict_umask;
pub use data_dir::DataDir;
pub use postgres::{EmbeddedPostgres, PostgresOptions};
pub use s3::{EmbeddedS3, S3Options};

/// Durability: the failures that acknowledged data survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Everything that was acknowledged.
    Full,
    /// Nothing, not even the directory. A killed process still loses nothing. For tests.
    Fast,
}

/// Error of an embedded service. Each names what its user can do.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    #[error("{} can't be used: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is in use by another filesys (process {owner}); stop it or choose another data directory", path.display())]
    Locked { path: PathBuf, owner: String },
    #[error(
        "{} belongs to user {owner}, and filesys runs as user {user}; run it as {owner}, choose another data directory \
         (one inside of it will do), or hand it over: chown {user} {}", path.display(), quoted(path)
    )]
    ForeignOwner { path: PathBuf, owner: String, user: String },
    #[error(
        "{} is open to other users (mode {mode:04o}) and holds {entry}, which is not filesys' own; choose an empty \
         directory, or close this one: chmod 700 {}", path.display(), quoted(path)
    )]
    OpenToOthers { path: PathBuf, mode: u32, entry: String },
    #[error(
        "{} is a symbolic link, which filesys does not follow inside of its data directory; move what it leads to \
         here, or make the data directory itself the link", path.display()
    )]
    Link { path: PathBuf },
    #[error(
        "{} has a line break in its name, which PostgreSQL's programs refuse; choose another",
        quoted(path)
    )]
    LineBreak { path: PathBuf },
    #[error("{} has a name that is not UTF-8; choose another", path.display())]
    NotUnicode { path: PathBuf },
    #[error("{} is not {expected}", path.display())]
    WrongKind { path: PathBuf, expected: &'static str },
    #[error(
        "another PostgreSQL still runs on {} (of a killed filesys, in another container perhaps); it did not end within \
         {} s", data.display(), limit.as_secs()
    )]
    StillRunning { data: PathBuf, limit: Duration },
    #[error(
        "PostgreSQL's server programs (postgres, initdb, psql) were not found in {searched}; install them \
         (Debian and Ubuntu: apt-get install postgresql), or set PG_BIN to the directory they are in, or \
         DATABASE_URL to a server that runs already"
    )]
    NoPostgres { searched: String },
    #[error("PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as")]
    NoAccount,
    #[error(
        "PostgreSQL refuses to run as root, so it runs as user {account}, who may not enter {}; \
         choose another data directory or allow it: chmod o+x {}", path.display(), quoted(path)
    )]
    NotTraversable { account: String, path: PathBuf },
    #[error("{} has a database but no readable password in {}", data.display(), pgpass.display())]
    NoPassword { data: PathBuf, pgpass: PathBuf },
    #[error("{program} failed: {output}")]
    Program { program: String, output: String },
    #[error("{what} took longer than {} s", limit.as_secs())]
    TimedOut { what: String, limit: Duration },
    #[error("PostgreSQL ended by itself ({status}); the end of {} says:\n{tail}", log.display())]
    Exited { status: String, log: PathBuf, tail: String },
    #[error("PostgreSQL did not start within {} s; the end of {} says:\n{tail}", limit.as_secs(), log.display())]
    NotReady { limit: Duration, log: PathBuf, tail: String },
    #[error("can't listen on 127.0.0.1: {0}")]
    Listen(io::Error),
}

impl EmbeddedError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

/// Generates a secret of 244 random bits, in hexadecimal, so that it never needs quoting.
fn generated_secret() -> SecretString {
    SecretString::from(format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()))
}
