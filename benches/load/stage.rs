//! The services of a bench, each given by the environment or its own; and for each run fresh rows, topics and bucket,
//! with the roles on them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
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
use tokio::sync::Notify;
use tokio_postgres::NoTls;
use url::Url;

use super::Outcome;
use super::processes::{Usages, usage};
use super::report::Found;

/// Families of several processes.
const FAMILIES: [&str; 2] = ["postgresql", "up, with its PostgreSQL"];

/// Unless the environment tells: as Kafka's own scripts have it; `scripts/kafka` takes less for development.
const KAFKA_HEAP: (&str, &str) = ("KAFKA_HEAP_OPTS", "-Xms1g -Xmx1g");
const LIMIT: Duration = Duration::from_mins(2);
/// A file system in memory, which Linux has there.
const MEMORY: &str = "/dev/shm";

/// How many members of the worker group, in how many processes.
#[derive(Debug, Clone, Copy)]
pub struct Workers {
    pub members: usize,
    pub processes: usize,
}

impl Workers {
    pub const NONE: Self = Self { members: 0, processes: 1 };
}

/// The services.
pub struct Stage {
    executable: PathBuf,
    folder: TempDir,
    /// `None`: `filesys up` has its own.
    services: Option<Services>,
}

pub struct Services {
    postgres: Option<EmbeddedPostgres>,
    /// Any database of the server; its user may make others.
    pub database: Url,
    kafka_script: Option<PathBuf>,
    pub kafka: String,
    s3_process: Option<Child>,
    pub s3: S3,
    /// Where its objects are, if not in the folder; goes after it.
    _memory: Option<TempDir>,
}

#[derive(Debug, Clone)]
pub struct S3 {
    pub endpoint: String,
    pub access_key: String,
    pub secret_key: String,
}

/// The S3 server of a bench, in a process of its own so that its cost can be told.
pub async fn serve_s3(dir: &Path, durability: Durability) -> Outcome<()> {
    let options = S3Options { data_dir: DataDir::open(dir)?, durability };
    let s3 = EmbeddedS3::start(options).await?;
    let secret = s3.secret_access_key().expose_secret();
    writeln!(std::io::stdout(), "{} {} {secret}", s3.endpoint(), s3.access_key_id())?;
    std::future::pending().await
}

impl Stage {
    /// PostgreSQL always waits for the disk.
    pub async fn build(executable: PathBuf, up: bool, s3_in_memory: bool) -> Outcome<Self> {
        use std::os::unix::fs::PermissionsExt;
        // Root hands PostgreSQL to another user, who must get through.
        let enterable = std::fs::Permissions::from_mode(0o711);
        let folder = tempfile::Builder::new().prefix("filesys-bench-").permissions(enterable).tempdir()?;
        let services = if up { None } else { Some(Services::start(folder.path(), s3_in_memory).await?) };
        Ok(Self { executable, folder, services })
    }

    pub fn services(&self) -> Option<&Services> {
        self.services.as_ref()
    }

    /// Stops the roles. Their database and topics go.
    pub async fn end(&self, mut cast: Cast) -> Outcome<()> {
        cast.end(0).await?;
        match &self.services {
            Some(services) => services.forget(&cast.name).await,
            None => Ok(()),
        }
    }

    /// Everything fresh; answers requests when this returns. Without workers nothing but `serve` runs.
    pub async fn start(&self, workers: Workers, settings: &[(&'static str, String)]) -> Outcome<Cast> {
        let name = format!("bench{}", uuid::Uuid::new_v4().simple());
        match &self.services {
            Some(services) => self.start_roles(services, &name, workers, settings).await,
            None => self.start_up(&self.folder.path().join(&name), workers.members, settings).await,
        }
    }

    async fn start_roles(
        &self,
        services: &Services,
        name: &str,
        workers: Workers,
        settings: &[(&'static str, String)],
    ) -> Outcome<Cast> {
        let folder = self.folder.path();
        services.make_database(name).await?;
        let database = services.database(name);
        let mut env: Vec<(&'static str, String)> = vec![
            ("DATABASE_URL", database.to_string()),
            ("KAFKA_BROKERS", services.kafka.clone()),
            ("KAFKA_PREFIX", format!("{name}.")),
            ("S3_ENDPOINT", services.s3.endpoint.clone()),
            ("S3_BUCKET", name.to_owned()),
            ("AWS_ACCESS_KEY_ID", services.s3.access_key.clone()),
            ("AWS_SECRET_ACCESS_KEY", services.s3.secret_key.clone()),
            ("PORT", "0".to_owned()),
        ];
        env.extend(settings.iter().cloned());
        let migrated =
            self.role(&["migrate"], &env, &folder.join(format!("{name}-migrate.log")))?.wait().await?;
        if !migrated.success() {
            return Err(format!("filesys migrate: {migrated}").into());
        }
        let log = folder.join(format!("{name}-serve.log"));
        let serve = self.role(&["serve"], &env, &log)?;
        let address = told(&log, "listening address=").await?;
        let mut cast = Cast {
            name: name.to_owned(),
            address,
            database: connect(&database).await?,
            url: database,
            bucket: bucket(&services.s3, name)?,
            env,
            watched: Vec::new(),
            ours: vec![serve],
        };
        cast.watch("serve", cast.ours[0].id());
        self.start_workers(&mut cast, workers)?;
        cast.watch("bench", Some(std::process::id()));
        cast.watch("s3", services.s3_process.as_ref().and_then(Child::id));
        if services.postgres.is_some() {
            let pid = std::fs::read_to_string(folder.join("postgres/postmaster.pid"))?;
            cast.watch("postgresql", pid.lines().next().and_then(|pid| pid.parse().ok()));
        }
        if services.kafka_script.is_some() {
            let pid = std::fs::read_to_string(folder.join("kafka/pid"))?;
            cast.watch("kafka", pid.trim().parse().ok());
        }
        Ok(cast)
    }

    /// Members share the processes evenly.
    pub fn start_workers(&self, cast: &mut Cast, Workers { members, processes }: Workers) -> Outcome<()> {
        for number in 0..processes.min(members) {
            let replicas = (members - number).div_ceil(processes).to_string();
            let log = self.folder.path().join(format!("worker-{}.log", uuid::Uuid::new_v4()));
            let worker = self.role(&["worker", "--replicas", &replicas], &cast.env, &log)?;
            cast.watch(["worker", "worker 2", "worker 3"][number.min(2)], worker.id());
            cast.ours.push(worker);
        }
        Ok(())
    }

    async fn start_up(
        &self,
        data_dir: &Path,
        workers: usize,
        settings: &[(&'static str, String)],
    ) -> Outcome<Cast> {
        let (dir, workers) = (data_dir.to_string_lossy().into_owned(), workers.to_string());
        let mut env = vec![("PORT", "0".to_owned())];
        env.extend(settings.iter().cloned());
        let log = data_dir.with_extension("log");
        let up = self.role(&["up", "--data-dir", &dir, "--replicas", &workers], &env, &log)?;
        let address = told(&log, "listening address=").await?;
        let read = |name: &str| std::fs::read_to_string(data_dir.join(name));
        // host:port:database:user:password
        let pass = read("postgres.pgpass")?;
        let password = pass.trim().rsplit(':').next().unwrap_or_default();
        let port = read("postgres.port")?;
        let url = format!("postgresql://filesys:{password}@127.0.0.1:{}/filesys", port.trim());
        let credentials = read("s3.credentials")?;
        let value = |name: &str| {
            let line = credentials.lines().find(|line| line.trim().starts_with(name));
            line.and_then(|line| line.split('=').nth(1)).unwrap_or_default().trim().to_owned()
        };
        let s3 = S3 {
            endpoint: format!("http://127.0.0.1:{}", read("s3.port")?.trim()),
            access_key: value("aws_access_key_id"),
            secret_key: value("aws_secret_access_key"),
        };
        let url = url.parse()?;
        let mut cast = Cast {
            name: String::new(),
            address,
            database: connect(&url).await?,
            url,
            bucket: bucket(&s3, "file-storage-bucket")?,
            env,
            watched: Vec::new(),
            ours: vec![up],
        };
        cast.watch("up, with its PostgreSQL", cast.ours[0].id());
        cast.watch("bench", Some(std::process::id()));
        Ok(cast)
    }

    fn role(&self, args: &[&str], env: &[(&str, String)], log: &Path) -> Outcome<Child> {
        let mut role = Command::new(&self.executable);
        role.args(args).env_clear().envs(env.iter().map(|(name, value)| (name, value)));
        role.env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        Ok(role.stderr(std::fs::File::create(log)?).kill_on_drop(true).spawn()?)
    }

    pub async fn tear_down(self) {
        let Some(services) = self.services else { return };
        if let Some(script) = services.kafka_script {
            let mut stop = Command::new(script);
            stop.args(["stop", "--wipe"]).env("FILESYS_SERVICES_DIR", self.folder.path());
            let _ = stop.stdout(Stdio::null()).stderr(Stdio::null()).status().await;
        }
        if let Some(postgres) = services.postgres {
            let _ = postgres.stop().await;
        }
    }
}

impl Services {
    async fn start(folder: &Path, s3_in_memory: bool) -> Outcome<Self> {
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
                let output = tokio::time::timeout(LIMIT, start.output()).await??;
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

    /// Where the database of this name is.
    pub fn database(&self, name: &str) -> Url {
        let mut url = self.database.clone();
        url.set_path(name);
        url
    }

    pub async fn make_database(&self, name: &str) -> Outcome<()> {
        let sql = format!("CREATE DATABASE {name}");
        connect(&self.database).await?.batch_execute(&sql).await?;
        Ok(())
    }

    /// Drops the databases and topics whose names begin like this: a checkpoint syncs the files of all databases there are,
    /// in the middle of a later run, and Kafka keeps all topics in mind.
    pub async fn forget(&self, name: &str) -> Outcome<()> {
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
    let mut word = || words.next().ok_or("the S3 server said something else");
    let s3 = S3 { endpoint: word()?, access_key: word()?, secret_key: word()? };
    Ok((process, s3))
}

/// The word behind `label` in a log.
async fn told(log: &Path, label: &str) -> Outcome<String> {
    let look = async {
        loop {
            let text = std::fs::read_to_string(log).unwrap_or_default();
            if let Some(word) = text.split_once(label).and_then(|(_, rest)| rest.split_whitespace().next()) {
                return word.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let told = tokio::time::timeout(LIMIT, look).await;
    told.map_err(|_| std::fs::read_to_string(log).unwrap_or_default().into())
}

pub async fn connect(url: &Url) -> Outcome<tokio_postgres::Client> {
    let (client, connection) = tokio_postgres::connect(url.as_str(), NoTls).await?;
    // Ends with the client.
    tokio::spawn(connection);
    Ok(client)
}

/// Told of each commit that has something to tell, as other processes are.
pub struct Commits {
    pub heard: Arc<Notify>,
    /// The connection lives as long as this.
    _client: tokio_postgres::Client,
}

pub fn bucket(s3: &S3, name: &str) -> Outcome<Bucket> {
    let region = Region::Custom { region: "us-east-1".to_owned(), endpoint: s3.endpoint.clone() };
    let credentials = Credentials::new(Some(&s3.access_key), Some(&s3.secret_key), None, None, None)?;
    Ok(*Bucket::new(name, region, credentials)?.with_path_style())
}

/// The roles of one run.
pub struct Cast {
    name: String,
    /// `host:port` of the API.
    pub address: String,
    pub database: tokio_postgres::Client,
    /// Address of the database.
    url: Url,
    bucket: Bucket,
    /// Environment of the roles.
    env: Vec<(&'static str, String)>,
    watched: Vec<(&'static str, u32)>,
    ours: Vec<Child>,
}

impl Cast {
    fn watch(&mut self, name: &'static str, pid: Option<u32>) {
        self.watched.extend(pid.map(|pid| (name, pid)));
    }

    /// PostgreSQL wakes all that listen at each such commit: only who needs it should.
    pub async fn hear_commits(&self) -> Outcome<Commits> {
        let (client, mut connection) = tokio_postgres::connect(self.url.as_str(), NoTls).await?;
        let heard = Arc::new(Notify::new());
        let wake = Arc::clone(&heard);
        // Ends with the client.
        tokio::spawn(async move {
            while let Some(Ok(_)) = std::future::poll_fn(|context| connection.poll_message(context)).await {
                wake.notify_one();
            }
        });
        client.batch_execute("LISTEN filesys_outbox").await?;
        Ok(Commits { heard, _client: client })
    }

    pub fn usage(&self) -> Usages {
        Usages(
            self.watched
                .iter()
                .map(|(name, pid)| ((*name).to_owned(), usage(*pid, FAMILIES.contains(name))))
                .collect(),
        )
    }

    /// Looks once, which costs next to nothing, however many there are.
    pub async fn is_finished(&self) -> Outcome<bool> {
        let sql = "SELECT NOT EXISTS (SELECT FROM files WHERE status IN ('pending', 'processing'))";
        Ok(self.database.query_one(sql, &[]).await?.get(0))
    }

    /// How many members made the files behind the first so many.
    pub async fn makers(&self, files: usize) -> Outcome<usize> {
        let sql =
            "SELECT count(DISTINCT worker) FROM transitions WHERE to_status = 'completed' AND file_id > $1";
        let makers: i64 = self.database.query_one(sql, &[&i64::try_from(files)?]).await?.get(0);
        Ok(usize::try_from(makers)?)
    }

    /// What is there at the end; how long each file took behind the first so many. The outbox may still hold facts: they
    /// have a moment to flow off.
    pub async fn found(&self, behind: usize) -> Outcome<Found> {
        let mut outbox: i64 = i64::MAX;
        for _ in 0..500 {
            outbox = self.database.query_one("SELECT count(*) FROM outbox", &[]).await?.get(0);
            if outbox == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let completed = "SELECT count(*) FROM files WHERE status = 'completed'";
        let completed: i64 = self.database.query_one(completed, &[]).await?.get(0);
        let millis = "SELECT (extract(epoch FROM t.at - f.created_at) * 1000)::float8 FROM transitions t \
                      JOIN files f ON f.id = t.file_id WHERE t.to_status = 'completed' AND f.id > $1";
        let millis = self
            .database
            .query(millis, &[&i64::try_from(behind)?])
            .await?
            .iter()
            .map(|row| row.get(0))
            .collect();
        let pages = self.bucket.list(String::new(), None).await?;
        let objects = pages.iter().map(|page| page.contents.len()).sum();
        Ok(Found { completed, outbox, objects, millis })
    }

    /// `serve` goes on.
    pub async fn stop_workers(&mut self) -> Outcome<()> {
        self.end(1).await?;
        self.watched.retain(|(name, _)| !name.starts_with("worker"));
        Ok(())
    }

    /// Ends those that were started last first, down to the one with this number.
    async fn end(&mut self, first: usize) -> Outcome<()> {
        use nix::sys::signal::{Signal, kill};
        for mut role in self.ours.drain(first..).rev() {
            let pid = role.id().and_then(|pid| i32::try_from(pid).ok()).ok_or("a role has ended")?;
            kill(nix::unistd::Pid::from_raw(pid), Signal::SIGTERM)?;
            let status = tokio::time::timeout(LIMIT, role.wait()).await??;
            if !status.success() {
                return Err(format!("a role ended with {status}").into());
            }
        }
        Ok(())
    }
}
