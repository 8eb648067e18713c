//! Debian's nginx in front of a server, as a process of one test.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::certificates::Pair;
use super::{eventually, not_run};

/// Process of nginx. Dropping it kills it.
pub struct Nginx {
    child: Child,
    _dir: TempDir,
}

impl Nginx {
    /// Starts a server on this port of 127.0.0.1, with TLS if it has a certificate; `locations` is what stands in its
    /// block. `None` where nginx is not installed, which is reported as not run.
    pub async fn start(port: u16, tls: Option<&Pair>, locations: &str) -> Option<Self> {
        let Some(program) = program() else {
            not_run("nginx is not on the PATH, nor in /usr/sbin");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("nginx.conf");
        std::fs::write(&config, configuration(dir.path(), port, tls, locations)).unwrap();
        let child = Command::new(program)
            .args([
                Path::new("-p"),
                dir.path(),
                Path::new("-e"),
                Path::new("stderr"),
                Path::new("-c"),
                &config,
            ])
            .env_clear()
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        eventually("nginx listens", async || {
            TcpStream::connect(("127.0.0.1", port)).await.map(drop).map_err(|error| error.to_string())
        })
        .await;
        Some(Self { child, _dir: dir })
    }

    /// Stops it; the port is free when this returns.
    pub async fn stop(mut self) {
        self.child.kill().await.unwrap();
    }
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    folders.map(|folder| folder.join("nginx")).find(|file| file.is_file())
}

/// Configures one process, which writes nothing outside of `dir`.
fn configuration(dir: &Path, port: u16, tls: Option<&Pair>, locations: &str) -> String {
    let at = |name: &str| dir.join(name).display().to_string();
    let (ssl, certificates) = match tls {
        Some(pair) => {
            std::fs::write(at("certificate.pem"), &pair.certificate).unwrap();
            std::fs::write(at("key.pem"), &pair.key).unwrap();
            let (certificate, key) = (at("certificate.pem"), at("key.pem"));
            (" ssl", format!("ssl_certificate {certificate};\n    ssl_certificate_key {key};"))
        }
        None => ("", String::new()),
    };
    let temp = ["client_body", "proxy", "fastcgi", "scgi", "uwsgi"]
        .map(|what| format!("  {what}_temp_path {};\n", at(what)))
        .concat();
    format!(
        "daemon off;\nmaster_process off;\npid {pid};\nevents {{ worker_connections 64; }}\nhttp {{\n{temp}  access_log off;\n  \
         server {{\n    listen 127.0.0.1:{port}{ssl};\n    server_name files.example;\n    {certificates}\n    {locations}\n  }}\n}}\n",
        pid = at("pid"),
    )
}
