//! A server that is killed while it is kept alive, files that name processes by number, the role that serves.

use std::fs;
use std::process::{Child, Command};

use nix::sys::signal::Signal;
use tokio::time::timeout;

use super::tests::{LIMIT, pid_file, query, send, start, temp_dir};
use super::*;

/// Some process of the server's user.
struct Bystander(Child);

impl Bystander {
    fn start(postgres: &EmbeddedPostgres) -> Self {
        let mut command = Command::new("sleep");
        if let Some(account) = &postgres.cluster.account {
            account.apply(&mut command);
        }
        Self(command.arg("600").spawn().unwrap())
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[tokio::test]
async fn files_that_name_a_living_process_of_another_kind_are_no_obstacle() {
    let dir = temp_dir();
    let first = start(dir.path()).await;
    let bystander = Bystander::start(&first);
    let (data, socket, port) = (first.cluster.data.clone(), first.socket.path().to_owned(), first.port());
    query(&first, "CREATE TABLE kept AS SELECT 42 AS n").await;
    let file = fs::read_to_string(data.join("postmaster.pid")).unwrap();
    send(pid_file(&first).pid, Signal::SIGKILL);
    timeout(LIMIT, first.exited()).await.unwrap();
    drop(first);
    // As after the restart of a container, where numbers come again.
    let (_, rest) = file.split_once('\n').unwrap();
    let stale = format!("{}\n{rest}", bystander.0.id());
    fs::write(data.join("postmaster.pid"), &stale).unwrap();
    fs::write(socket.join(format!(".s.PGSQL.{port}.lock")), &stale).unwrap();

    let second = start(dir.path()).await;
    assert_eq!(query(&second, "SELECT n FROM kept").await, "42");
    second.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_server_is_started_again_on_the_same_socket_though_its_port_is_taken() {
    let dir = temp_dir();
    let mut postgres = start(dir.path()).await;
    let served = postgres.served_database("filedb", 5).await.unwrap();
    let (pid, port) = (pid_file(&postgres).pid, postgres.port());
    let taken = async {
        send(pid, Signal::SIGKILL);
        loop {
            match std::net::TcpListener::bind(("127.0.0.1", port)) {
                Ok(listener) => break listener,
                Err(_) => sleep(Duration::from_millis(1)).await,
            }
        }
    };
    let began = Instant::now();
    let socket = postgres.socket.path().to_owned();
    let psql = postgres.programs.command("psql");
    let answers = async {
        let _taken = taken.await;
        loop {
            let mut command = Command::new(psql.get_program());
            command.args(["-Atc", "SELECT current_user"]).arg(url_for_libpq(&served, &socket));
            if let Ok(text) = programs::succeed(command, LIMIT).await {
                break text;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let user = tokio::select! {
        cause = postgres.keep_alive() => panic!("{cause}"),
        user = timeout(LIMIT, answers) => user.unwrap(),
    };
    assert_eq!(user.trim(), SERVING_ROLE);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    postgres.stop().await.unwrap();
}

/// libpq takes the socket's directory as a parameter.
fn url_for_libpq(served: &DatabaseConfig, socket: &std::path::Path) -> String {
    let url = served.url.expose_secret();
    let (user, _) = url.split_once('@').unwrap();
    format!("{user}@/filedb?host={}&port={}", socket.display(), socket::PORT)
}

#[tokio::test]
async fn the_role_that_serves_owns_its_database_and_is_no_superuser() {
    let dir = temp_dir();
    let postgres = start(dir.path()).await;
    postgres.create_database("filedb").await.unwrap();
    // As a release before the role left it.
    let made = "CREATE TYPE kind AS ENUM ('a'); CREATE TABLE kept (id bigserial, k kind); CREATE VIEW seen AS TABLE kept; \
         CREATE SEQUENCE numbers; CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; \
         CREATE EXTENSION IF NOT EXISTS plpgsql";
    postgres.run_script(&[], &format!("\\connect filedb\n{made};\n")).await.unwrap();
    let served = postgres.served_database("filedb", 5).await.unwrap();
    let again = postgres.served_database("filedb", 5).await.unwrap();
    assert_ne!(served.url.expose_secret(), again.url.expose_secret(), "a new password each time");

    let mut command = postgres.programs.command("psql");
    command.arg(url_for_libpq(&again, postgres.socket.path()));
    command.args([
        "-v",
        "ON_ERROR_STOP=1",
        "-Atqc",
        "ALTER TABLE kept ADD note text",
        "-c",
        "DROP VIEW seen",
    ]);
    command.args([
        "-c",
        "DROP SEQUENCE numbers",
        "-c",
        "DROP FUNCTION f()",
        "-c",
        "ALTER TYPE kind ADD VALUE 'b'",
    ]);
    command.args(["-c", "CREATE TABLE more (id bigserial)"]);
    command.args(["-c", "SELECT rolsuper, rolcreatedb, rolcreaterole, rolbypassrls FROM pg_roles WHERE rolname = current_user"]);
    assert_eq!(programs::succeed(command, LIMIT).await.unwrap().trim(), "f|f|f|f");
    let log = fs::read_to_string(dir.path().join("postgres.log")).unwrap();
    let password = again.url.expose_secret().split([':', '@']).nth(2).unwrap();
    assert!(password.len() > 30 && !log.contains(password));
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn what_psql_is_told_can_be_pasted_whatever_the_directory_is_called() {
    let dir = temp_dir();
    for name in ["it's a \"$HOME\" `dir`; ü", "a,b", &"x".repeat(120)] {
        let postgres = start(&dir.path().join(name)).await;
        postgres.create_database("filedb").await.unwrap();
        let hint = postgres.psql_hint("filedb");
        let mut shell = Command::new("bash");
        shell
            .args(["-c", &format!("{hint} -Atc 'SELECT current_database()'")])
            .env("PATH", postgres_path(&postgres));
        assert_eq!(programs::succeed(shell, LIMIT).await.unwrap().trim(), "filedb", "{hint}");
        let socket = postgres.socket.path().to_owned();
        postgres.stop().await.unwrap();
        let is_elsewhere = socket.parent() == Some(std::path::Path::new("/tmp"));
        assert_eq!(socket.exists(), !is_elsewhere, "{}", socket.display());
    }
}

fn postgres_path(postgres: &EmbeddedPostgres) -> String {
    let psql = postgres.programs.path("psql");
    format!("{}:/usr/bin:/bin", psql.parent().unwrap().display())
}
