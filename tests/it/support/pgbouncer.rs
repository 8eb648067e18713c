//! PgBouncer, and connection strings for what stands between a role and its database.

use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use filesys::config::DatabaseTarget;
use filesys::config::database_url::Place;
use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::{Database, Ports, eventually, not_run};

pub fn host_of(place: &Place) -> String {
    match place {
        Place::Host(host) => host.clone(),
        Place::Socket(dir) => panic!("the tests' server is on a socket in {}", dir.display()),
    }
}

/// Connection string with that port of this machine.
pub fn url_at(target: &DatabaseTarget, port: u16) -> SecretString {
    let password = target.password.as_ref().map_or("", ExposeSecret::expose_secret);
    SecretString::from(format!(
        "host=127.0.0.1 port={port} user='{}' password='{password}' dbname='{}'",
        target.user.as_deref().unwrap_or_default(),
        target.database.as_deref().unwrap_or_default(),
    ))
}

/// Process of Debian's PgBouncer in front of a database.
pub struct PgBouncer {
    child: Child,
    pub url: SecretString,
    _ports: Ports,
    _dir: TempDir,
}

impl PgBouncer {
    /// Starts it; `None` where it isn't installed. It listens a little later.
    pub fn start(database: &Database, mode: &str) -> Option<Self> {
        let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"];
        let Some(program) = program.into_iter().find(|path| std::path::Path::new(path).exists()) else {
            not_run("pgbouncer is not installed");
            return None;
        };
        let target = DatabaseTarget::parse(database.url().expose_secret()).unwrap();
        let ports = Ports::reserve();
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let server = &target.servers[0];
        let text = format!(
            "[databases]\n{name} = host={host} port={server_port} user={user} password={password}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\npool_mode = {mode}\n\
             unix_socket_dir =\nuser = {unprivileged}\n",
            name = target.database.as_deref().unwrap(),
            host = host_of(&server.place),
            server_port = server.port,
            user = target.user.as_deref().unwrap(),
            password = target.password.as_ref().map_or("", ExposeSecret::expose_secret),
            port = ports.first,
            unprivileged = if nix::unistd::Uid::effective().is_root() { "nobody" } else { "" },
        );
        let file = dir.path().join("pgbouncer.ini");
        std::fs::write(&file, text.replace("user = \n", "")).unwrap();
        let child = Command::new(program)
            .arg("--quiet")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Some(Self { child, url: url_at(&target, ports.first), _ports: ports, _dir: dir })
    }

    pub async fn listens(&self) {
        let port = DatabaseTarget::parse(self.url.expose_secret()).unwrap().servers[0].port;
        eventually("pgbouncer listens", async || {
            TcpStream::connect(("127.0.0.1", port)).await.map(drop).map_err(|error| error.to_string())
        })
        .await;
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
