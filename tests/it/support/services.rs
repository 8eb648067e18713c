//! PostgreSQL and S3 server shared by all tests, named by the environment or embedded, with a database and a bucket for
//! each test.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

use bytes::Bytes;
use filesys::config::{EmbeddedConfig, Env, S3Config};
use filesys::db::{Db, migrations};
use filesys::embedded::{DataDir, Durability, EmbeddedPostgres, EmbeddedS3, PostgresOptions, S3Options};
use filesys::storage::Storage;
use s3::creds::Credentials;
use secrecy::{ExposeSecret, SecretString};
use tokio::runtime::Runtime;
use url::Url;

use super::{PATIENCE, unique, within};

/// Template database: copying it is faster than migrating for each test.
const TEMPLATE: &str = "migrated";

/// Connections for each test: its process's pool, its own, and those of killed processes.
const MAX_CONNECTIONS: u16 = 400;

/// Servers of the test process. Never dropped: they end with the process, and the janitor removes their data.
static SERVICES: LazyLock<Services> = LazyLock::new(|| {
    // Off the test's own runtime, which can't be blocked on.
    std::thread::spawn(Services::start).join().unwrap()
});

struct Services {
    runtime: Runtime,
    postgres: Postgres,
    s3: S3,
    /// Child whose stdin stays open as long as this process lives.
    _janitor: Option<Child>,
}

enum Postgres {
    Embedded(Box<EmbeddedPostgres>),
    /// By `TEST_DATABASE_URL`, whose user may make databases and throw others out.
    Named(Url),
}

enum S3 {
    Embedded(EmbeddedS3),
    /// By `TEST_S3_ENDPOINT`; it takes LocalStack's credentials.
    Named(String),
}

impl Services {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let postgres = std::env::var("TEST_DATABASE_URL").ok().map(|url| Url::parse(&url).unwrap());
        let s3 = std::env::var("TEST_S3_ENDPOINT").ok();
        if let (Some(postgres), Some(s3)) = (&postgres, &s3) {
            let (postgres, s3) = (Postgres::Named(postgres.clone()), S3::Named(s3.clone()));
            return Self { runtime, postgres, s3, _janitor: None };
        }
        // Root hands PostgreSQL to another user, who must get through to the directory.
        let enterable = std::fs::Permissions::from_mode(0o711);
        let dir =
            tempfile::Builder::new().prefix("filesys-it-").permissions(enterable).tempdir().unwrap().keep();
        let janitor = employ_janitor(&dir);
        let (postgres, s3) = runtime.block_on(async {
            let data_dir = DataDir::open(&dir).unwrap();
            let postgres = match postgres {
                Some(url) => Postgres::Named(url),
                None => Postgres::Embedded(Box::new(start_postgres(data_dir.clone()).await)),
            };
            let s3 = match s3 {
                Some(endpoint) => S3::Named(endpoint),
                None => {
                    let options = S3Options { data_dir, durability: Durability::Fast };
                    S3::Embedded(EmbeddedS3::start(options).await.unwrap())
                }
            };
            (postgres, s3)
        });
        Self { runtime, postgres, s3, _janitor: Some(janitor) }
    }
}

async fn start_postgres(data_dir: DataDir) -> EmbeddedPostgres {
    let options = PostgresOptions {
        durability: Durability::Fast,
        max_connections: MAX_CONNECTIONS,
        ..PostgresOptions::new(data_dir, EmbeddedConfig::read(&mut Env::of_process()))
    };
    let postgres = EmbeddedPostgres::start(options).await.unwrap();
    postgres.create_database(TEMPLATE).await.unwrap();
    migrations::migrate(&postgres.database_url(TEMPLATE)).await.unwrap();
    postgres
}

/// Runs to its end before the caller goes on, also where nothing can be awaited.
pub fn finish(work: impl Future<Output = ()> + Send + 'static) {
    let (done, wait) = std::sync::mpsc::channel::<()>();
    SERVICES.runtime.spawn(async move {
        work.await;
        drop(done);
    });
    let _ = wait.recv_timeout(PATIENCE);
}

/// Removes the directory once this process is gone, however it ends, and PostgreSQL with it.
fn employ_janitor(dir: &Path) -> Child {
    const JANITOR: &str = r#"
        read -r _
        tries=0
        while [ -e "$1/postgres/postmaster.pid" ] && [ "$tries" -lt 100 ]; do tries=$((tries + 1)); sleep 0.1; done
        rm -rf "$1"
    "#;
    Command::new("/bin/sh")
        .args(["-c", JANITOR, "janitor"])
        .arg(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C in the terminal is not for it.
        .process_group(0)
        .spawn()
        .unwrap()
}

/// A database of its own; dropped with the test.
pub struct Database {
    name: String,
    url: SecretString,
}

impl Database {
    /// With the newest schema.
    pub async fn migrated() -> Self {
        match SERVICES.postgres {
            Postgres::Embedded(_) => Self::create(TEMPLATE).await,
            // No template of ours is left behind there.
            Postgres::Named(_) => {
                let database = Self::empty().await;
                let url = database.url.clone();
                // It blocks, which a test's runtime of one thread doesn't allow.
                let migrating = SERVICES.runtime.spawn(async move { migrations::migrate(&url).await });
                migrating.await.unwrap().unwrap();
                database
            }
        }
    }

    pub async fn empty() -> Self {
        Self::create("template0").await
    }

    async fn create(template: &str) -> Self {
        let name = unique("it");
        on_server(&format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
        let url = database_url(&name);
        Self { name, url }
    }

    pub fn url(&self) -> &SecretString {
        &self.url
    }

    pub fn pool(&self) -> Db {
        Db::new(&self.url, 10).unwrap()
    }

    /// A connection besides the product's.
    pub async fn connect(&self) -> tokio_postgres::Client {
        connect(&self.url).await
    }

    /// Ends every session and refuses new ones.
    pub async fn cut_off(&self) {
        let name = &self.name;
        on_server(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).await;
        on_server(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        ))
        .await;
    }

    pub async fn let_in(&self) {
        on_server(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", self.name)).await;
    }

    /// The first column of the only row.
    pub async fn one<T>(&self, sql: &str) -> T
    where
        T: for<'a> tokio_postgres::types::FromSql<'a>,
    {
        self.connect().await.query_one(sql, &[]).await.unwrap().get(0)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let sql = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        finish(async move { on_server(&sql).await });
    }
}

fn database_url(name: &str) -> SecretString {
    match &SERVICES.postgres {
        Postgres::Embedded(postgres) => postgres.database_url(name),
        Postgres::Named(url) => {
            let mut url = url.clone();
            url.set_path(name);
            SecretString::from(String::from(url))
        }
    }
}

/// Runs one statement, in no test's database.
async fn on_server(sql: &str) {
    let server = connect(&database_url("postgres")).await;
    server.batch_execute(sql).await.unwrap();
}

pub async fn connect(url: &SecretString) -> tokio_postgres::Client {
    let connecting = tokio_postgres::connect(url.expose_secret(), tokio_postgres::NoTls);
    let (client, connection) = within(PATIENCE, "connecting to PostgreSQL", connecting).await.unwrap();
    // Ends when the client is dropped, or cut when the database is.
    tokio::spawn(async move { drop(connection.await) });
    client
}

/// A bucket of its own; it is there once somebody made it.
pub struct Bucket {
    pub config: S3Config,
}

impl Bucket {
    pub fn named_uniquely() -> Self {
        let bucket = unique("it-");
        let config = match &SERVICES.s3 {
            S3::Embedded(s3) => s3.s3_config(&bucket),
            S3::Named(endpoint) => S3Config::read(&mut Env::of([
                ("S3_ENDPOINT", endpoint.as_str()),
                ("S3_REGION", "us-east-1"),
                ("S3_BUCKET", &bucket),
                ("AWS_ACCESS_KEY_ID", "test"),
                ("AWS_SECRET_ACCESS_KEY", "test"),
            ])),
        };
        Self { config }
    }

    /// The embedded server checks credentials; LocalStack takes any.
    pub fn is_embedded() -> bool {
        std::env::var("TEST_S3_ENDPOINT").is_err()
    }

    pub fn name(&self) -> &str {
        &self.config.bucket
    }

    /// Makes the storage as the product uses it.
    pub async fn made(&self) -> Storage {
        let storage = Storage::new(&self.config).unwrap();
        storage.ensure_bucket().await.unwrap();
        storage
    }

    /// Every key in it, in order.
    pub async fn keys(&self) -> Vec<String> {
        let pages = self.client().list(String::new(), None).await.unwrap();
        pages.into_iter().flat_map(|page| page.contents).map(|object| object.key).collect()
    }

    /// Keys of the multipart uploads that were neither completed nor aborted.
    pub async fn multipart_uploads(&self) -> Vec<String> {
        let pages = self.client().list_multiparts_uploads(None, None).await.unwrap();
        pages.into_iter().flat_map(|page| page.uploads).map(|upload| upload.key).collect()
    }

    pub async fn object(&self, key: &str) -> Bytes {
        self.client().get_object(key).await.unwrap().into_bytes()
    }

    pub async fn put(&self, key: &str, bytes: &[u8]) {
        self.client().put_object(key, bytes).await.unwrap();
    }

    pub async fn remove(&self, key: &str) {
        self.client().delete_object(key).await.unwrap();
    }

    fn client(&self) -> Box<s3::Bucket> {
        let config = &self.config;
        let region =
            s3::Region::Custom { region: config.region.clone(), endpoint: config.endpoint.clone().unwrap() };
        let secret = config.secret_access_key.expose_secret();
        let credentials = Credentials::new(Some(&config.access_key_id), Some(secret), None, None, None);
        s3::Bucket::new(&config.bucket, region, credentials.unwrap()).unwrap().with_path_style()
    }
}
