//! A postmaster as its data directory and the process table show it: is it up, is it ours, stop it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

use crate::embedded::EmbeddedError;

/// Open transactions are rolled back and a checkpoint is written; a slow disk may need this long.
pub(super) const FAST_LIMIT: Duration = Duration::from_secs(20);
pub(super) const IMMEDIATE_LIMIT: Duration = Duration::from_secs(5);
pub(super) const POLL: Duration = Duration::from_millis(20);

/// What the server writes into `postmaster.pid`. A file left by a killed server is never removed by us: with it
/// the next server recognises backends that are still alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PidFile {
    pub pid: i32,
    started: String,
    status: String,
}

impl PidFile {
    pub fn read(data: &Path) -> Option<Self> {
        let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        Some(Self {
            pid: lines.first()?.parse().ok()?,
            started: (*lines.get(2)?).to_owned(),
            status: (*lines.get(7).unwrap_or(&"")).to_owned(),
        })
    }

    /// It accepts connections, and is not the server that left `before` there.
    pub fn is_ready_since(&self, before: Option<&Self>) -> bool {
        let is_new = before.is_none_or(|old| (old.pid, &old.started) != (self.pid, &self.started));
        is_new && self.status == "ready"
    }

    /// Is the process that the file names alive, and a postmaster of this data directory? Process ids are reused.
    /// Where there is no `/proc` the answer is no, and PostgreSQL itself refuses to start beside another.
    pub fn is_running(&self, data: &Path) -> bool {
        let Ok(arguments) = fs::read(format!("/proc/{}/cmdline", self.pid)) else {
            return false;
        };
        let mut arguments = arguments.split(|byte| *byte == 0);
        let is_postgres = arguments.next().is_some_and(|program| program.ends_with(b"postgres"));
        is_postgres && arguments.any(|argument| argument == data.as_os_str().as_encoded_bytes())
    }

    fn signal(&self, signal: Signal) {
        // It may have ended meanwhile, which is what the signal is for.
        let _ = kill(Pid::from_raw(self.pid), signal);
    }

    async fn is_gone_within(&self, data: &Path, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while self.is_running(data) {
            if Instant::now() >= deadline {
                return false;
            }
            sleep(POLL).await;
        }
        true
    }
}

/// Stops the server that a killed process left on `data`, if there is one: cleanly, or else immediately.
pub(super) async fn stop_left_over(data: &Path) -> Result<(), EmbeddedError> {
    let Some(server) = PidFile::read(data).filter(|server| server.is_running(data)) else {
        return Ok(());
    };
    log::warn!(pid = server.pid; "stopping the postgresql that a killed run left behind");
    server.signal(Signal::SIGINT);
    if server.is_gone_within(data, FAST_LIMIT).await {
        return Ok(());
    }
    stop_immediately(data);
    if server.is_gone_within(data, IMMEDIATE_LIMIT).await {
        return Ok(());
    }
    Err(EmbeddedError::TimedOut {
        what: format!("stopping the PostgreSQL that a killed run left behind (process {})", server.pid),
        limit: FAST_LIMIT + IMMEDIATE_LIMIT,
    })
}

/// Asks for an immediate shutdown: no checkpoint, the next start recovers from the log.
pub(super) fn stop_immediately(data: &Path) {
    if let Some(server) = PidFile::read(data).filter(|server| server.is_running(data)) {
        log::warn!(pid = server.pid; "postgresql does not stop in time, stopping it immediately");
        server.signal(Signal::SIGQUIT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_left_over_pid_file_is_not_readiness() {
        let dir = tempfile::tempdir().unwrap();
        let write = |started: &str, status: &str| {
            let text = format!("77\n/data\n{started}\n5432\n\n127.0.0.1\n  1 2\n{status}\n");
            fs::write(dir.path().join("postmaster.pid"), text).unwrap();
            PidFile::read(dir.path()).unwrap()
        };
        let old = write("1000", "ready   ");
        assert!(old.is_ready_since(None));
        assert!(!old.is_ready_since(Some(&old)));
        assert!(!write("1001", "starting").is_ready_since(Some(&old)));
        assert!(write("1001", "ready").is_ready_since(Some(&old)));
    }

    #[test]
    fn another_process_with_the_same_id_is_not_the_server() {
        let file = PidFile {
            pid: i32::try_from(std::process::id()).unwrap(),
            started: String::new(),
            status: String::new(),
        };
        assert!(!file.is_running(Path::new("/")));
    }
}
