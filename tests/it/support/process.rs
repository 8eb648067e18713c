//! The executable as a child process with a clean environment: stopped, killed, its log shown on failure.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::{PATIENCE, eventually, holds, within};

/// Time limit of a graceful stop without work in flight, less than the time to drain.
pub const STOP_LIMIT: Duration = Duration::from_secs(15);

/// Time within which signals count as one request to stop (the contract).
const SAME_SIGNAL: Duration = Duration::from_millis(1100);

/// Process of `filesys`. Dropping it kills it.
pub struct Process {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
}

impl Process {
    /// Starts it, with stderr appended to `log`.
    pub fn spawn(args: &[&str], env: &[(String, String)], log: &Path) -> Self {
        let stderr = std::fs::File::options().create(true).append(true).open(log).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_filesys"))
            .args(args)
            .env_clear()
            .envs(env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, stdout, log: log.to_owned() }
    }

    /// Reads the next line of stdout.
    pub async fn line(&mut self) -> String {
        let line = within(PATIENCE, "a line on stdout", self.stdout.next_line()).await;
        line.unwrap().expect("stdout was closed")
    }

    /// Log so far, of every process that has appended to it.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Path of its log after its end.
    pub fn path(&self) -> PathBuf {
        self.log.clone()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// Stops it gracefully: it must end in time, with exit code 0 and without a panic.
    pub async fn stop_within(mut self, limit: Duration) {
        let asked = Instant::now();
        self.signal(Signal::SIGTERM);
        let status = within(limit, "stopping after SIGTERM", self.child.wait()).await.unwrap();
        assert!(status.success(), "{status} after {:?}", asked.elapsed());
        let log = self.log();
        assert!(!log.contains("panicked"), "something panicked");
    }

    /// Waits for its end, which must be a success.
    pub async fn succeed_within(mut self, limit: Duration) {
        let status = within(limit, "ending by itself", self.child.wait()).await.unwrap();
        assert!(status.success(), "{status}");
    }

    /// Sends a second SIGINT, which must end it at once.
    pub async fn interrupt_twice(self) {
        self.notices(Signal::SIGINT).await;
        self.ends_at_once(Signal::SIGINT).await;
    }

    /// Sends the first signal to stop; after this another one counts as a second request.
    pub async fn notices(&self, signal: Signal) {
        self.signal(signal);
        let another = tokio::time::sleep(SAME_SIGNAL);
        eventually("the first signal is noticed", async || {
            let log = self.log();
            holds(log.contains("a second signal exits at once"), log)
        })
        .await;
        another.await;
    }

    /// Sends the second signal, and returns the time until the end.
    pub async fn ends_at_once(mut self, signal: Signal) -> Duration {
        let asked = Instant::now();
        self.signal(signal);
        let status = within(STOP_LIMIT, "ending after two signals", self.child.wait()).await;
        assert_eq!(status.unwrap().code(), Some(1));
        asked.elapsed()
    }

    /// Number of open file descriptors.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// Number of TCP connections to its listening ports, in any state.
    pub fn connections(&self) -> usize {
        let (sockets, table) = (self.sockets(), std::fs::read_to_string("/proc/net/tcp").unwrap());
        let lines: Vec<Vec<&str>> =
            table.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
        let its = |line: &&Vec<&str>| sockets.contains(line[9]);
        let is_listening = |line: &&Vec<&str>| line[3] == "0A";
        let ports: Vec<&str> = lines.iter().filter(its).filter(is_listening).map(|line| line[1]).collect();
        lines.iter().filter(its).filter(|line| !is_listening(line) && ports.contains(&line[1])).count()
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
    }

    /// Soft and hard limit of open files.
    pub fn open_files(&self) -> (u64, u64) {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", self.pid())).unwrap();
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
        let mut numbers = line.split_whitespace().map(|number| number.parse().unwrap_or(u64::MAX));
        (numbers.next().unwrap(), numbers.next().unwrap())
    }

    /// Inodes of its sockets.
    fn sockets(&self) -> BTreeSet<String> {
        let descriptors = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap();
        let links = descriptors.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        let inode =
            |link: PathBuf| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned());
        links.filter_map(inode).collect()
    }

    /// Tells whether every thread has stopped.
    pub fn is_stopped(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        // pid (name) state …
        stat.rsplit_once(") ").unwrap().1.starts_with('T')
    }

    fn pid(&self) -> i32 {
        self.child.id().expect("it has ended").try_into().unwrap()
    }

    /// Sends SIGKILL and waits for its end.
    pub async fn kill9(mut self) {
        within(STOP_LIMIT, "ending after SIGKILL", self.child.kill()).await.unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- log of filesys\n{}----", self.log());
        }
    }
}
