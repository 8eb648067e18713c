//! A real PostgreSQL: started, killed in every way, started again.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use tokio::time::timeout;

use super::postmaster::PidFile;
use super::*;
use crate::config::Env;
use crate::port::Ports;

pub(super) const LIMIT: Duration = Duration::from_secs(30);

/// Root hands the server to another user, who must get through to the directory.
pub(super) fn temp_dir() -> tempfile::TempDir {
    let enterable = fs::Permissions::from_mode(0o711);
    tempfile::Builder::new().permissions(enterable).tempdir().unwrap()
}

fn config() -> EmbeddedConfig {
    EmbeddedConfig::read(&mut Env::of_process())
}

pub(super) fn options(dir: &Path) -> PostgresOptions {
    PostgresOptions {
        durability: Durability::Fast,
        max_connections: 20,
        ..PostgresOptions::new(DataDir::open(dir).unwrap(), config())
    }
}

pub(super) async fn start(dir: &Path) -> EmbeddedPostgres {
    EmbeddedPostgres::start(options(dir)).await.unwrap()
}

/// Chooses a port for a start that must find it free.
fn with_port(dir: &Path) -> Ports {
    let ports = Ports::reserve();
    fs::write(dir.join("postgres.port"), ports.first.to_string()).unwrap();
    ports
}

pub(super) async fn query(postgres: &EmbeddedPostgres, sql: &str) -> String {
    let mut command = postgres.programs.command("psql");
    command.env("PGPASSFILE", postgres.pgpass_path());
    command.args(["-h", "127.0.0.1", "-U", ROLE, "-Atc", sql, "postgres"]);
    command.arg(format!("--port={}", postgres.port()));
    programs::succeed(command, LIMIT).await.unwrap().trim().to_owned()
}

pub(super) fn pid_file(postgres: &EmbeddedPostgres) -> PidFile {
    PidFile::read(&postgres.cluster.data).unwrap()
}

pub(super) fn send(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

/// The process that our child runs the server under.
fn parent_of(pid: i32) -> i32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
    line.trim().parse().unwrap()
}

async fn ended(postgres: &EmbeddedPostgres) -> String {
    timeout(LIMIT, postgres.exited()).await.unwrap().to_string()
}

#[tokio::test]
async fn data_port_and_password_outlive_a_restart() {
    let dir = temp_dir();
    let ports = with_port(dir.path());
    let first = start(dir.path()).await;
    query(&first, "CREATE TABLE kept AS SELECT 42 AS n").await;
    let (port, url) = (first.port(), first.database_url("filedb"));
    assert_eq!(port, ports.first);
    first.stop().await.unwrap();
    assert!(PidFile::read(&dir.path().join("postgres")).is_none());

    let second = start(dir.path()).await;
    assert_eq!(query(&second, "SELECT n FROM kept").await, "42");
    assert_eq!(second.database_url("filedb").expose_secret(), url.expose_secret());
    assert_eq!(second.port(), port);
    second.stop().await.unwrap();
}

#[tokio::test]
async fn a_real_cluster_is_durable_checksummed_utf8_and_on_loopback_only() {
    let dir = temp_dir();
    let data_dir = DataDir::open(dir.path()).unwrap();
    let postgres = EmbeddedPostgres::start(PostgresOptions::new(data_dir, config())).await.unwrap();
    for (setting, value) in [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("data_checksums", "on"),
        ("server_encoding", "UTF8"),
        ("listen_addresses", "127.0.0.1"),
        ("password_encryption", "scram-sha-256"),
        ("max_connections", "100"),
    ] {
        assert_eq!(query(&postgres, &format!("SHOW {setting}")).await, value, "{setting}");
    }
    assert_eq!(query(&postgres, "SELECT lower('ÄÖ')").await, "äö");
    let mode = fs::metadata(postgres.pgpass_path()).unwrap().mode();
    assert_eq!(mode & 0o777, 0o600);
    let owner = fs::metadata(dir.path().join("postgres")).unwrap().uid();
    assert_ne!(owner, 0, "PostgreSQL never runs as root");
    assert_eq!(owner == Uid::effective().as_raw(), !Uid::effective().is_root());
    assert!(!postgres.psql_hint("filedb").contains(postgres.cluster.password.expose_secret()));
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_wrong_password_is_refused() {
    let dir = temp_dir();
    let postgres = start(dir.path()).await;
    let mut command = postgres.programs.command("psql");
    command
        .args(["-c", "SELECT 1"])
        .arg(format!("postgresql://{ROLE}:wrong@127.0.0.1:{}/postgres", postgres.port()));
    let error = programs::succeed(command, LIMIT).await.unwrap_err().to_string();
    assert!(error.contains("password authentication failed"), "{error}");
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_database_is_made_once() {
    let dir = temp_dir();
    let postgres = start(dir.path()).await;
    postgres.create_database("filedb").await.unwrap();
    postgres.create_database("filedb").await.unwrap();
    let count = query(&postgres, "SELECT count(*) FROM pg_database WHERE datname = 'filedb'").await;
    assert_eq!(count, "1");
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn closing_the_pipe_as_our_death_does_shuts_the_server_down_cleanly() {
    let dir = temp_dir();
    let postgres = start(dir.path()).await;
    let (file, exited) = (pid_file(&postgres), postgres.exited());
    let data = postgres.cluster.data.clone();
    drop(postgres);
    timeout(LIMIT, exited).await.unwrap();
    assert!(!file.is_running(&data));
    assert!(PidFile::read(&data).is_none(), "a clean shutdown removes its pid file");
}

/// The other half of the next test: its process is killed while it holds a server.
#[tokio::test]
#[ignore = "run by a test, in a process of its own"]
async fn a_server_held_until_killed() {
    let dir = Env::of_process().text(&["HELD_DIR"]).unwrap();
    let postgres = start(Path::new(&dir)).await;
    query(&postgres, "CREATE TABLE kept AS SELECT 42 AS n").await;
    fs::write(Path::new(&dir).join("held"), "").unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_killed_process_takes_its_server_along_and_gives_up_the_directory() {
    let dir = temp_dir();
    let mut holder = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "embedded::postgres::tests::a_server_held_until_killed"])
        .env("HELD_DIR", dir.path())
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let held = async {
        while !dir.path().join("held").exists() {
            sleep(postmaster::POLL_INTERVAL).await;
        }
    };
    timeout(2 * LIMIT, held).await.unwrap();
    assert!(matches!(DataDir::open(dir.path()), Err(EmbeddedError::Locked { .. })));
    let data = dir.path().canonicalize().unwrap().join("postgres");
    let left_over = PidFile::read(&data).unwrap();
    assert!(left_over.is_running(&data));
    holder.kill().await.unwrap();

    let gone = async {
        while left_over.is_running(&data) {
            sleep(postmaster::POLL_INTERVAL).await;
        }
    };
    timeout(LIMIT, gone).await.unwrap();
    let next = start(dir.path()).await;
    assert_eq!(query(&next, "SELECT n FROM kept").await, "42");
    next.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_whose_watchdog_was_killed_is_stopped_by_the_next_start() {
    let dir = temp_dir();
    let first = start(dir.path()).await;
    query(&first, "CREATE TABLE kept AS SELECT 42 AS n").await;
    let left_over = pid_file(&first);
    send(parent_of(left_over.pid), Signal::SIGKILL);
    ended(&first).await;
    let data = first.cluster.data.clone();
    assert!(left_over.is_running(&data), "the server outlives its watchdog");
    // Leaked, so that its pipe stays open and only the next start can end the server.
    let lock = first.options.data_dir.clone();
    std::mem::forget(first);

    let second = EmbeddedPostgres::start(PostgresOptions { data_dir: lock, ..options(temp_dir().path()) });
    let second = second.await.unwrap();
    assert!(!left_over.is_running(&data));
    assert_eq!(query(&second, "SELECT n FROM kept").await, "42");
    second.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_server_is_noticed_and_recovers_at_the_next_start() {
    let dir = temp_dir();
    let first = start(dir.path()).await;
    query(&first, "CREATE TABLE kept AS SELECT 42 AS n").await;
    let busy = query(&first, "SELECT pg_sleep(30)");
    let file = pid_file(&first);
    // The sleeping backend outlives its postmaster for a moment.
    let sleeps = async {
        const SLEEPERS: &str = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'";
        while query(&first, SLEEPERS).await == "0" {}
    };
    tokio::select! {
        _ = busy => panic!("it should sleep for longer"),
        outcome = timeout(LIMIT, sleeps) => outcome.unwrap(),
    }
    send(file.pid, Signal::SIGKILL);
    let why = ended(&first).await;
    assert!(why.contains("ended by itself"), "{why}");
    drop(first);

    let second = start(dir.path()).await;
    assert_eq!(query(&second, "SELECT n FROM kept").await, "42");
    second.stop().await.unwrap();
}

#[tokio::test]
async fn a_port_that_someone_else_took_is_given_up() {
    let dir = temp_dir();
    let ports = with_port(dir.path());
    let first = start(dir.path()).await;
    let port = first.port();
    assert_eq!(port, ports.first);
    first.stop().await.unwrap();
    let _taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let second = start(dir.path()).await;
    assert_ne!(second.port(), port);
    second.stop().await.unwrap();
}

#[tokio::test]
async fn an_initdb_that_was_cut_off_is_done_again() {
    let dir = temp_dir();
    let staging = dir.path().join("postgres.initdb-1234/data");
    fs::create_dir_all(&staging).unwrap();
    fs::write(staging.join("PG_VERSION"), "15\n").unwrap();
    let postgres = start(dir.path()).await;
    assert_eq!(query(&postgres, "SELECT 1").await, "1");
    let staged = fs::read_dir(dir.path()).unwrap();
    let left = staged.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with("postgres.initdb-")
    });
    assert_eq!(left.count(), 0);
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_can_not_start_says_why() {
    let dir = temp_dir();
    start(dir.path()).await.stop().await.unwrap();
    fs::write(dir.path().join("postgres/global/pg_control"), "").unwrap();
    let error = EmbeddedPostgres::start(options(dir.path())).await.unwrap_err();
    assert!(matches!(error, EmbeddedError::Exited { .. }));
    assert!(error.to_string().contains("pg_control"), "{error}");
}

#[tokio::test]
async fn a_server_whose_user_may_not_enter_the_data_directory_keeps_its_files_elsewhere() {
    if !Uid::effective().is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("a/b");
    fs::create_dir_all(&inner).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let first = EmbeddedPostgres::start(options(&inner)).await.unwrap();
    let data = first.cluster.data.clone();
    first.stop().await.unwrap();
    assert!(!data.starts_with(dir.path()));
    let again = EmbeddedPostgres::start(options(&inner)).await.unwrap();
    assert_eq!(again.cluster.data.clone(), data);
    again.stop().await.unwrap();
    fs::remove_dir_all(data.parent().unwrap()).unwrap();
}

#[tokio::test]
async fn a_directory_that_the_servers_user_may_no_longer_enter_is_named() {
    if !Uid::effective().is_root() {
        return;
    }
    let dir = temp_dir();
    let inner = dir.path().join("a/b");
    fs::create_dir_all(&inner).unwrap();
    EmbeddedPostgres::start(options(&inner)).await.unwrap().stop().await.unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let error = EmbeddedPostgres::start(options(&inner)).await.unwrap_err();
    let EmbeddedError::NotTraversable { path, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(*path, dir.path().canonicalize().unwrap());
}
