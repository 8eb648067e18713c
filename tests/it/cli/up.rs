//! `up` with embedded services: in a container, behind proxies, after PostgreSQL was killed, on a full disk.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use filesys::domain::Stats;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::filesys;
use crate::support::{Api, PATIENCE, eventually, holds, not_run, within};

/// Data directory that PostgreSQL's user can reach: it refuses to run as root.
fn temp_dir() -> TempDir {
    let enterable = std::fs::Permissions::from_mode(0o711);
    tempfile::Builder::new().prefix("filesys-it-").permissions(enterable).tempdir().unwrap()
}

struct Up {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    api: Api,
    /// Lines after the first one.
    hints: Vec<String>,
}

impl Up {
    /// Starts it, by the program `before` if there is one; it is ready when this returns.
    async fn start(before: &[&str], data: &Path, env: &[(&str, &str)]) -> Self {
        let program = env!("CARGO_BIN_EXE_filesys");
        let mut words = before.iter().copied().chain([program, "up", "--replicas", "1", "--data-dir"]);
        let mut command = Command::new(words.next().unwrap());
        let log =
            std::fs::File::options().create(true).append(true).open(data.with_extension("log")).unwrap();
        command.args(words).arg(data).env_clear().env("PATH", "/usr/bin:/bin").env("PORT", "0");
        command.envs(env.iter().copied()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = Vec::new();
        while lines.last().is_none_or(|line: &String| !line.contains("Ctrl-C")) {
            let line = within(PATIENCE, "a line on stdout", stdout.next_line()).await.unwrap();
            lines.push(line.unwrap_or_else(|| panic!("it ended: {}", Self::log(data))));
        }
        let url = lines[0].strip_prefix("filesys is ready: ").unwrap().to_owned();
        Self { child, stdout, api: Api::at(&url), hints: lines }
    }

    /// Command that is printed after this word.
    fn hint(&self, word: &str) -> &str {
        let line = self.hints.iter().find(|line| line.contains(word)).unwrap();
        line.split_once(word).unwrap().1.trim()
    }

    /// Waits until there are at least `count` files and all are completed. Retries answers other than 200: the pool may still
    /// hold connections to the PostgreSQL that was killed.
    async fn wait_until_completed(&self, count: i64) {
        eventually("the files are completed", async || {
            let answer = self.api.get("/files/stats").await;
            let stats = (answer.status == 200).then(|| answer.json::<Stats>());
            holds(stats.is_some_and(|it| it.completed == it.total && it.completed >= count), answer)
        })
        .await;
    }

    fn log(data: &Path) -> String {
        std::fs::read_to_string(data.with_extension("log")).unwrap()
    }

    async fn kill9(mut self) {
        within(PATIENCE, "ending after SIGKILL", self.child.kill()).await.unwrap();
        // Whatever it ran has ended too.
        while let Ok(Some(_)) = within(PATIENCE, "the end of stdout", self.stdout.next_line()).await {}
    }

    async fn stop(mut self) {
        kill(Pid::from_raw(self.child.id().unwrap().try_into().unwrap()), Signal::SIGTERM).unwrap();
        let status = within(PATIENCE, "stopping", self.child.wait()).await.unwrap();
        assert!(status.success(), "{status}");
    }
}

fn shell(command: &str) -> String {
    let output = std::process::Command::new("bash").args(["-c", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn as_first_process_of_a_container_it_starts_after_every_kill() {
    let container = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    if !is_possible(&container, &["true"]) {
        not_run("a pid namespace can't be made");
        return;
    }
    let dir = temp_dir();
    let data = dir.path().join("data");
    for title in ["first", "second", "third", "fourth"] {
        let up = Up::start(&container, &data, &[]).await;
        up.api.completed_file(title).await;
        up.kill9().await;
    }
    let up = Up::start(&container, &data, &[]).await;
    up.wait_until_completed(4).await;
    up.kill9().await;
}

/// Mounted file system, unmounted on drop.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(path).unwrap();
        let options = format!("size={size},mode=700");
        let mount = ["mount", "-t", "tmpfs", "-o", &options, "filesys"];
        is_possible(&mount, &[path.to_str().unwrap()]).then(|| Self(path.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let done = std::process::Command::new("umount").arg("--lazy").arg(&self.0).status();
        assert!(done.is_ok_and(|done| done.success()));
    }
}

fn is_possible(program: &[&str], args: &[&str]) -> bool {
    let output = std::process::Command::new(program[0]).args(&program[1..]).args(args).output();
    output.is_ok_and(|output| output.status.success())
}

#[tokio::test]
async fn files_wait_for_room_on_a_full_disk_and_its_cause_is_logged_once() {
    let dir = temp_dir();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o700)).unwrap();
    let Some(disk) = SmallDisk::mount(&data.join("objects"), "2m") else {
        not_run("a file system of its own can't be mounted");
        return;
    };
    let up = Up::start(&["env"], &data, &[]).await;
    let before = up.api.completed_file("before").await;
    let logged = Up::log(&data).lines().count();
    let filler = disk.0.join("filler");
    let full = std::fs::write(&filler, vec![b'x'; 3 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);

    let titles = (0..20).map(|number| format!("waiting {number}"));
    let waiting = up.api.post_files(titles).await;
    eventually("/readyz names the storage", async || {
        let ready = up.api.get("/readyz").await;
        holds(ready.text().contains("\"storage\":\"down\""), ready)
    })
    .await;
    assert_eq!(up.api.content(before.id).await.status, 200, "what is there can be read");
    eventually("the outage is logged", async || {
        let log = Up::log(&data);
        holds(log.contains("the embedded object store has no space left on its disk"), log)
    })
    .await;
    // For as long as several tries take.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let log = Up::log(&data);
    let lines: Vec<&str> = log.lines().skip(logged).collect();
    let causes: Vec<&&str> = lines.iter().filter(|line| line.contains("No space left on device")).collect();
    assert_eq!(causes.len(), 1, "{log}");
    assert!(causes[0].contains(data.join("objects").to_str().unwrap()), "{causes:?}");
    assert!(lines.iter().filter(|line| !line.contains("INFO")).count() <= 4, "{log}");
    assert!(!lines.iter().any(|line| line.contains("ERROR")), "{log}");
    for file in &waiting {
        let status = up.api.file(file.id).await.status;
        assert!(status.is_unfinished(), "{status:?}");
    }

    std::fs::remove_file(&filler).unwrap();
    for file in &waiting {
        up.api.wait_until_completed(file.id).await;
    }
    eventually("the storage is ready again", async || {
        let ready = up.api.get("/readyz").await;
        holds(ready.status == 200 && ready.text().contains("\"storage\":\"up\""), ready)
    })
    .await;
    let log = Up::log(&data);
    assert_eq!(log.matches("the embedded object store has space on its disk again").count(), 1, "{log}");
    up.stop().await;
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_leaves_nothing_behind_elsewhere() {
    let dir = temp_dir();
    let data = dir.path().join("x".repeat(120));
    let record = data.join("postgres.socket-dir");
    let elsewhere = || PathBuf::from(std::fs::read_to_string(&record).unwrap().trim_end());
    let up = Up::start(&["env"], &data, &[]).await;
    let killed = elsewhere();
    assert!(killed.is_dir());
    up.kill9().await;
    let up = Up::start(&["env"], &data, &[]).await;
    let last = elsewhere();
    assert!(last.is_dir());
    up.stop().await;
    assert!(!killed.exists() && !last.exists() && !record.exists());
}

#[tokio::test]
async fn its_own_services_are_reached_straight_and_its_hints_can_be_pasted() {
    let dir = temp_dir();
    let data = dir.path().join("it's a \"$HOME\"; ü");
    let nowhere = "http://127.0.0.1:9";
    let names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    let mut env: Vec<(&str, &str)> = names.iter().map(|name| (*name, nowhere)).collect();
    env.extend([
        ("PGHOST", "127.0.0.1"),
        ("PGPORT", "9"),
        ("PGUSER", "nobody"),
        ("PGSSLMODE", "verify-full"),
    ]);
    env.extend([("PGOPTIONS", "-c nonsense=1"), ("PGSERVICE", "nowhere"), ("AWS_PROFILE", "nobody")]);
    let up = Up::start(&["sh", "-c", "umask 0; exec \"$@\"", "sh"], &data, &env).await;
    up.api.completed_file("straight").await;

    let rows = shell(&format!("{} -Atc 'SELECT title FROM files'", up.hint("the rows:")));
    assert_eq!(rows, "straight");
    let stub = r#"aws() { printf '%s\n' "$AWS_SHARED_CREDENTIALS_FILE" "$@"; }"#;
    let objects = shell(&format!("{stub}; {}", up.hint("the objects:")));
    let credentials = data.canonicalize().unwrap().join("s3.credentials");
    assert_eq!(objects.lines().next().map(PathBuf::from), Some(credentials));
    assert!(objects.ends_with("s3\nls\n--recursive\ns3://file-storage-bucket/"), "{objects}");

    for entry in std::fs::read_dir(&data).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} {mode:o}", entry.file_name());
    }
    let mode = std::fs::metadata(&data).unwrap().permissions().mode();
    assert_eq!(mode & 0o067, 0, "{mode:o}");

    let second = filesys(&["up", "--data-dir", data.to_str().unwrap()], &[("PORT", "0")]);
    assert_eq!(super::code(&second), 69);
    assert!(super::stderr(&second).contains("is in use by another filesys"), "{}", super::stderr(&second));
    up.stop().await;
}

#[tokio::test]
async fn its_postgresql_is_started_again_when_it_is_killed() {
    let dir = temp_dir();
    let data = dir.path().join("data");
    let up = Up::start(&["env"], &data, &[]).await;
    up.api.completed_file("before").await;
    let postmaster = || {
        let file = std::fs::read_to_string(data.join("postgres/postmaster.pid")).unwrap();
        file.lines().next().unwrap().parse().unwrap()
    };
    for round in 1..=2 {
        kill(Pid::from_raw(postmaster()), Signal::SIGKILL).unwrap();
        let began = Instant::now();
        eventually("files are accepted again", async || {
            let answer = up.api.post(&json!({ "title": format!("after {round}") })).await;
            if answer.status == 503 {
                assert!(answer.header("retry-after").is_some(), "{answer:?}");
            }
            holds(answer.status == 201, answer)
        })
        .await;
        let lasted = began.elapsed();
        assert!(lasted < Duration::from_secs(10), "{lasted:?}");
        up.wait_until_completed(1 + round).await;
    }
    let log = Up::log(&data);
    assert_eq!(log.matches("postgresql ended unexpectedly").count(), 2, "{log}");
    up.stop().await;
}

#[test]
fn a_directory_that_cannot_be_used_is_told_in_one_line() {
    let dir = temp_dir();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let shared = dir.path().join("shared");
    std::fs::create_dir(&shared).unwrap();
    std::fs::set_permissions(&shared, std::fs::Permissions::from_mode(0o777)).unwrap();
    std::fs::write(shared.join("thesis.tex"), "").unwrap();
    let linked = dir.path().join("linked");
    std::fs::create_dir(&linked).unwrap();
    std::fs::set_permissions(&linked, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::symlink(&file, linked.join("lock")).unwrap();
    for (path, said) in [
        (file.clone(), "is not a directory"),
        (shared, "thesis.tex"),
        (linked, "symbolic link"),
        (PathBuf::from("/proc/filesys"), "can't be used"),
        (dir.path().join("x".repeat(300)), "can't be used"),
    ] {
        let output = filesys(&["up", "--data-dir", path.to_str().unwrap()], &[("PORT", "0")]);
        let stderr = super::stderr(&output);
        assert_eq!(super::code(&output), 69, "{stderr}");
        let last = stderr.lines().last().unwrap_or_default();
        assert!(last.starts_with("filesys: ") && last.contains(said), "{stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
    }
    assert_eq!(std::fs::read_to_string(file).unwrap(), "");
}
