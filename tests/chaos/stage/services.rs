//! PostgreSQL, Kafka and S3 of a run, each behind a proxy that injects faults.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use filesys::embedded::{DataDir, Durability, EmbeddedS3, S3Options};
use secrecy::ExposeSecret;
use tokio::time::timeout;

use crate::proxy::Ports;
use crate::proxy::s3::{Direct, S3Mode, S3Proxy};
use crate::proxy::tcp::{Mode, TcpProxy};
use crate::support::own::Own;

const BUCKET: &str = "chaos";
const LIMIT: Duration = Duration::from_secs(5);

/// Names of a run's own, so that several can have the same services one after the other.
#[derive(Debug, Clone)]
pub struct Ground {
    pub database_url: String,
    /// Prefix of topics and groups.
    pub prefix: String,
    pub bucket: String,
}

pub struct Services {
    pub ground: Ground,
    pub postgres: Own,
    pub kafka: Own,
    pub postgres_proxy: TcpProxy,
    pub kafka_proxy: TcpProxy,
    /// In front of the next one.
    pub s3_port: TcpProxy,
    pub s3_proxy: S3Proxy,
    /// Past the proxy; of a cluster its first broker.
    pub kafka_direct: String,
    /// Address by which the roles know it.
    kafka_brokers: String,
    pub direct: Direct,
    s3: EmbeddedS3,
    properties: std::path::PathBuf,
    _direct_ports: Ports,
}

impl Services {
    pub async fn start(folder: &Path) -> Self {
        let local = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let kafka = Own::reserve("kafka");
        let kafka_proxy = TcpProxy::start(local(kafka.port())).await;
        let direct_ports = Ports::reserve();
        let kafka_direct = local(direct_ports.first).to_string();
        let properties = folder.join("kafka.properties");
        std::fs::write(&properties, listeners(&kafka, &kafka_proxy, &kafka_direct)).unwrap();
        let more = ["--properties".to_owned(), properties.to_str().unwrap().to_owned()];
        let first_start = async move |mut kafka: Own| {
            kafka.first_start(&more.each_ref().map(String::as_str)).await;
            kafka
        };
        let kafka_brokers = kafka_proxy.address().to_string();
        let kafka = (first_start(kafka), kafka_proxy);
        Self::around(kafka, (kafka_brokers, kafka_direct), (properties, direct_ports), folder).await
    }

    /// With a cluster of three brokers, and no proxy in front of them.
    pub async fn with_brokers(folder: &Path) -> Self {
        let kafka = Own::start_cluster().await;
        let brokers = kafka.address.clone();
        let first = brokers.split(',').next().unwrap().to_owned();
        let proxy = TcpProxy::start(first.parse().unwrap()).await;
        let kafka = (std::future::ready(kafka), proxy);
        Self::around(kafka, (brokers, first), (folder.join("kafka.properties"), Ports::reserve()), folder)
            .await
    }

    /// The other services, beside a Kafka that is known to the roles and to the verifier by these addresses.
    async fn around(
        (kafka, kafka_proxy): (impl Future<Output = Own>, TcpProxy),
        (kafka_brokers, kafka_direct): (String, String),
        (properties, direct_ports): (std::path::PathBuf, Ports),
        folder: &Path,
    ) -> Self {
        let mut postgres = Own::reserve("postgres");
        let local = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let postgres_proxy = TcpProxy::start(local(postgres.port())).await;
        let s3 = async {
            let options = S3Options {
                data_dir: DataDir::open(&folder.join("s3")).unwrap(),
                durability: Durability::Fast,
            };
            EmbeddedS3::start(options).await.unwrap()
        };
        let ((), kafka, s3) = tokio::join!(postgres.first_start(&[]), kafka, s3);
        let direct = Direct {
            bucket: BUCKET.to_owned(),
            access_key: s3.access_key_id().to_owned(),
            secret_key: s3.secret_access_key().expose_secret().to_owned(),
        };
        let s3_proxy = S3Proxy::start(&s3.endpoint(), direct.clone()).await;
        let s3_port = TcpProxy::start(s3_proxy.address()).await;
        let ground = Ground {
            database_url: postgres.address.clone(),
            prefix: String::new(),
            bucket: BUCKET.to_owned(),
        };
        Self {
            ground,
            postgres,
            kafka,
            postgres_proxy,
            kafka_proxy,
            s3_port,
            s3_proxy,
            kafka_direct,
            kafka_brokers,
            direct,
            s3,
            properties,
            _direct_ports: direct_ports,
        }
    }

    pub fn s3_direct(&self) -> String {
        self.s3.endpoint()
    }

    /// Environment of a role: addresses of the proxies and credentials.
    pub fn settings(&self) -> Vec<(String, String)> {
        let mut database = url::Url::parse(&self.ground.database_url).unwrap();
        database.set_port(Some(self.postgres_proxy.address().port())).unwrap();
        let settings = [
            ("DATABASE_URL", database.to_string()),
            ("KAFKA_BROKERS", self.kafka_brokers.clone()),
            ("KAFKA_PREFIX", self.ground.prefix.clone()),
            // The shortest that Kafka allows: a killed member is missed for so long. Of several brokers one may be lost
            // for 9 s before its groups have another coordinator.
            ("KAFKA_SESSION_TIMEOUT", if self.kafka_brokers.contains(',') { "20s" } else { "6s" }.to_owned()),
            ("S3_ENDPOINT", format!("http://{}", self.s3_port.address())),
            ("S3_BUCKET", self.ground.bucket.clone()),
            ("AWS_ACCESS_KEY_ID", self.direct.access_key.clone()),
            ("AWS_SECRET_ACCESS_KEY", self.direct.secret_key.clone()),
            ("SHUTDOWN_TIMEOUT", "5s".to_owned()),
        ];
        settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Switches to a new database, topics and bucket for the next run.
    pub async fn switch_to(&mut self, name: &str) {
        let name = name.replace('-', "_");
        let client = self.client().await.expect("PostgreSQL answers");
        client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        let mut url = url::Url::parse(&self.postgres.address).unwrap();
        url.set_path(&name);
        let bucket = name.replace('_', "-");
        self.ground = Ground { database_url: url.to_string(), prefix: format!("{name}."), bucket };
    }

    /// Ids of files that are unfinished, newest first; none while PostgreSQL does not answer.
    pub async fn newest_files(&self, limit: i64) -> Vec<i64> {
        const SQL: &str =
            "SELECT id FROM files WHERE status IN ('pending', 'processing') ORDER BY id DESC LIMIT $1";
        let Some(client) = self.client().await else { return Vec::new() };
        let rows = timeout(LIMIT, client.query(SQL, &[&limit])).await.ok().and_then(Result::ok);
        rows.unwrap_or_default().iter().map(|row| row.get(0)).collect()
    }

    /// Reads when files were created and completed, in seconds since the oldest was created; unfinished ones are left out.
    pub async fn completions(&self) -> Vec<(f64, f64)> {
        const SQL: &str = "SELECT
            extract(epoch FROM f.created_at - (SELECT min(created_at) FROM files))::float8,
            extract(epoch FROM min(t.at) - (SELECT min(created_at) FROM files))::float8
            FROM files f JOIN transitions t ON t.file_id = f.id AND t.to_status = 'completed'
            GROUP BY f.id ORDER BY 2";
        let Some(client) = self.client().await else { return Vec::new() };
        let rows = timeout(LIMIT, client.query(SQL, &[])).await.ok().and_then(Result::ok);
        rows.unwrap_or_default().iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// Terminates every session but this one.
    pub async fn terminate_backends(&self) {
        const SQL: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()";
        if let Some(client) = self.client().await {
            // It may be away itself.
            let _ = timeout(LIMIT, client.execute(SQL, &[])).await;
        }
    }

    async fn client(&self) -> Option<tokio_postgres::Client> {
        let connecting = tokio_postgres::connect(&self.ground.database_url, tokio_postgres::NoTls);
        let (client, connection) = timeout(LIMIT, connecting).await.ok()?.ok()?;
        // Ends when the client is dropped, or cut.
        drop(tokio::spawn(async move { drop(connection.await) }));
        Some(client)
    }

    /// Lets everything through the proxies.
    pub fn pass(&self) {
        self.postgres_proxy.set(Mode::Pass);
        self.kafka_proxy.set(Mode::Pass);
        self.s3_port.set(Mode::Pass);
        self.s3_proxy.set(S3Mode::Pass, 0);
    }

    /// Restarts Kafka with an empty log.
    pub async fn wipe_kafka(&mut self) {
        self.kafka.run(&["stop", "--wipe"]).await;
        let properties = self.properties.to_str().unwrap().to_owned();
        self.kafka.first_start(&["--properties", &properties]).await;
    }
}

/// Listeners of Kafka: one that advertises the proxy to clients, and one for the verifier.
fn listeners(kafka: &Own, proxy: &TcpProxy, direct: &str) -> String {
    let (port, controller) = (kafka.port(), kafka.port() + 1);
    let proxy = proxy.address();
    let lines = [
        format!(
            "listeners=PLAINTEXT://127.0.0.1:{port},DIRECT://{direct},CONTROLLER://127.0.0.1:{controller}"
        ),
        format!("advertised.listeners=PLAINTEXT://{proxy},DIRECT://{direct}"),
        "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,DIRECT:PLAINTEXT".to_owned(),
        "inter.broker.listener.name=DIRECT\n".to_owned(),
    ];
    lines.join("\n")
}
