//! The services of a bench: PostgreSQL, Kafka and S3, each named by the environment or started for it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use filesys::config::{EmbeddedConfig, Env};
use filesys::embedded::{DataDir, Durability, EmbeddedPostgres, PostgresOptions};
use rskafka::client::ClientBuilder;
use secrecy::ExposeSecret;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio_postgres::NoTls;
use url::Url;

use super::Outcome;
use super::store::{self, S3};

/// Heap of Kafka unless the environment says otherwise: the default of Kafka's own scripts, more than `scripts/kafka` takes.
const KAFKA_HEAP: (&str, &str) = ("KAFKA_HEAP_OPTS", "-Xms1g -Xmx1g");
const START_LIMIT: Duration = Duration::from_mins(2);

pub struct Services {
    pub postgres: Option<EmbeddedPostgres>,
    /// Any database of the server; its user may make others.
    pub database: Url,
    /// Script that stops the Kafka that was started for the bench.
    pub kafka_script: Option<PathBuf>,
    pub kafka: String,
    pub s3_process: Option<Child>,
    pub s3: S3,
    /// Folder of its objects if they are in memory; removed after the process has ended.
    _memory: Option<TempDir>,
}

impl Services {
    pub async fn start(folder: &Path, s3_in_memory: bool) -> Outcome<Self> {
        let (postgres, database) = match std::env::var("DATABASE_URL") {
            Ok(url) => (None, url.parse()?),
            Err(_) => {
                let options = PostgresOptions {
                    durability: Durability::Full,
                    max_connections: 200,
                    ..PostgresOptions::new(
                        DataDir::open(folder)?,
                        EmbeddedConfig::read(&mut Env::of_process()),
                    )
                };
                let postgres = EmbeddedPostgres::start(options).await?;
                let url = postgres.database_url("postgres").expose_secret().parse()?;
                (Some(postgres), url)
            }
        };
        let (kafka_script, kafka) = match std::env::var("KAFKA_BROKERS") {
            Ok(brokers) => (None, brokers),
            Err(_) => {
                let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/kafka");
                let mut start = Command::new(&script);
                start.args(["start", "--port", "29392"]).env("FILESYS_SERVICES_DIR", folder);
                let (name, usual) = KAFKA_HEAP;
                start.env(name, std::env::var_os(name).unwrap_or_else(|| usual.into()));
                let output = tokio::time::timeout(START_LIMIT, start.output()).await??;
                if !output.status.success() {
                    return Err(String::from_utf8_lossy(&output.stderr).into());
                }
                (Some(script), String::from_utf8(output.stdout)?.trim().to_owned())
            }
        };
        let memory = s3_in_memory.then(|| tempfile::tempdir_in(store::MEMORY)).transpose()?;
        let (s3_process, s3) = store::named_or_started(folder, memory.as_ref()).await?;
        Ok(Self { postgres, database, kafka_script, kafka, s3_process, s3, _memory: memory })
    }

    /// URL of the database with this name.
    pub fn database(&self, name: &str) -> Url {
        let mut url = self.database.clone();
        url.set_path(name);
        url
    }

    pub async fn create_database(&self, name: &str) -> Outcome<()> {
        let sql = format!("CREATE DATABASE {name}");
        connect(&self.database).await?.batch_execute(&sql).await?;
        Ok(())
    }

    /// Drops the databases and topics whose names have this prefix. Those that stayed would slow down later runs: a checkpoint syncs
    /// the files of every database, and Kafka keeps every topic in memory.
    pub async fn drop_all(&self, name: &str) -> Outcome<()> {
        let postgres = connect(&self.database).await?;
        let ours = "SELECT datname::text FROM pg_database WHERE starts_with(datname, $1)";
        for database in postgres.query(ours, &[&name]).await? {
            let sql = format!("DROP DATABASE {} WITH (FORCE)", database.get::<_, String>(0));
            postgres.batch_execute(&sql).await?;
        }
        let kafka = ClientBuilder::new(vec![self.kafka.clone()]).build().await?;
        let controller = kafka.controller_client()?;
        for topic in kafka.list_topics().await?.iter().filter(|topic| topic.name.starts_with(name)) {
            controller.delete_topic(&topic.name, 5_000).await?;
        }
        Ok(())
    }
}

pub async fn connect(url: &Url) -> Outcome<tokio_postgres::Client> {
    let (client, connection) = tokio_postgres::connect(url.as_str(), NoTls).await?;
    // Ends with the client.
    tokio::spawn(connection);
    Ok(client)
}
