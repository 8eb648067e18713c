//! The running server as our child: bound to our life by a pipe, its log, its end.

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
use super::postmaster::{FAST_LIMIT, IMMEDIATE_LIMIT, POLL, PidFile, stop_immediately};
use super::programs::Programs;
use super::socket::SocketDir;
use crate::embedded::{DataDir, Durability, EmbeddedError};

/// `sh` between us and the server: a pipe closes even on kill -9, and `sh` needs no unsafe code to act on it.
const WATCHDOG: &str = include_str!("watchdog.sh");
const LOG: &str = "postgres.log";
const LOG_KEPT: u64 = 10 << 20;
const TAIL_LINES: usize = 12;

/// A server process. Dropping it begins a fast shutdown; `stop` also waits for the end.
#[derive(Debug)]
pub(super) struct Server {
    /// Closing it is the request to shut down.
    pipe: ChildStdin,
    exit: watch::Receiver<Option<String>>,
    /// A thread, not a task: the server may outlive the runtime that started it.
    waiter: JoinHandle<()>,
    data: PathBuf,
    log: Log,
}

/// The server's log, from the line where this start began.
#[derive(Debug, Clone)]
struct Log {
    path: PathBuf,
    start: u64,
}

impl Server {
    /// Starts the process; it accepts connections only after `ready`.
    pub fn spawn(
        options: &PostgresOptions,
        programs: &Programs,
        cluster: &Cluster,
        socket: &SocketDir,
        (port, claim): (u16, File),
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
        let (child, pipe) = start(command, log_file, claim).map_err(EmbeddedError::io(&cluster.data))?;
        let (sender, exit) = watch::channel(None);
        let waiter = thread::Builder::new()
            .name("postgres-exit".to_owned())
            .spawn(move || wait(child, &sender))
            .map_err(EmbeddedError::io(&cluster.data))?;
        Ok(Self { pipe, exit, waiter, data: cluster.data.clone(), log })
    }

    /// Waits until it accepts connections.
    pub async fn ready(&mut self, deadline: Instant) -> Result<(), NotReady> {
        loop {
            if PidFile::read(&self.data).is_some_and(|file| file.is_ready()) {
                return Ok(());
            }
            if timeout(POLL, self.exit.wait_for(Option::is_some)).await.is_ok() {
                return Err(NotReady::Exited);
            }
            if Instant::now() >= deadline {
                return Err(NotReady::Slow);
            }
        }
    }

    /// Resolves once the server has ended, with an error that says how.
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

    pub fn not_ready(&self, limit: Duration) -> EmbeddedError {
        EmbeddedError::NotReady { limit, tail: self.log.tail(), log: self.log.path.clone() }
    }

    pub fn log_tail(&self) -> String {
        self.log.tail()
    }

    /// Shuts down and waits for the end: cleanly, or else immediately.
    pub async fn stop(mut self) -> Result<(), EmbeddedError> {
        drop(self.pipe);
        if timeout(FAST_LIMIT, self.exit.wait_for(Option::is_some)).await.is_err() {
            stop_immediately(&self.data);
            timeout(IMMEDIATE_LIMIT, self.exit.wait_for(Option::is_some))
                .await
                .map_err(|_| EmbeddedError::TimedOut {
                    what: "stopping PostgreSQL".to_owned(),
                    limit: FAST_LIMIT + IMMEDIATE_LIMIT,
                })?
                .ok();
        }
        // It sends the exit as its last act, so this does not block.
        let _ = self.waiter.join();
        Ok(())
    }
}

/// Why a server that was started does not accept connections.
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
    // A commit is written out before its answer even when nothing is synced: a killed server loses nothing, and
    // without fsync it costs next to nothing.
    settings.push("synchronous_commit=on".to_owned());
    for name in ["fsync", "full_page_writes"] {
        settings.push(format!("{name}={safe}"));
    }
    settings
}

/// The server's stdout is the file whose lock is its claim: it writes nothing there, and all its processes keep it open.
fn start(mut command: Command, log: File, claim: File) -> io::Result<(Child, ChildStdin)> {
    // A group of its own: Ctrl-C in the terminal is for us, who drain first and then stop the server.
    let mut child = command.process_group(0).stdin(Stdio::piped()).stdout(claim).stderr(log).spawn()?;
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
    /// Appends; a log that has grown large is renamed first.
    fn open(dir: &DataDir) -> Result<(Self, File), EmbeddedError> {
        let path = dir.join(LOG);
        if fs::symlink_metadata(&path).is_ok_and(|log| log.len() > LOG_KEPT) {
            fs::rename(&path, path.with_extension("log.old")).map_err(EmbeddedError::io(&path))?;
        }
        let file = dir.open_file(LOG, OpenOptions::new().create(true).append(true))?;
        let start = file.metadata().map_err(EmbeddedError::io(&path))?.len();
        Ok((Self { path, start }, file))
    }

    /// The last lines since the start.
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
