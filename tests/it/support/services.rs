//! One PostgreSQL and one S3 server for all tests; a database and a bucket for each of them.

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

use super::{PATIENCE, unique, within};

/// Copied for every test: quicker than migrating each time.
const TEMPLATE: &str = "migrated";

/// For each test: the pool of its process, its own connections, and what a killed process left behind.
const MAX_CONNECTIONS: u16 = 400;

/// Never dropped: both servers end with the process, and the janitor removes what they kept.
static SERVICES: LazyLock<Services> = LazyLock::new(|| {
    // Off the test's own runtime, which can't be blocked on.
    std::thread::spawn(Services::start).join().unwrap()
});

struct Services {
    runtime: Runtime,
    postgres: EmbeddedPostgres,
    s3: EmbeddedS3,
    /// Its stdin is open as long as we live.
    _janitor: Child,
}

impl Services {
    fn start() -> Self {
        // Root hands PostgreSQL to another user, who must get through to the directory.
        let enterable = std::fs::Permissions::from_mode(0o711);
        let dir =
            tempfile::Builder::new().prefix("filesys-it-").permissions(enterable).tempdir().unwrap().keep();
        let janitor = employ_janitor(&dir);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let (postgres, s3) = runtime.block_on(async {
            let data_dir = DataDir::open(&dir).unwrap();
            let options = PostgresOptions {
                durability: Durability::Fast,
                max_connections: MAX_CONNECTIONS,
                ..PostgresOptions::new(data_dir.clone(), EmbeddedConfig::read(&mut Env::of_process()))
            };
            let postgres = EmbeddedPostgres::start(options).await.unwrap();
            postgres.create_database(TEMPLATE).await.unwrap();
            migrations::migrate(&postgres.database_url(TEMPLATE)).await.unwrap();
            let durability = Durability::Fast;
            let s3 = EmbeddedS3::start(S3Options { data_dir, durability }).await.unwrap();
            (postgres, s3)
        });
        Self { runtime, postgres, s3, _janitor: janitor }
    }
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
        Self::create(TEMPLATE).await
    }

    pub async fn empty() -> Self {
        Self::create("template0").await
    }

    async fn create(template: &str) -> Self {
        let name = unique("it");
        on_server(&format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
        let url = SERVICES.postgres.database_url(&name);
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

    /// Throws everybody out and lets nobody in.
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
        SERVICES.runtime.spawn(async move { on_server(&sql).await });
    }
}

/// One statement, in no test's database.
async fn on_server(sql: &str) {
    let server = connect(&SERVICES.postgres.database_url("postgres")).await;
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
        Self { config: SERVICES.s3.s3_config(&unique("it-")) }
    }

    pub fn name(&self) -> &str {
        &self.config.bucket
    }

    /// As the product uses it.
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
