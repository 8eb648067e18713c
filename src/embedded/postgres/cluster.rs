//! The database directory: made once, and complete or not there at all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use super::account::Account;
use super::programs::{Programs, succeed};
use super::{PGPASS, ROLE};
use crate::embedded::{DataDir, Durability, EmbeddedError, generated_secret};

/// File that names the cluster's directory when it can't be in the data directory.
const HOME_FILE: &str = "postgres.home";
/// Directory in which such directories are made.
const FALLBACK_PARENT: &str = "/var/lib/filesys";
const STAGING: &str = "postgres.initdb-";
const INITDB_TIMEOUT: Duration = Duration::from_mins(2);

/// Directory made by `initdb`, and the user that it belongs to.
#[derive(Debug)]
pub(super) struct Cluster {
    pub data: PathBuf,
    pub account: Option<Account>,
    pub password: SecretString,
}

impl Cluster {
    /// Returns the path of the cluster of a data directory.
    pub fn path(dir: &DataDir) -> PathBuf {
        home(dir).join("postgres")
    }

    /// Returns the directory that holds the cluster's.
    pub fn home(&self) -> &Path {
        self.data.parent().unwrap_or(&self.data)
    }

    /// Opens the cluster of a data directory, or makes it.
    pub async fn open(
        dir: &DataDir,
        programs: &Programs,
        durability: Durability,
    ) -> Result<Self, EmbeddedError> {
        let account = Account::choose(&Self::path(dir))?;
        let is_link = |path: &Path| fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
        if is_link(&Self::path(dir)) {
            return Err(EmbeddedError::Link { path: Self::path(dir) });
        }
        if let Some(account) = &account {
            let home = home(dir);
            account.allow_traversal(&home).map_err(EmbeddedError::io(&home))?;
            let access = account.check_access(&home).await;
            if access.is_err() && !Self::path(dir).exists() && use_fallback_home(dir, account).is_ok() {
                account.check_access(&self::home(dir)).await?;
            } else {
                access?;
            }
        }
        let data = Self::path(dir);
        let exists = data.join("PG_VERSION").is_file();
        let cluster = Self { account, password: password(dir, exists)?, data };
        if !exists {
            cluster.make(dir, programs, durability).await?;
        }
        Ok(cluster)
    }

    /// Runs `initdb` in a staging directory, which is renamed only when all is done. Its name is unique: an `initdb`
    /// whose parent was killed may still be writing to the last one.
    async fn make(
        &self,
        dir: &DataDir,
        programs: &Programs,
        durability: Durability,
    ) -> Result<(), EmbeddedError> {
        let home = home(dir);
        remove_staging(&home).map_err(EmbeddedError::io(&home))?;
        let staging = home.join(format!("{STAGING}{}", Uuid::new_v4().simple()));
        let password_file = staging.join("password");
        self.prepare(&staging, &password_file).map_err(EmbeddedError::io(&staging))?;

        let mut command = programs.command("initdb");
        command
            .arg("--pgdata")
            .arg(staging.join("data"))
            .arg("--pwfile")
            .arg(&password_file)
            .args(["--username", ROLE, "--auth=scram-sha-256"])
            .args(["--encoding=UTF8", "--data-checksums"]);
        if programs.major_version().await? >= 17 {
            command.args(["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]);
        } else {
            command.arg("--locale=C.UTF-8");
        }
        if durability == Durability::Fast {
            command.arg("--no-sync");
        }
        if let Some(account) = &self.account {
            account.apply(&mut command);
        }
        log::info!(data = self.data.display().to_string(); "making the database directory");
        succeed(command, INITDB_TIMEOUT).await?;

        let finish = || {
            // The rename is the commit: a crash before it leaves a staging directory, which the next start removes.
            fs::rename(staging.join("data"), &self.data)?;
            File::open(&home)?.sync_all()?;
            fs::remove_dir_all(&staging)
        };
        finish().map_err(EmbeddedError::io(&self.data))
    }

    fn prepare(&self, staging: &Path, password_file: &Path) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(staging)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(password_file)?;
        writeln!(file, "{}", self.password.expose_secret())?;
        if let Some(account) = &self.account {
            account.own(staging)?;
            account.own(password_file)?;
        }
        Ok(())
    }
}

/// Returns the directory that holds the cluster: the data directory, unless a file in it names another.
fn home(dir: &DataDir) -> PathBuf {
    let elsewhere = dir.read(HOME_FILE).ok().flatten();
    elsewhere.map_or_else(|| dir.path().to_owned(), |path| PathBuf::from(path.trim_end()))
}

/// Moves the cluster out of a data directory that only root may enter, such as root's home: the server's user could not
/// reach it there. Each data directory gets a directory of its own.
fn use_fallback_home(dir: &DataDir, account: &Account) -> Result<(), EmbeddedError> {
    let path = Path::new(FALLBACK_PARENT).join(Uuid::new_v4().simple().to_string());
    DirBuilder::new().recursive(true).mode(0o711).create(&path).map_err(EmbeddedError::io(&path))?;
    account.allow_traversal(&path).map_err(EmbeddedError::io(&path))?;
    let name = path.display().to_string();
    log::warn!(path = name; "postgresql's user may not enter the data directory; its files are kept in another one");
    dir.write_private(HOME_FILE, &format!("{name}\n"))
}

/// Reads the password, or makes one before the cluster is made. It is kept in libpq's own password file, so that `psql`
/// can use it.
fn password(dir: &DataDir, cluster_exists: bool) -> Result<SecretString, EmbeddedError> {
    let kept = dir.read(PGPASS)?;
    let field = kept.as_deref().and_then(|line| line.trim_end().rsplit(':').next());
    match field.filter(|password| !password.is_empty()) {
        Some(password) => {
            let password = SecretString::from(password);
            // Older releases named the host of TCP connections alone.
            if kept.as_ref().is_some_and(|line| !line.starts_with("*:")) {
                write_password(dir, &password)?;
            }
            Ok(password)
        }
        None if cluster_exists => {
            Err(EmbeddedError::NoPassword { data: Cluster::path(dir), pgpass: dir.join(PGPASS) })
        }
        None => {
            let password = generated_secret();
            write_password(dir, &password)?;
            Ok(password)
        }
    }
}

/// Writes the password for any host: the server is reached by a socket and on loopback.
fn write_password(dir: &DataDir, password: &SecretString) -> Result<(), EmbeddedError> {
    dir.write_private(PGPASS, &format!("*:*:*:{ROLE}:{}\n", password.expose_secret()))
}

fn remove_staging(home: &Path) -> io::Result<()> {
    for entry in fs::read_dir(home)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(STAGING) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}
