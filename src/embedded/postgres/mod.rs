//! PostgreSQL as a child process on loopback, run by the machine's own server programs.

mod account;
mod cluster;
mod postmaster;
mod programs;
mod server;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, sleep};

use super::{DataDir, Durability, EmbeddedError};
use crate::config::{DatabaseConfig, EmbeddedConfig};
use cluster::Cluster;
use postmaster::PidFile;
use programs::{Programs, run};
use server::{NotReady, Server};

const ROLE: &str = "filesys";
const PGPASS: &str = "postgres.pgpass";
const START_LIMIT: Duration = Duration::from_secs(30);
const CREATE_DATABASE_LIMIT: Duration = Duration::from_secs(30);

/// What a start may run into and get over by trying again: a port taken between our look and the server's, and
/// backends of a killed server that have not noticed yet.
const PASSING: [&str; 2] = ["could not bind", "pre-existing shared memory block"];

#[derive(Debug, Clone)]
pub struct PostgresOptions {
    pub data_dir: DataDir,
    pub config: EmbeddedConfig,
    pub durability: Durability,
    /// Of the server, all databases together.
    pub max_connections: u16,
}

impl PostgresOptions {
    pub fn new(data_dir: DataDir, config: EmbeddedConfig) -> Self {
        Self { data_dir, config, durability: Durability::Full, max_connections: 100 }
    }
}

/// A running server. It ends with this process, however that ends; dropping this begins its shutdown as well.
#[derive(Debug)]
pub struct EmbeddedPostgres {
    server: Server,
    programs: Programs,
    password: SecretString,
    port: u16,
    data_dir: DataDir,
}

impl EmbeddedPostgres {
    /// Makes the database directory if it is missing, stops a server that a killed run left on it, starts ours and
    /// waits until it accepts connections.
    pub async fn start(options: PostgresOptions) -> Result<Self, EmbeddedError> {
        let programs = Programs::find(&options.config, &Cluster::path(&options.data_dir)).await?;
        let cluster = Cluster::open(&options.data_dir, &programs, options.durability).await?;
        postmaster::stop_left_over(&cluster.data).await?;
        let deadline = Instant::now() + START_LIMIT;
        let (server, port) = loop {
            let port = free_port(&options.data_dir)?;
            let before = PidFile::read(&cluster.data);
            let mut server = Server::spawn(&options, &programs, &cluster, port)?;
            match server.ready(before.as_ref(), deadline).await {
                Ok(()) => break (server, port),
                Err(NotReady::Slow) => return Err(server.not_ready(START_LIMIT)),
                Err(NotReady::Exited) => {
                    let tail = server.log_tail();
                    let passing = PASSING.iter().any(|text| tail.contains(text));
                    if !passing || Instant::now() >= deadline {
                        return Err(server.exited().await);
                    }
                }
            }
            sleep(Duration::from_millis(200)).await;
        };
        log::info!(port = port; "postgresql is ready");
        Ok(Self { server, programs, password: cluster.password, port, data_dir: options.data_dir })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a database, with the password in it.
    pub fn database_url(&self, database: &str) -> SecretString {
        SecretString::from(format!(
            "postgresql://{ROLE}:{}@127.0.0.1:{}/{database}",
            self.password.expose_secret(),
            self.port
        ))
    }

    pub fn database_config(&self, database: &str, max_connections: usize) -> DatabaseConfig {
        DatabaseConfig { url: self.database_url(database), max_connections }
    }

    /// A password file as libpq reads it.
    pub fn pgpass_path(&self) -> PathBuf {
        self.data_dir.join(PGPASS)
    }

    /// A shell command that opens a database, without the password.
    pub fn psql_hint(&self, database: &str) -> String {
        format!(
            "PGPASSFILE='{}' psql -h 127.0.0.1 -p {} -U {ROLE} {database}",
            self.pgpass_path().display(),
            self.port
        )
    }

    /// Makes a database; one that exists is left as it is.
    pub async fn create_database(&self, name: &str) -> Result<(), EmbeddedError> {
        let mut command = self.programs.command("createdb");
        command
            .env("PGPASSFILE", self.pgpass_path())
            .args(["--host=127.0.0.1", "--username", ROLE, "--no-password"])
            .arg(format!("--port={}", self.port))
            .args(["--maintenance-db=postgres", "--", name]);
        let output = run(command, CREATE_DATABASE_LIMIT).await?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        if output.status.success() || stderr.contains("already exists") {
            return Ok(());
        }
        Err(EmbeddedError::Program { program: "createdb".to_owned(), output: stderr.trim_end().to_owned() })
    }

    /// Resolves when the server has ended, which it does not while all is well.
    pub fn exited(&self) -> impl Future<Output = EmbeddedError> + Send + use<> {
        self.server.exited()
    }

    /// Fast shutdown: connections are cut, everything is written, the process has ended.
    pub async fn stop(self) -> Result<(), EmbeddedError> {
        self.server.stop().await
    }
}

/// The listener that found it is gone again, so the port is free for the server, or for whoever is faster.
fn free_port(dir: &DataDir) -> Result<u16, EmbeddedError> {
    let listener = dir.listen("postgres.port")?;
    Ok(listener.local_addr().map_err(EmbeddedError::Listen)?.port())
}
