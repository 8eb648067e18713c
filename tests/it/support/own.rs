//! Services of one test, run by `scripts/kafka`, `scripts/postgres` and `scripts/s3`, which it may stop, kill and start
//! again on the same port.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::Command;

use super::{Ports, not_run, within};

/// Time limit of a first start on a loaded machine.
const START_LIMIT: std::time::Duration = std::time::Duration::from_mins(3);

/// Service in a folder of its own. Dropping it ends it.
pub struct Own {
    script: PathBuf,
    folder: TempDir,
    /// Reserved while it is down.
    ports: Ports,
    /// Ports of the other brokers of a cluster.
    more_ports: Vec<Ports>,
    /// Output of `start`: `host:port`, several with commas, or a URL.
    pub address: String,
}

impl Own {
    /// Starts Apache Kafka; `None` without `TEST_KAFKA_SCRIPT`, which is reported as not run.
    pub async fn kafka() -> Option<Self> {
        if std::env::var("TEST_KAFKA_SCRIPT").is_err() {
            not_run("TEST_KAFKA_SCRIPT is not set to scripts/kafka");
            return None;
        }
        Some(Self::start("kafka").await)
    }

    /// Starts three brokers of Apache Kafka, numbered 1 to 3, with two in-sync replicas at least; `None` like `kafka`.
    pub async fn kafka_cluster() -> Option<Self> {
        if std::env::var("TEST_KAFKA_SCRIPT").is_err() {
            not_run("TEST_KAFKA_SCRIPT is not set to scripts/kafka");
            return None;
        }
        Some(Self::start_cluster().await)
    }

    /// Starts the cluster without a look at the environment.
    pub async fn start_cluster() -> Self {
        let mut own = Self::reserve("kafka");
        own.more_ports = vec![Ports::reserve(), Ports::reserve()];
        let ports: Vec<String> =
            std::iter::once(&own.ports).chain(&own.more_ports).map(|ports| ports.first.to_string()).collect();
        own.address = own.run(&["start", "--brokers", "3", "--port", &ports.join(",")]).await;
        own
    }

    /// Commands one broker of a cluster: `start`, `stop`, `restart` or `kill` it.
    pub async fn broker(&self, what: &str, number: usize) {
        self.run(&[what, "--broker", &number.to_string()]).await;
    }

    /// Starts PostgreSQL with an empty database.
    pub async fn postgres() -> Self {
        Self::start("postgres").await
    }

    /// Starts an S3 server that loses its objects when it ends; `None` without `TEST_S3_SCRIPT`, which is reported as not
    /// run.
    pub async fn s3() -> Option<Self> {
        if std::env::var("TEST_S3_SCRIPT").is_err() {
            not_run("TEST_S3_SCRIPT is not set to scripts/s3");
            return None;
        }
        Some(Self::start("s3").await)
    }

    /// Starts a standby of `primary`.
    pub async fn standby(primary: &Self) -> Self {
        let mut own = Self::reserve("postgres");
        own.first_start(&["--follow", &primary.port().to_string()]).await;
        own
    }

    /// Promotes a standby; it takes writes when this returns.
    pub async fn promote(&self) {
        self.run(&["promote"]).await;
    }

    async fn start(name: &str) -> Self {
        let mut own = Self::reserve(name);
        own.first_start(&[]).await;
        own
    }

    /// Reserves ports and a folder for the script `name`, without a start.
    pub fn reserve(name: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        // Root hands PostgreSQL to another user, who must get through to the directory.
        let enterable = std::fs::Permissions::from_mode(0o711);
        Self {
            script: Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name),
            folder: tempfile::Builder::new().permissions(enterable).tempdir().unwrap(),
            ports: Ports::reserve(),
            more_ports: Vec::new(),
            address: String::new(),
        }
    }

    pub fn port(&self) -> u16 {
        self.ports.first
    }

    pub async fn first_start(&mut self, args: &[&str]) {
        let port = self.port().to_string();
        self.address = self.run(&[&["start", "--port", &port], args].concat()).await;
    }

    /// Starts it after `stop` or `kill`, on the same port, with the same data.
    pub async fn start_again(&self) {
        self.run(&["start"]).await;
    }

    pub async fn stop(&self) {
        self.run(&["stop"]).await;
    }

    /// Sends SIGKILL.
    pub async fn kill(&self) {
        self.run(&["kill"]).await;
    }

    /// Runs the script, which must succeed, and returns its standard output.
    pub async fn run(&self, args: &[&str]) -> String {
        self.try_run(args).await.unwrap_or_else(|said| panic!("{said}"))
    }

    /// Runs the script; the error is its output if it fails.
    pub async fn try_run(&self, args: &[&str]) -> Result<String, String> {
        let what = format!("{} {args:?}", self.script.display());
        let output = self.command(args).stdin(Stdio::null()).kill_on_drop(true).output();
        let output = within(START_LIMIT, &what, output).await.unwrap();
        if !output.status.success() {
            return Err(format!("{what}: {output:?}"));
        }
        Ok(String::from_utf8(output.stdout).unwrap().trim().to_owned())
    }

    /// Path of a file of the service.
    pub fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(file)).unwrap()
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.script);
        command.args(args).env("FILESYS_SERVICES_DIR", self.folder.path());
        command
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = self.command(&["stop", "--wipe"]).as_std_mut().stdout(Stdio::null()).status();
    }
}
