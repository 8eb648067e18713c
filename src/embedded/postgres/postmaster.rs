//! A postmaster as its data directory and the process table show it: whether it runs, whose it is, and how it is
//! stopped.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

use crate::embedded::EmbeddedError;

/// Time limit of a fast shutdown: it rolls back open transactions and writes a checkpoint, for which a slow disk may
/// need this long.
pub(super) const FAST_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(20);
/// Time limit of an immediate shutdown.
pub(super) const IMMEDIATE_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval at which the state of a server is looked at.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Content of `postmaster.pid`, which the server writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PidFile {
    pub pid: i32,
    status: String,
}

impl PidFile {
    /// Reads the file in a data directory; `None` when there is none.
    pub fn read(data: &Path) -> Option<Self> {
        let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        Some(Self { pid: lines.first()?.parse().ok()?, status: (*lines.get(7).unwrap_or(&"")).to_owned() })
    }

    /// Tells whether the server accepts connections.
    pub fn is_ready(&self) -> bool {
        self.status == "ready"
    }

    /// Tells whether the process that the file names is alive and a postmaster of this data directory; process ids are
    /// reused. Without `/proc` the answer is no, and PostgreSQL itself refuses to start beside another server.
    pub fn is_running(&self, data: &Path) -> bool {
        let Ok(arguments) = fs::read(format!("/proc/{}/cmdline", self.pid)) else {
            return false;
        };
        let mut arguments = arguments.split(|byte| *byte == 0);
        let is_postgres = arguments.next().is_some_and(|program| program.ends_with(b"postgres"));
        is_postgres && arguments.any(|argument| argument == data.as_os_str().as_encoded_bytes())
    }

    fn signal(&self, signal: Signal) {
        // Fails when the process has ended meanwhile, which is what the signal asks for.
        let _ = kill(Pid::from_raw(self.pid), signal);
    }

    async fn is_gone_within(&self, data: &Path, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while self.is_running(data) {
            if Instant::now() >= deadline {
                return false;
            }
            sleep(POLL_INTERVAL).await;
        }
        true
    }
}

/// Stops the server that a killed process left on `data`, if there is one: cleanly, or else immediately.
async fn stop_orphan(data: &Path) -> Result<(), EmbeddedError> {
    let Some(server) = PidFile::read(data).filter(|server| server.is_running(data)) else {
        return Ok(());
    };
    log::warn!(pid = server.pid; "stopping a postgresql that a killed run left behind");
    server.signal(Signal::SIGINT);
    if server.is_gone_within(data, FAST_SHUTDOWN_TIMEOUT).await {
        return Ok(());
    }
    stop_immediately(data);
    if server.is_gone_within(data, IMMEDIATE_SHUTDOWN_TIMEOUT).await {
        return Ok(());
    }
    Err(EmbeddedError::TimedOut {
        what: format!("stopping the PostgreSQL that a killed run left behind (process {})", server.pid),
        limit: FAST_SHUTDOWN_TIMEOUT + IMMEDIATE_SHUTDOWN_TIMEOUT,
    })
}

/// Acquires the right to run a server on `data`: a lock on `file`, which the server and all of its processes inherit,
/// and which is released with the last of them. Unlike a process id, which names another process after a restart (in a
/// container usually the same one again), a lock is held by living processes only.
///
/// Stops a server that a killed run left behind, and removes the `postmaster.pid` of one that has ended: PostgreSQL
/// refuses to start while any process of its user has the id in that file.
pub(super) async fn acquire_lock(data: &Path, file: File) -> Result<File, EmbeddedError> {
    const LIMIT: Duration = FAST_SHUTDOWN_TIMEOUT.saturating_add(IMMEDIATE_SHUTDOWN_TIMEOUT);
    // A server that was started by an older release, or by hand, holds no lock.
    stop_orphan(data).await?;
    let deadline = Instant::now() + LIMIT;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(error)) => return Err(EmbeddedError::io(data)(error)),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(POLL_INTERVAL).await,
            Err(TryLockError::WouldBlock) => {
                return Err(EmbeddedError::StillRunning { data: data.to_owned(), limit: LIMIT });
            }
        }
    }
    let stale = data.join("postmaster.pid");
    match fs::remove_file(&stale) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(EmbeddedError::io(&stale)(error)),
        Ok(()) | Err(_) => Ok(file),
    }
}

/// Requests an immediate shutdown: without a checkpoint, so that the next start recovers from the write-ahead log.
pub(super) fn stop_immediately(data: &Path) {
    if let Some(server) = PidFile::read(data).filter(|server| server.is_running(data)) {
        log::warn!(pid = server.pid; "postgresql does not stop in time; stopping it immediately");
        server.signal(Signal::SIGQUIT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_directory_is_locked_once_and_a_stale_pid_file_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            File::options().read(true).write(true).create(true).truncate(false).open(dir.path().join("lock"))
        };
        let pid_file = dir.path().join("postmaster.pid");
        // The number of a process that runs: ours.
        let text = format!("{}\n/data\n1000\n5432\n\n127.0.0.1\n  1 2\nready\n", std::process::id());
        fs::write(&pid_file, text).unwrap();
        let lock = acquire_lock(dir.path(), open().unwrap()).await.unwrap();
        assert!(!pid_file.exists());
        let mut second = Box::pin(acquire_lock(dir.path(), open().unwrap()));
        tokio::select! {
            _ = &mut second => panic!("it is locked"),
            () = sleep(5 * POLL_INTERVAL) => drop(lock),
        }
        second.await.unwrap();
    }

    #[test]
    fn another_process_with_the_same_id_is_not_the_server() {
        let file = PidFile { pid: i32::try_from(std::process::id()).unwrap(), status: String::new() };
        assert!(!file.is_running(Path::new("/")));
    }
}
