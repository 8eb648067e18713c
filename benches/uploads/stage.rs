//! Starts the servers of a bench: PostgreSQL and S3 once, and for each part a `filesys up` on a database and bucket of its own.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use filesys::config::{EmbeddedConfig, Env};
use filesys::embedded::{DataDir, Durability, EmbeddedPostgres, PostgresOptions};
use http::StatusCode;
use s3::Bucket;
use secrecy::ExposeSecret;
use tempfile::TempDir;
use tokio::process::Child;

use super::client::Connection;
use super::content::Content;
use super::launch::{self, word_after};
use super::processes::{Usages, usage};
use super::store::{self, S3, bucket};
use super::{Args, Outcome, plain};

/// Bucket of `filesys up` unless it is told another.
const DEFAULT_BUCKET: &str = "file-storage-bucket";

/// Servers that all parts share.
pub struct Stage {
    executable: PathBuf,
    folder: TempDir,
    /// `None` for `filesys up` alone, which brings its own.
    services: Option<Services>,
}

struct Services {
    postgres: EmbeddedPostgres,
    /// `None` for a server that the environment names.
    s3_process: Option<Child>,
    s3: S3,
    /// Folder of the objects if they are in memory; removed after the process has ended.
    _memory: Option<TempDir>,
}

/// Server that takes uploads, and the bucket where it stores them.
pub struct Server {
    process: Child,
    /// `host:port`
    pub host: String,
    pub pid: u32,
    /// `host:port` of its S3 server.
    pub s3_host: String,
    pub bucket: Bucket,
    /// Other processes whose cost is counted, by name.
    watched: Vec<(&'static str, u32)>,
}

impl Stage {
    pub async fn build(args: &Args) -> Outcome<Self> {
        use std::os::unix::fs::PermissionsExt;
        // PostgreSQL refuses to run as root, so another user has to reach the folder.
        let enterable = std::fs::Permissions::from_mode(0o711);
        let folder = tempfile::Builder::new().prefix("filesys-bench-").permissions(enterable).tempdir()?;
        let services =
            if args.up { None } else { Some(Services::start(folder.path(), args.s3_in_memory).await?) };
        Ok(Self { executable: args.executable.clone(), folder, services })
    }

    /// Starts `filesys up` on an empty database; it answers when this returns.
    pub async fn filesys(&self) -> Outcome<Server> {
        let name = format!("bench{}", uuid::Uuid::new_v4().simple());
        let data_dir = self.folder.path().join(&name);
        let mut env = vec![("PORT", "0".to_owned()), ("RUST_LOG", "info".to_owned())];
        if let Some(services) = &self.services {
            services.postgres.create_database(&name).await?;
            let database = services.postgres.database_url(&name).expose_secret().to_owned();
            env.extend([("DATABASE_URL", database), ("S3_ENDPOINT", services.s3.endpoint.clone())]);
            env.push(("S3_BUCKET", name.clone()));
            env.extend(services.s3.credentials());
        }
        let log = data_dir.with_extension("log");
        let args = ["up", "--replicas", "1", "--data-dir", &data_dir.to_string_lossy()];
        let process = launch::process(&self.executable, &args, &env, &log)?;
        let host = word_after(&log, "listening address=").await?;
        ready(&host).await?;
        match &self.services {
            Some(services) => Server::new(process, host, &services.s3, &name, self.watched(services)?),
            None => Server::new(process, host, &store::of_up(&data_dir)?, DEFAULT_BUCKET, Vec::new()),
        }
    }

    /// Starts tusd on the same S3 server.
    pub async fn tusd(&self, executable: &Path) -> Outcome<Server> {
        let services = self.services.as_ref().ok_or("tusd needs an S3 server that runs by itself")?;
        let name = format!("tusd{}", uuid::Uuid::new_v4().simple());
        let host = services.s3.host();
        plain::create_bucket(&host, &bucket(&services.s3, &name)?).await?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
        let mut env = vec![("AWS_REGION", "us-east-1".to_owned())];
        env.extend(services.s3.credentials());
        let log = self.folder.path().join(&name).with_extension("log");
        let args = ["-host", "127.0.0.1", "-port", &port, "-base-path", "/uploads/"];
        let store = ["-s3-bucket", &name, "-s3-endpoint", &services.s3.endpoint];
        let process = launch::process(executable, &[&args[..], &store].concat(), &env, &log)?;
        word_after(&log, "You can now upload files to").await?;
        Server::new(process, format!("127.0.0.1:{port}"), &services.s3, &name, self.watched(services)?)
    }

    fn watched(&self, services: &Services) -> Outcome<Vec<(&'static str, u32)>> {
        let pid = std::fs::read_to_string(self.folder.path().join("postgres/postmaster.pid"))?;
        let postgres = pid.lines().next().and_then(|pid| pid.parse().ok());
        let s3 = services.s3_process.as_ref().and_then(Child::id);
        let all = [("postgresql", postgres), ("s3", s3), ("bench", Some(std::process::id()))];
        Ok(all.into_iter().filter_map(|(name, pid)| Some((name, pid?))).collect())
    }

    pub async fn tear_down(self) {
        let Some(services) = self.services else { return };
        let _ = services.postgres.stop().await;
    }
}

impl Services {
    async fn start(folder: &Path, s3_in_memory: bool) -> Outcome<Self> {
        let options = PostgresOptions {
            durability: Durability::Full,
            ..PostgresOptions::new(DataDir::open(folder)?, EmbeddedConfig::read(&mut Env::of_process()))
        };
        let postgres = EmbeddedPostgres::start(options).await?;
        let memory = s3_in_memory.then(|| tempfile::tempdir_in(store::MEMORY)).transpose()?;
        let (s3_process, s3) = store::named_or_started(folder, memory.as_ref()).await?;
        Ok(Self { postgres, s3_process, s3, _memory: memory })
    }
}

/// Waits until everything that it needs is there, its bucket too.
async fn ready(host: &str) -> Outcome<()> {
    const LIMIT: Duration = Duration::from_mins(1);
    let begun = Instant::now();
    let mut connection = Connection::open(host).await?;
    while begun.elapsed() < LIMIT {
        let answer = connection.send(("GET", "/readyz"), &[], Content::EMPTY, StatusCode::OK).await?;
        if serde_json::from_slice::<serde_json::Value>(&answer.body)?["status"] == "ready" {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(format!("not ready after {LIMIT:?}").into())
}

impl Server {
    fn new(
        process: Child,
        host: String,
        s3: &S3,
        bucket_name: &str,
        watched: Vec<(&'static str, u32)>,
    ) -> Outcome<Self> {
        let pid = process.id().ok_or("the server has ended")?;
        Ok(Self { process, host, pid, s3_host: s3.host(), bucket: bucket(s3, bucket_name)?, watched })
    }

    /// Reads what the server and the processes behind it have used.
    pub fn usage(&self) -> Usages {
        let own = ("server".to_owned(), usage(self.pid, false));
        let others = self.watched.iter();
        let others = others.map(|(name, pid)| ((*name).to_owned(), usage(*pid, *name == "postgresql")));
        Usages(others.chain([own]).collect())
    }

    /// Ends it and removes its objects.
    pub async fn end(self) -> Outcome<()> {
        let has_own_store = self.watched.is_empty();
        if !has_own_store {
            plain::empty(&self.bucket).await?;
        }
        launch::end(self.process).await
    }
}
