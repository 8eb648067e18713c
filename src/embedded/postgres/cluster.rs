//! Makes the database directory once, so that it is there whole or not at all.

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

const STAGING: &str = "postgres.initdb-";
const INITDB_LIMIT: Duration = Duration::from_mins(2);

/// A directory made by `initdb`, and whom it belongs to.
#[derive(Debug)]
pub(super) struct Cluster {
    pub data: PathBuf,
    pub account: Option<Account>,
    pub password: SecretString,
}

impl Cluster {
    pub fn path(dir: &DataDir) -> PathBuf {
        dir.join("postgres")
    }

    /// Opens the cluster of a data directory, or makes it.
    pub async fn open(
        dir: &DataDir,
        programs: &Programs,
        durability: Durability,
    ) -> Result<Self, EmbeddedError> {
        let data = Self::path(dir);
        let exists = data.join("PG_VERSION").is_file();
        let cluster = Self { account: Account::choose(&data)?, password: password(dir, exists)?, data };
        if let Some(account) = &cluster.account {
            account.check_access(dir.path()).await?;
        }
        if !exists {
            cluster.make(dir, programs, durability).await?;
        }
        Ok(cluster)
    }

    /// `initdb` into a directory of its own, which takes the real name only when all is done. Its name is new each
    /// time: an initdb whose parent was killed may still be writing to the last one.
    async fn make(
        &self,
        dir: &DataDir,
        programs: &Programs,
        durability: Durability,
    ) -> Result<(), EmbeddedError> {
        remove_staging(dir).map_err(EmbeddedError::io(dir.path()))?;
        let staging = dir.join(&format!("{STAGING}{}", Uuid::new_v4().simple()));
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
        succeed(command, INITDB_LIMIT).await?;

        let finish = || {
            fs::rename(staging.join("data"), &self.data)?;
            File::open(dir.path())?.sync_all()?;
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

/// The password lives in libpq's own password file, so that `psql` can use it; made before the cluster is.
fn password(dir: &DataDir, cluster_exists: bool) -> Result<SecretString, EmbeddedError> {
    let kept = dir.read(PGPASS)?;
    let field = kept.as_deref().and_then(|line| line.trim_end().rsplit(':').next());
    match field.filter(|password| !password.is_empty()) {
        Some(password) => Ok(SecretString::from(password)),
        None if cluster_exists => {
            Err(EmbeddedError::NoPassword { data: Cluster::path(dir), pgpass: dir.join(PGPASS) })
        }
        None => {
            let password = generated_secret();
            dir.write_private(PGPASS, &format!("127.0.0.1:*:*:{ROLE}:{}\n", password.expose_secret()))?;
            Ok(password)
        }
    }
}

fn remove_staging(dir: &DataDir) -> io::Result<()> {
    for entry in fs::read_dir(dir.path())? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(STAGING) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}
