//! Finds PostgreSQL's server programs and runs the short-lived ones.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::config::EmbeddedConfig;
use crate::embedded::EmbeddedError;

const REQUIRED_PROGRAMS: [&str; 3] = ["postgres", "initdb", "psql"];
const DEBIAN_PREFIX: &str = "/usr/lib/postgresql";

/// Directory with all programs of one PostgreSQL.
#[derive(Debug, Clone)]
pub(in crate::embedded) struct Programs {
    bin: PathBuf,
}

impl Programs {
    /// Finds the programs. Looks in `PG_BIN` alone if it is set. Otherwise looks for the version that made `data`, in
    /// `PATH`, in the directory that `pg_config` names, and for the highest version in Debian's directory.
    pub async fn find(config: &EmbeddedConfig, data: &Path) -> Result<Self, EmbeddedError> {
        let (candidates, searched) = match &config.postgres_bin {
            Some(bin) => (vec![bin.clone()], format!("PG_BIN ({})", bin.display())),
            None => (
                candidates(config, data).await,
                format!("PATH, pg_config --bindir and {DEBIAN_PREFIX}/*/bin"),
            ),
        };
        candidates
            .into_iter()
            .find(|bin| REQUIRED_PROGRAMS.iter().all(|program| bin.join(program).is_file()))
            .map(|bin| Self { bin })
            .ok_or(EmbeddedError::NoPostgres { searched })
    }

    /// Makes a command with an empty environment: the `PG…` variables of this process are meant for other servers.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", self.bin.display()))
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .current_dir("/");
        command
    }

    /// Returns the path of a program.
    pub fn path(&self, program: &str) -> PathBuf {
        self.bin.join(program)
    }

    /// Returns the major version: 15 for `postgres (PostgreSQL) 15.4 (…)`, 18 for `18beta1`.
    pub async fn major_version(&self) -> Result<u32, EmbeddedError> {
        let mut command = self.command("postgres");
        command.arg("--version");
        let text = succeed(command, Duration::from_secs(10)).await?;
        let version = text.split_once(") ").map_or("", |(_, rest)| rest);
        let digits = version.split(|c: char| !c.is_ascii_digit()).next();
        digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| EmbeddedError::Program {
            program: "postgres --version".to_owned(),
            output: text.clone(),
        })
    }
}

async fn candidates(config: &EmbeddedConfig, data: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    if let Ok(version) = fs::read_to_string(data.join("PG_VERSION")) {
        found.push(Path::new(DEBIAN_PREFIX).join(version.trim()).join("bin"));
    }
    for dir in &config.path {
        // A symbolic link in PATH may lead to the directory of the other programs.
        let target = dir.join("postgres").canonicalize().ok();
        found.extend(target.and_then(|file| file.parent().map(Path::to_owned)));
        found.push(dir.clone());
    }
    if let Some(pg_config) = config.path.iter().map(|dir| dir.join("pg_config")).find(|p| p.is_file()) {
        let mut command = Command::new(pg_config);
        command.arg("--bindir");
        if let Ok(dir) = succeed(command, Duration::from_secs(10)).await {
            found.push(PathBuf::from(dir.trim()));
        }
    }
    let mut debian: Vec<u32> = fs::read_dir(DEBIAN_PREFIX)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    debian.sort_unstable_by(|a, b| b.cmp(a));
    found.extend(debian.iter().map(|version| Path::new(DEBIAN_PREFIX).join(version.to_string()).join("bin")));
    found
}

/// Runs a program to its end, or kills it at the time limit.
pub(super) async fn run(command: Command, limit: Duration) -> Result<Output, EmbeddedError> {
    run_with_input(command, "", limit).await
}

/// Runs like `run`; the program reads `input`, which process lists don't show.
pub(super) async fn run_with_input(
    command: Command,
    input: &str,
    limit: Duration,
) -> Result<Output, EmbeddedError> {
    let program = name(&command);
    let path = PathBuf::from(command.get_program());
    let run = async {
        let mut command = tokio::process::Command::from(command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // Fails when the program ends without reading it; the cause is on its stderr.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    match tokio::time::timeout(limit, run).await {
        Ok(output) => output.map_err(EmbeddedError::io(&path)),
        Err(_) => Err(EmbeddedError::TimedOut { what: program, limit }),
    }
}

/// Runs a program that must succeed; returns its output.
pub(super) async fn succeed(command: Command, limit: Duration) -> Result<String, EmbeddedError> {
    let program = name(&command);
    let output = run(command, limit).await?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(EmbeddedError::Program {
        program,
        output: format!("{}\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim_end()),
    })
}

fn name(command: &Command) -> String {
    Path::new(command.get_program())
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pg_bin_without_the_programs_says_how_to_install_them() {
        let dir = tempfile::tempdir().unwrap();
        let config = EmbeddedConfig { postgres_bin: Some(dir.path().to_owned()), path: Vec::new() };
        let error = Programs::find(&config, dir.path()).await.unwrap_err();
        assert!(matches!(error, EmbeddedError::NoPostgres { .. }));
        let text = error.to_string();
        assert!(text.contains("PG_BIN (/"), "{text}");
        assert!(text.contains("apt-get install postgresql"), "{text}");
    }

    #[tokio::test]
    async fn a_link_in_path_leads_to_the_programs_beside_its_target() {
        let dir = tempfile::tempdir().unwrap();
        let (real, linked) = (dir.path().join("real"), dir.path().join("linked"));
        fs::create_dir(&real).unwrap();
        fs::create_dir(&linked).unwrap();
        for program in REQUIRED_PROGRAMS {
            fs::write(real.join(program), "").unwrap();
        }
        std::os::unix::fs::symlink(real.join("postgres"), linked.join("postgres")).unwrap();
        let config = EmbeddedConfig { postgres_bin: None, path: vec![linked] };
        let programs = Programs::find(&config, dir.path()).await.unwrap();
        assert_eq!(programs.bin, real.canonicalize().unwrap());
    }
}
