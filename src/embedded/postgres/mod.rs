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

/// The superuser, whom `initdb` makes.
const ROLE: &str = "filesys";
const PGPASS: &str = "postgres.pgpass";
const START_LIMIT: Duration = Duration::from_secs(30);
const SCRIPT_LIMIT: Duration = Duration::from_secs(30);

/// Wait before the first restart of a server that ended by itself; each further one is twice as long.
const RESTART_BACKOFF: Duration = Duration::from_millis(100);
const MAX_FAILURES: u32 = 6;
/// A server that has run for this long has recovered.
const STABLE_AFTER: Duration = Duration::from_mins(1);

/// The file whose lock a running server holds.
const CLAIM: &str = "postgres.lock";

/// Owns the database of the product.
const SERVING_ROLE: &str = "filesys_app";
const ROLES: &str = include_str!("roles.sql");
const CREATE_DATABASE: &str = "\\set ON_ERROR_STOP on\n\
    SELECT format('CREATE DATABASE %I', :'database') \
    WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \\gexec\n";

/// What a start may run into and get over by trying again: a port taken between our look and the server's, and
/// backends of a killed server, without its lock, that have not noticed yet.
const PASSING: [&str; 2] = ["could not bind", "pre-existing shared memory block"];

#[derive(Debug, Clone)]
pub struct PostgresOptions {
    pub data_dir: DataDir,
    pub config: EmbeddedConfig,
    pub durability: Durability,
    /// Connections of the server, all databases together.
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
    options: PostgresOptions,
    programs: Programs,
    cluster: Cluster,
    socket: SocketDir,
    port: u16,
}

impl EmbeddedPostgres {
    /// Makes the database directory if it is missing, stops a server that a killed run left on it, starts ours and
    /// waits until it accepts connections.
    pub async fn start(options: PostgresOptions) -> Result<Self, EmbeddedError> {
        let programs = Programs::find(&options.config, &Cluster::path(&options.data_dir)).await?;
        let cluster = Cluster::open(&options.data_dir, &programs, options.durability).await?;
        let socket = SocketDir::choose(&options.data_dir, cluster.home(), cluster.account.as_ref())?;
        let launched = launch(&options, &programs, &cluster, &socket).await;
        let (server, port) = launched.inspect_err(|_| socket.remove())?;
        Ok(Self { server, options, programs, cluster, socket, port })
    }

    /// Starts the server again whenever it ends by itself. Resolves with the last cause when that happens too often.
    pub async fn keep_alive(&mut self) -> EmbeddedError {
        let mut failures = 0;
        loop {
            let began = Instant::now();
            let mut cause = self.server.exited().await;
            if began.elapsed() >= STABLE_AFTER {
                failures = 0;
            }
            loop {
                failures += 1;
                if failures > MAX_FAILURES {
                    return cause;
                }
                log::error!(failures, cause = cause.to_string(); "postgresql ended by itself; starting it again");
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

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a database for the superuser over TCP, with the password in it.
    pub fn database_url(&self, database: &str) -> SecretString {
        let password = self.cluster.password.expose_secret();
        SecretString::from(format!("postgresql://{ROLE}:{password}@127.0.0.1:{}/{database}", self.port))
    }

    /// Makes the database if it is missing, and gives it to a role that is no superuser; the way to it as that role,
    /// by the Unix socket. The role's password is a new one each time.
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

    /// A password file as libpq reads it.
    pub fn pgpass_path(&self) -> PathBuf {
        self.options.data_dir.join(PGPASS)
    }

    /// A shell command that opens a database, without the password.
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

    /// Runs psql as the superuser, over the socket. The variables go with the script: any user sees arguments.
    async fn run_script(&self, variables: &[(&str, &str)], script: &str) -> Result<(), EmbeddedError> {
        let mut command = self.programs.command("psql");
        command.env("PGPASSFILE", self.pgpass_path()).arg("--host").arg(self.socket.path());
        command.arg(format!("--port={}", socket::PORT));
        command.args(["--no-psqlrc", "--no-password", "--quiet", "--username", ROLE, "--dbname=postgres"]);
        let set = |(name, value): &(&str, &str)| format!("\\set {name} '{}'\n", value.replace('\'', "''"));
        let input = variables.iter().map(set).collect::<String>() + script;
        let output = run_with_input(command, &input, SCRIPT_LIMIT).await?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            return Ok(());
        }
        Err(EmbeddedError::Program { program: "psql".to_owned(), output: stderr.trim_end().to_owned() })
    }

    /// Resolves when the server has ended, which it does not while all is well.
    pub fn exited(&self) -> impl Future<Output = EmbeddedError> + Send + use<> {
        self.server.exited()
    }

    /// Fast shutdown: connections are cut, everything is written, the process has ended.
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
    let deadline = Instant::now() + START_LIMIT;
    loop {
        let mut claim_options = OpenOptions::new();
        let file = claim_options.create(true).truncate(false).read(true).write(true);
        let file = options.data_dir.open_file(CLAIM, file)?;
        let claim = postmaster::claim(&cluster.data, file).await?;
        let port = free_port(&options.data_dir)?;
        socket.prepare(port, cluster.account.as_ref())?;
        let mut server = Server::spawn(options, programs, cluster, socket, (port, claim))?;
        match server.ready(deadline).await {
            Ok(()) => {
                log::info!(port = port; "postgresql is ready");
                return Ok((server, port));
            }
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
    }
}

/// The listener that found it is gone again, so the port is free for the server, or for whoever is faster.
fn free_port(dir: &DataDir) -> Result<u16, EmbeddedError> {
    let listener = dir.listen("postgres.port")?;
    Ok(listener.local_addr().map_err(EmbeddedError::Listen)?.port())
}
