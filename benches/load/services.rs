//! The services of a bench: PostgreSQL, Kafka and S3, each named by the environment or started for it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use filesys::config::{EmbeddedConfig, Env};
use filesys::embedded::{DataDir, Durability, EmbeddedPostgres, EmbeddedS3, PostgresOptions, S3Options};
use rskafka::client::ClientBuilder;
use s3::creds::Credentials;
use s3::{Bucket, Region};
use secrecy::ExposeSecret;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio_postgres::NoTls;
use url::Url;

use super::Outcome;

/// Heap of Kafka unless the environment says otherwise: the default of Kafka's own scripts, more than `scripts/kafka` takes.
const KAFKA_HEAP: (&str, &str) = ("KAFKA_HEAP_OPTS", "-Xms1g -Xmx1g");
const START_LIMIT: Duration = Duration::from_mins(2);
/// File system in memory.
const MEMORY: &str = "/dev/shm";

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

#[derive(Debug, Clone)]
pub struct S3 {
    pub endpoint: String,
    pub access_key: String,
    pub secret_key: String,
}

/// Runs the S3 server of a bench: a process of its own, so that its cost is measured apart.
pub async fn serve_s3(dir: &Path, durability: Durability) -> Outcome<()> {
    let options = S3Options { data_dir: DataDir::open(dir)?, durability };
    let s3 = EmbeddedS3::start(options).await?;
    let secret = s3.secret_access_key().expose_secret();
    writeln!(std::io::stdout(), "{} {} {secret}", s3.endpoint(), s3.access_key_id())?;
    std::future::pending().await
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
        let memory = s3_in_memory.then(|| tempfile::tempdir_in(MEMORY)).transpose()?;
        let (s3_process, s3) = match std::env::var("S3_ENDPOINT") {
            Ok(endpoint) => {
                let (access_key, secret_key) =
                    (std::env::var("AWS_ACCESS_KEY_ID")?, std::env::var("AWS_SECRET_ACCESS_KEY")?);
                (None, S3 { endpoint, access_key, secret_key })
            }
            Err(_) => {
                let dir = memory.as_ref().map_or(folder, TempDir::path).join("s3");
                start_s3(&dir, s3_in_memory).await.map(|(process, s3)| (Some(process), s3))?
            }
        };
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

async fn start_s3(dir: &Path, in_memory: bool) -> Outcome<(Child, S3)> {
    let mut server = Command::new(std::env::current_exe()?);
    if in_memory {
        server.arg("--s3-in-memory");
    }
    server.arg("--s3-server").arg(dir).stdout(Stdio::piped()).kill_on_drop(true);
    let mut process = server.spawn()?;
    let stdout = process.stdout.take().ok_or("no pipe")?;
    let line = BufReader::new(stdout).lines().next_line().await?.ok_or("the S3 server did not start")?;
    let mut words = line.split(' ').map(str::to_owned);
    let mut word = || words.next().ok_or("the S3 server printed something else");
    let s3 = S3 { endpoint: word()?, access_key: word()?, secret_key: word()? };
    Ok((process, s3))
}

pub async fn connect(url: &Url) -> Outcome<tokio_postgres::Client> {
    let (client, connection) = tokio_postgres::connect(url.as_str(), NoTls).await?;
    // Ends with the client.
    tokio::spawn(connection);
    Ok(client)
}

pub fn bucket(s3: &S3, name: &str) -> Outcome<Bucket> {
    let region = Region::Custom { region: "us-east-1".to_owned(), endpoint: s3.endpoint.clone() };
    let credentials = Credentials::new(Some(&s3.access_key), Some(&s3.secret_key), None, None, None)?;
    Ok(*Bucket::new(name, region, credentials)?.with_path_style())
}
