//! Apache Kafka of one test, with encryption and authentication.
#![cfg_attr(
    not(feature = "kafka-tls"),
    expect(dead_code, reason = "only one listener is of use without TLS")
)]

use std::path::PathBuf;

use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::Command;

use super::certificates::Authority;
use super::{PATIENCE, not_run, within};

pub const USER: &str = "filesys";
pub const PASSWORD: &str = "the, right \"password\" = \\x";

/// Broker with several listeners, on its own folder and ports.
pub struct SecureKafka {
    pub authority: Authority,
    script: PathBuf,
    folder: TempDir,
    ports: [u16; 6],
}

/// Listeners by their protocol.
#[derive(Debug, Clone, Copy)]
pub enum Listener {
    SaslPlaintext = 2,
    Tls = 3,
    /// TLS with a client certificate.
    MutualTls = 4,
    SaslTls = 5,
}

impl SecureKafka {
    /// Starts it; `None` without a script, which is reported as not run.
    pub async fn start() -> Option<Self> {
        let Some(script) = std::env::var_os("TEST_KAFKA_SCRIPT") else {
            not_run("TEST_KAFKA_SCRIPT=scripts/kafka is not set");
            return None;
        };
        let this = Self {
            authority: Authority::new(),
            script: script.into(),
            folder: tempfile::tempdir().unwrap(),
            ports: free_ports().await,
        };
        let properties = this.folder.path().join("more.properties");
        std::fs::write(&properties, this.properties()).unwrap();
        let [port, controller, ..] = this.ports.map(|port| port.to_string());
        let ports = ["--port", &port, "--controller-port", &controller];
        this.run(&[&["start", "--properties", properties.to_str().unwrap()], &ports[..]].concat()).await;
        this.set_password(PASSWORD).await;
        Some(this)
    }

    pub fn address(&self, listener: Listener) -> String {
        format!("localhost:{}", self.ports[listener as usize])
    }

    /// Sets the password of the SCRAM mechanisms; PLAIN's is part of the broker's configuration.
    pub async fn set_password(&self, password: &str) {
        // Kafka takes one mechanism at a time.
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
            let credentials = format!("{mechanism}=[password={password}]");
            let user = ["--entity-type", "users", "--entity-name", USER];
            self.run(&[&["tool", "configs", "--alter", "--add-config", &credentials], &user[..]].concat())
                .await;
        }
    }

    fn properties(&self) -> String {
        let [plain, controller, sasl, tls, mutual, sasl_tls] = self.ports;
        let listener = |name: &str, port: u16| format!("{name}://localhost:{port}");
        let clients = [
            listener("PLAINTEXT", plain),
            listener("LOGIN", sasl),
            listener("TLS", tls),
            listener("MUTUAL", mutual),
            listener("SECURE", sasl_tls),
        ]
        .join(",");
        let keys = self.folder.path().join("broker.pem");
        let pair = self.authority.sign(&["localhost"]);
        std::fs::write(&keys, format!("{}{}", pair.key, pair.certificate)).unwrap();
        let mut lines = vec![
            format!("listeners={clients},{}", listener("CONTROLLER", controller)),
            format!("advertised.listeners={clients}"),
            "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,LOGIN:SASL_PLAINTEXT,\
             TLS:SSL,MUTUAL:SSL,SECURE:SASL_SSL"
                .to_owned(),
            "ssl.keystore.type=PEM".to_owned(),
            format!("ssl.keystore.location={}", keys.display()),
            "ssl.truststore.type=PEM".to_owned(),
            format!("ssl.truststore.location={}", self.authority.path().display()),
            "listener.name.mutual.ssl.client.auth=required".to_owned(),
        ];
        let module = "org.apache.kafka.common.security";
        // Twice: for the string of Java's login configuration, and for the properties' file.
        let quoted = PASSWORD.replace('\\', "\\\\").replace('"', "\\\"").replace('\\', "\\\\");
        for listener in ["login", "secure"] {
            let listener = format!("listener.name.{listener}");
            lines.extend([
                format!("{listener}.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"),
                format!(
                    "{listener}.plain.sasl.jaas.config={module}.plain.PlainLoginModule required user_{USER}=\"{quoted}\";"
                ),
                format!("{listener}.scram-sha-256.sasl.jaas.config={module}.scram.ScramLoginModule required;"),
                format!("{listener}.scram-sha-512.sasl.jaas.config={module}.scram.ScramLoginModule required;"),
            ]);
        }
        lines.push(String::new());
        lines.join("\n")
    }

    async fn run(&self, args: &[&str]) {
        let output = self.command().args(args).output();
        let output = within(PATIENCE * 2, "scripts/kafka", output).await.unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.script);
        command.env("FILESYS_SERVICES_DIR", self.folder.path()).env_remove("KAFKA_PORT");
        command
    }
}

impl Drop for SecureKafka {
    fn drop(&mut self) {
        let _ = self.command().as_std_mut().arg("kill").status();
    }
}

/// First port, below the ephemeral range.
async fn free_ports() -> [u16; 6] {
    loop {
        let first = 10_000 + uuid::Uuid::new_v4().as_fields().1 % 10_000;
        let ports = [0, 1, 2, 3, 4, 5].map(|step| first + step);
        let mut bound = Vec::new();
        for port in ports {
            bound.extend(TcpListener::bind(("127.0.0.1", port)).await);
        }
        if bound.len() == ports.len() {
            return ports;
        }
    }
}
