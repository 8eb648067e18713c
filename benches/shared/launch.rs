//! Processes of a bench: each with its own environment and log, and ended by a signal.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use tokio::process::{Child, Command};

use super::Outcome;

/// Time limit of a start.
const START_LIMIT: Duration = Duration::from_mins(2);
const STOP_LIMIT: Duration = Duration::from_mins(2);

/// Starts a process whose whole environment is `env` and the `PATH`. Dropping it kills it.
pub fn process(executable: &Path, args: &[&str], env: &[(&str, String)], log: &Path) -> Outcome<Child> {
    let log = std::fs::File::create(log)?;
    let mut process = Command::new(executable);
    process.args(args).env_clear().envs(env.iter().map(|(name, value)| (name, value)));
    process.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    process.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Ok(process.kill_on_drop(true).spawn()?)
}

/// Waits for the word that follows `label` in a log.
pub async fn word_after(log: &Path, label: &str) -> Outcome<String> {
    let look = async {
        loop {
            let text = std::fs::read_to_string(log).unwrap_or_default();
            if let Some(word) = text.split_once(label).and_then(|(_, rest)| rest.split_whitespace().next()) {
                return word.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let word = tokio::time::timeout(START_LIMIT, look).await;
    word.map_err(|_| std::fs::read_to_string(log).unwrap_or_default().into())
}

/// Ends a process by SIGTERM; it must end well.
pub async fn end(mut process: Child) -> Outcome<()> {
    let pid = process.id().and_then(|pid| i32::try_from(pid).ok()).ok_or("a process has ended")?;
    kill(nix::unistd::Pid::from_raw(pid), Signal::SIGTERM)?;
    let status = tokio::time::timeout(STOP_LIMIT, process.wait()).await??;
    if status.success() { Ok(()) } else { Err(format!("a process ended with {status}").into()) }
}
