//! The running server as a child process: bound to the life of this process by a pipe, its log, its end.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::PostgresOptions;
use super::cluster::Cluster;
use super::postmaster::{
    FAST_SHUTDOWN_TIMEOUT, IMMEDIATE_SHUTDOWN_TIMEOUT, POLL_INTERVAL, PidFile, stop_immediately,
};
use super::programs::Programs;
use super::socket::SocketDir;
use crate::embedded::{DataDir, Durability, EmbeddedError};

/// Shell script between this process and the server. It reads a pipe that closes even when this process is killed, and
/// then stops the server.
const WATCHDOG: &str = include_str!("watchdog.sh");
const LOG: &str = "postgres.log";
const MAX_LOG_BYTES: u64 = 10 << 20;
const TAIL_LINES: usize = 12;

/// Server process. Dropping it starts a fast shutdown; `stop` also waits for the end.
#[derive(Debug)]
pub(super) struct Server {
    /// Input of the watchdog; closing it requests the shutdown.
    pipe: ChildStdin,
    exit: watch::Receiver<Option<String>>,
    /// Thread that waits for the end. Not a task: the server may outlive the runtime that started it.
    waiter: JoinHandle<()>,
    data: PathBuf,
    log: Log,
}

/// Log of the server, from the line where this start began.
#[derive(Debug, Clone)]
struct Log {
    path: PathBuf,
    start: u64,
}

impl Server {
    /// Starts the process, which accepts connections only after `ready`.
    pub fn spawn(
        options: &PostgresOptions,
        programs: &Programs,
        cluster: &Cluster,
        socket: &SocketDir,
        (port, lock): (u16, File),
    ) -> Result<Self, EmbeddedError> {
        let (log, log_file) = Log::open(&options.data_dir)?;
        let mut command = programs.command("/bin/sh");
        command.args(["-c", WATCHDOG, "sh"]);
        command.arg(programs.path("postgres")).arg("-D").arg(&cluster.data);
        for setting in settings(options, socket, port) {
            command.arg("-c").arg(setting);
        }
        if let Some(account) = &cluster.account {
            account.apply(&mut command);
        }
        let (child, pipe) = start(command, log_file, lock).map_err(EmbeddedError::io(&cluster.data))?;
        let (sender, exit) = watch::channel(None);
        let waiter = thread::Builder::new()
            .name("postgres-exit".to_owned())
            .spawn(move || wait(child, &sender))
            .map_err(EmbeddedError::io(&cluster.data))?;
        Ok(Self { pipe, exit, waiter, data: cluster.data.clone(), log })
    }

    /// Waits until the server accepts connections.
    pub async fn ready(&mut self, deadline: Instant) -> Result<(), NotReady> {
        loop {
            if PidFile::read(&self.data).is_some_and(|file| file.is_ready()) {
                return Ok(());
            }
            if timeout(POLL_INTERVAL, self.exit.wait_for(Option::is_some)).await.is_ok() {
                return Err(NotReady::Exited);
            }
            if Instant::now() >= deadline {
                return Err(NotReady::Slow);
            }
        }
    }

    /// Resolves once the server has ended, with an error that tells how.
    pub fn exited(&self) -> impl Future<Output = EmbeddedError> + Send + use<> {
        let (mut exit, log) = (self.exit.clone(), self.log.clone());
        async move {
            let status = exit.wait_for(Option::is_some).await.ok().and_then(|s| s.clone());
            EmbeddedError::Exited {
                status: status.unwrap_or_else(|| "unknown".to_owned()),
                tail: log.tail(),
                log: log.path,
            }
        }
    }

    /// Makes the error of a start that took too long.
    pub fn not_ready(&self, limit: Duration) -> EmbeddedError {
        EmbeddedError::NotReady { limit, tail: self.log.tail(), log: self.log.path.clone() }
    }

    /// Returns the last lines of the log since this start.
    pub fn log_tail(&self) -> String {
        self.log.tail()
    }

    /// Shuts down and waits for the end: cleanly, or immediately when that takes too long.
    pub async fn stop(mut self) -> Result<(), EmbeddedError> {
        // The watchdog reads the end of the pipe, and sends SIGINT (fast shutdown) to the server.
        drop(self.pipe);
        if timeout(FAST_SHUTDOWN_TIMEOUT, self.exit.wait_for(Option::is_some)).await.is_err() {
            stop_immediately(&self.data);
            timeout(IMMEDIATE_SHUTDOWN_TIMEOUT, self.exit.wait_for(Option::is_some))
                .await
                .map_err(|_| EmbeddedError::TimedOut {
                    what: "stopping PostgreSQL".to_owned(),
                    limit: FAST_SHUTDOWN_TIMEOUT + IMMEDIATE_SHUTDOWN_TIMEOUT,
                })?
                .ok();
        }
        // Does not block: sending the exit status was the thread's last act.
        let _ = self.waiter.join();
        Ok(())
    }
}

/// Reason why a started server does not accept connections.
pub(super) enum NotReady {
    Exited,
    Slow,
}

fn settings(options: &PostgresOptions, socket: &SocketDir, port: u16) -> Vec<String> {
    let mut settings: Vec<String> = [
        "listen_addresses=127.0.0.1",
        "unix_socket_permissions=0700",
        "shared_buffers=128MB",
        "max_wal_size=1GB",
        "wal_compression=on",
        "jit=off",
        "timezone=UTC",
        "log_timezone=UTC",
        "log_destination=stderr",
        "logging_collector=off",
        "log_line_prefix=%m [%p] ",
        "cluster_name=filesys",
    ]
    .map(str::to_owned)
    .into();
    settings.push(format!("port={port}"));
    settings.push(socket.setting());
    settings.push(format!("max_connections={}", options.max_connections));
    let safe = match options.durability {
        Durability::Full => "on",
        Durability::Fast => "off",
    };
    // A commit is written before it is acknowledged, even without fsync: a killed server loses nothing, at almost no
    // cost.
    settings.push("synchronous_commit=on".to_owned());
    for name in ["fsync", "full_page_writes"] {
        settings.push(format!("{name}={safe}"));
    }
    settings
}

/// Starts the server. Its stdout is the locked file, since it writes nothing there and all of its processes keep it
/// open.
fn start(mut command: Command, log: File, lock: File) -> io::Result<(Child, ChildStdin)> {
    // A process group of its own: Ctrl-C in the terminal must reach this process alone, which drains before it stops
    // the server.
    let mut child = command.process_group(0).stdin(Stdio::piped()).stdout(lock).stderr(log).spawn()?;
    match child.stdin.take() {
        Some(pipe) => Ok((child, pipe)),
        None => Err(io::Error::other("the watchdog has no stdin")),
    }
}

fn wait(mut child: Child, exit: &watch::Sender<Option<String>>) {
    let status = match child.wait() {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    exit.send_replace(Some(status));
}

impl Log {
    /// Opens the log for appending; one that has grown too large is renamed first.
    fn open(dir: &DataDir) -> Result<(Self, File), EmbeddedError> {
        let path = dir.join(LOG);
        if fs::symlink_metadata(&path).is_ok_and(|log| log.len() > MAX_LOG_BYTES) {
            fs::rename(&path, path.with_extension("log.old")).map_err(EmbeddedError::io(&path))?;
        }
        let file = dir.open_file(LOG, OpenOptions::new().create(true).append(true))?;
        let start = file.metadata().map_err(EmbeddedError::io(&path))?.len();
        Ok((Self { path, start }, file))
    }

    /// Returns the last lines since the start.
    fn tail(&self) -> String {
        let read = || {
            let mut file = File::open(&self.path)?;
            let from = file.metadata()?.len().saturating_sub(8192).max(self.start);
            file.seek(SeekFrom::Start(from))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            io::Result::Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let text = read().unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }
}
