//! PostgreSQL as a child process on loopback, run by the machine's own server programs.

mod account;
mod cluster;
mod postmaster;
pub(super) mod programs;
#[cfg(test)]
mod restart_tests;
mod server;
mod socket;
#[cfg(test)]
mod tests;

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, sleep};

use super::{DataDir, Durability, EmbeddedError, generated_secret};
use crate::config::{DatabaseConfig, EmbeddedConfig};
use crate::domain::shell::quoted;
use cluster::Cluster;
use programs::{Programs, run_with_input};
use server::{NotReady, Server};
use socket::SocketDir;

/// Superuser, made by `initdb`.
const ROLE: &str = "filesys";
const PGPASS: &str = "postgres.pgpass";
const START_TIMEOUT: Duration = Duration::from_secs(30);
const SCRIPT_TIMEOUT: Duration = Duration::from_secs(30);

/// Pause before the first restart of a server that ended by itself; each further one is twice as long.
const RESTART_BACKOFF: Duration = Duration::from_millis(100);
const MAX_RESTARTS: u32 = 6;
/// Run time after which a server counts as recovered.
const STABLE_AFTER: Duration = Duration::from_mins(1);

/// File whose lock a running server holds.
const LOCK_FILE: &str = "postgres.lock";

/// Role that owns the product's database.
const SERVING_ROLE: &str = "filesys_app";
const ROLES: &str = include_str!("roles.sql");
const CREATE_DATABASE: &str = "\\set ON_ERROR_STOP on\n\
    SELECT format('CREATE DATABASE %I', :'database') \
    WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \\gexec\n";

/// Texts of start-up errors that pass when the start is repeated: another process took the port between our check and
/// the server's, or backends of a killed server, which hold no lock, have not noticed its end yet.
const TRANSIENT_START_ERRORS: [&str; 2] = ["could not bind", "pre-existing shared memory block"];

/// Options of an embedded PostgreSQL.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    pub data_dir: DataDir,
    pub config: EmbeddedConfig,
    pub durability: Durability,
    /// Connections of the server, all databases together.
    pub max_connections: u16,
}

impl PostgresOptions {
    /// Makes options with full durability.
    pub fn new(data_dir: DataDir, config: EmbeddedConfig) -> Self {
        Self { data_dir, config, durability: Durability::Full, max_connections: 100 }
    }
}

/// Running server. It ends with this process, even when that is killed; dropping this starts its shutdown as well.
#[derive(Debug)]
pub struct EmbeddedPostgres {
    server: Server,
    options: PostgresOptions,
    programs: Programs,
    cluster: Cluster,
    socket: SocketDir,
    port: u16,
}

impl EmbeddedPostgres {
    /// Makes the database directory if it is missing, stops a server that a killed run left on it, starts a new one and
    /// waits until it accepts connections.
    pub async fn start(options: PostgresOptions) -> Result<Self, EmbeddedError> {
        let programs = Programs::find(&options.config, &Cluster::path(&options.data_dir)).await?;
        let cluster = Cluster::open(&options.data_dir, &programs, options.durability).await?;
        let socket = SocketDir::choose(&options.data_dir, cluster.home(), cluster.account.as_ref())?;
        let launched = launch(&options, &programs, &cluster, &socket).await;
        let (server, port) = launched.inspect_err(|_| socket.remove())?;
        Ok(Self { server, options, programs, cluster, socket, port })
    }

    /// Restarts the server whenever it ends by itself. Resolves with the last cause when that happens too often.
    pub async fn keep_alive(&mut self) -> EmbeddedError {
        let mut failures = 0;
        loop {
            let began = Instant::now();
            let mut cause = self.server.exited().await;
            // Only restarts in quick succession count against the limit.
            if began.elapsed() >= STABLE_AFTER {
                failures = 0;
            }
            loop {
                failures += 1;
                if failures > MAX_RESTARTS {
                    return cause;
                }
                log::error!(failures, cause = cause.to_string(); "postgresql ended unexpectedly; restarting it");
                sleep(RESTART_BACKOFF * 2_u32.pow(failures - 1)).await;
                match launch(&self.options, &self.programs, &self.cluster, &self.socket).await {
                    Ok((server, port)) => {
                        (self.server, self.port) = (server, port);
                        break;
                    }
                    Err(error) => cause = error,
                }
            }
        }
    }

    /// Returns the TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the superuser's URL of a database over TCP, with the password in it.
    pub fn database_url(&self, database: &str) -> SecretString {
        let password = self.cluster.password.expose_secret();
        SecretString::from(format!("postgresql://{ROLE}:{password}@127.0.0.1:{}/{database}", self.port))
    }

    /// Makes the database if it is missing, owned by a role that is no superuser. Returns how to connect to it as that
    /// role, over the Unix socket. The role gets a new password each time.
    pub async fn served_database(
        &self,
        database: &str,
        max_connections: usize,
    ) -> Result<DatabaseConfig, EmbeddedError> {
        let password = generated_secret();
        let variables =
            [("role", SERVING_ROLE), ("database", database), ("password", password.expose_secret())];
        self.run_script(&variables, ROLES).await?;
        let (host, port) = (self.socket.url_host(), socket::PORT);
        let url = format!(
            "postgresql://{SERVING_ROLE}:{}@{host}:{port}/{database}?sslmode=disable",
            password.expose_secret()
        );
        Ok(DatabaseConfig { url: SecretString::from(url), max_connections })
    }

    /// Returns the path of the password file, in libpq's format.
    pub fn pgpass_path(&self) -> PathBuf {
        self.options.data_dir.join(PGPASS)
    }

    /// Returns a shell command that opens a database, without the password.
    pub fn psql_hint(&self, database: &str) -> String {
        format!(
            "PGPASSFILE={} psql -h {} -p {} -U {ROLE} {}",
            quoted(self.pgpass_path()),
            quoted(self.socket.path()),
            socket::PORT,
            quoted(database)
        )
    }

    /// Makes a database; one that exists is left as it is.
    pub async fn create_database(&self, name: &str) -> Result<(), EmbeddedError> {
        self.run_script(&[("database", name)], CREATE_DATABASE).await
    }

    /// Runs psql as the superuser, over the socket. Variables are part of the script: arguments are visible to every
    /// user.
    async fn run_script(&self, variables: &[(&str, &str)], script: &str) -> Result<(), EmbeddedError> {
        let mut command = self.programs.command("psql");
        command.env("PGPASSFILE", self.pgpass_path()).arg("--host").arg(self.socket.path());
        command.arg(format!("--port={}", socket::PORT));
        command.args(["--no-psqlrc", "--no-password", "--quiet", "--username", ROLE, "--dbname=postgres"]);
        let set = |(name, value): &(&str, &str)| format!("\\set {name} '{}'\n", value.replace('\'', "''"));
        let input = variables.iter().map(set).collect::<String>() + script;
        let output = run_with_input(command, &input, SCRIPT_TIMEOUT).await?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            return Ok(());
        }
        Err(EmbeddedError::Program { program: "psql".to_owned(), output: stderr.trim_end().to_owned() })
    }

    /// Resolves when the server has ended.
    pub fn exited(&self) -> impl Future<Output = EmbeddedError> + Send + use<> {
        self.server.exited()
    }

    /// Stops the server (fast shutdown): cuts connections, writes everything, and waits until the process has ended.
    pub async fn stop(self) -> Result<(), EmbeddedError> {
        self.server.stop().await?;
        self.socket.remove();
        Ok(())
    }
}

/// Starts a server and waits until it accepts connections.
async fn launch(
    options: &PostgresOptions,
    programs: &Programs,
    cluster: &Cluster,
    socket: &SocketDir,
) -> Result<(Server, u16), EmbeddedError> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        let mut lock_options = OpenOptions::new();
        let file = lock_options.create(true).truncate(false).read(true).write(true);
        let file = options.data_dir.open_file(LOCK_FILE, file)?;
        let lock = postmaster::acquire_lock(&cluster.data, file).await?;
        let port = free_port(&options.data_dir)?;
        socket.prepare(port, cluster.account.as_ref())?;
        let mut server = Server::spawn(options, programs, cluster, socket, (port, lock))?;
        match server.ready(deadline).await {
            Ok(()) => {
                log::info!(port = port; "postgresql is ready");
                return Ok((server, port));
            }
            Err(NotReady::Slow) => return Err(server.not_ready(START_TIMEOUT)),
            Err(NotReady::Exited) => {
                // The log is the only place where the server tells the cause.
                let tail = server.log_tail();
                let is_transient = TRANSIENT_START_ERRORS.iter().any(|text| tail.contains(text));
                if !is_transient || Instant::now() >= deadline {
                    return Err(server.exited().await);
                }
            }
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// Returns a port that was free just now. Another process may take it before the server does.
fn free_port(dir: &DataDir) -> Result<u16, EmbeddedError> {
    let listener = dir.listen("postgres.port")?;
    Ok(listener.local_addr().map_err(EmbeddedError::Listen)?.port())
}
